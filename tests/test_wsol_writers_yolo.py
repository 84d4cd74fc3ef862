from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from small_results import (
    FIRST,
    ODD,
    check_round_trip,
    found,
    image_file,
    label_path,
    read_errors,
    write,
    yolo_files,
)

from wsol.out_files import listing
from wsol.writers import WRITERS


def test_yolo_labels_lie_beside_their_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [image_file(Path(name)) for name in ("images/a.b.jpg", "images/a.b.png", "b/a.b.jpg")]
    image_file(Path("images/images/train/x.jpg"))
    paths.append(Path("images/images/train/x.jpg"))
    out = Path("out")
    out.mkdir()
    write(out, "yolo", [replace(FIRST, path=paths[0]), *(found(path, []) for path in paths[1:])])
    files = yolo_files(out)
    assert list(files) == ["a.b-2.png", "a.b-3.jpg", "a.b.jpg", "x.jpg"]
    assert [len(lines) for lines in files.values()] == [0, 0, 3, 0]
    assert files["a.b.jpg"][0] == "1 0.26041667 0.51875000 0.47916667 0.93750000"
    assert files["a.b.jpg"][2].split()[0] == "0"
    link = out / "yolo/images/train/a.b-3.jpg"
    assert link.is_symlink()
    assert link.samefile(paths[2])
    out.rename("moved")
    assert Path("moved/yolo/images/train/a.b.jpg").samefile(paths[0])
    assert read_errors(Path("moved/yolo/errors.csv")) == [["bad.jpg", "the file is empty"]]


def test_yolo_copies_where_it_cannot_link(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    path = image_file(tmp_path / "a/x.jpg")
    write(tmp_path, "yolo", [replace(FIRST, path=path)])
    copy = tmp_path / "yolo/images/train/x.jpg"
    assert not copy.is_symlink()
    assert copy.read_bytes() == path.read_bytes()


def test_yolo_with_confidence(tmp_path):
    check_round_trip(tmp_path, "yolo", ODD, confidence=True)


@pytest.mark.parametrize("name", list(WRITERS))
def test_confidence_concerns_yolo_only(tmp_path, name):
    for confidence in (False, True):
        folder = tmp_path / str(confidence)
        folder.mkdir()
        write(folder, name, confidence=confidence)
    plain, other = (
        {path.relative_to(tmp_path / top): path.read_bytes()
         for path in (tmp_path / top).rglob("*") if path.is_file() and path.suffix != ".yaml"}
        for top in ("False", "True")
    )  # fmt: skip
    assert plain
    assert (plain == other) is (name != "yolo")


def test_yolo_without_files(tmp_path):
    write(tmp_path, "yolo", [found(None, [[0, 0, 60, 40]]), found(None, []), FIRST])
    assert list((tmp_path / "yolo/images/train").iterdir()) == []
    labels = {path.stem: path.read_text() for path in (tmp_path / "yolo/labels/train").iterdir()}
    assert sorted(labels) == ["image", "image-2", "x"]
    assert labels["image"] == "1 0.50000000 0.50000000 1.00000000 1.00000000\n"
    assert labels["image-2"] == ""


def test_yolo_shows_the_last_run_only(tmp_path):
    """A person's own images stay, and so do a person's own links."""
    cats = [image_file(tmp_path / name) for name in ("a/cat.jpg", "b/cat.jpg")]
    dog = image_file(tmp_path / "c/dog.jpg", "blue")
    with listing(tmp_path):
        write(tmp_path, "yolo", [replace(FIRST, path=path) for path in cats])
    own = image_file(tmp_path / "yolo/images/train/own.jpg")
    linked = tmp_path / "yolo/images/train/linked.jpg"
    linked.symlink_to(dog)
    cache = tmp_path / "yolo/labels/train.cache"
    cache.touch()
    for each in (own, linked):
        label_path(each).touch()
    with listing(tmp_path) as files:
        files.remove()
        write(tmp_path, "yolo", [replace(FIRST, path=path) for path in (dog, cats[1])])
    assert list(yolo_files(tmp_path)) == ["cat.jpg", "dog.jpg", "linked.jpg", "own.jpg"]
    assert (tmp_path / "yolo/images/train/cat.jpg").samefile(cats[1])
    assert not cache.exists()


def test_yolo_over_its_own_images(tmp_path):
    """Predicting on a data set's own images into the same folder leaves them as they are."""
    path = image_file(tmp_path / "a/x.jpg")
    write(tmp_path, "yolo", [replace(FIRST, path=path)])
    own = image_file(tmp_path / "yolo/images/train/own.jpg")
    link = tmp_path / "yolo/images/train/x.jpg"
    write(tmp_path, "yolo", [replace(FIRST, path=each) for each in (own, link)])
    assert list(yolo_files(tmp_path)) == ["own.jpg", "x.jpg"]
    assert Image.open(own).size == Image.open(link).size == (60, 40)
    assert not own.is_symlink()
