"""What wsol wrote is no photograph and no class, and one image is one however it is spelt."""

import csv
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from eval.folders import list_images, list_split_folders, load_folders
from eval.ilsvrc import build_ilsvrc
from eval.parsing import read_yaml
from eval.splits import ManifestError
from eval.written_files import LIST, WrittenFilesWarning
from eval.yolo import load_yolo
from tdam.events import Events
from wsol.images import ImageError, SourceError, find_images, read_image
from wsol.sources import list_photographs
from wsol.training.data import load_training_data

NETWORK = ("--model", "efficientnet_lite0", "--weights", "random")
OUTPUT = ("pictures/a.png", "yolo/images/train/a.png", "a.gif", "curves.png")


def fill(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6)).save(path)


def write_output(folder, names=OUTPUT):
    """Fill a folder as wsol does."""
    fill(folder, *names)
    (folder / LIST).write_text("".join(json.dumps(name) + "\n" for name in names))
    return folder


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "q"
    fill(folder, "a.png", "b/b.png")
    write_output(folder / "out")
    write_output(folder / "b" / "wsol-shift")
    return folder


def relative(paths, folder):
    return [path.relative_to(folder).as_posix() for path in paths]


@pytest.mark.fault("input: its own output among photographs")
def test_what_commands_wrote_is_passed_over(tmp_path, run, monkeypatch):
    fill(tmp_path / "q", "a.png", "b.png")
    monkeypatch.chdir(tmp_path)
    asked = ("predict", "q", *NETWORK, "--format", "yolo", "--save-images")
    assert run(*asked, "--out", "q/out")[0] == 0
    shutil.copytree("q/out", "q/b/copy")
    code, out, err = run(*asked, "--out", "q_other")
    assert (code, [line.split("\t")[0] for line in out.splitlines()]) == (0, ["q/a.png", "q/b.png"])
    assert "passed over, since wsol wrote it: 2 folders, such as q/" in err


@pytest.mark.fault("input: its own output among photographs")
@pytest.mark.parametrize("pattern", ["", "/**/*.png", "/**", "/**/*.*", "/**/**/*"])
def test_searches_pass_over_output(photographs, pattern):
    told = []
    images = find_images([f"{photographs}{pattern}"], None, told.append)
    assert relative(images, photographs) == ["a.png", "b/b.png"]
    assert set(told) == {photographs / "out", photographs / "b" / "wsol-shift"}
    assert list_images(photographs) == ["a.png", "b/b.png"]
    heard = Events()
    heard.say = told.append
    list_photographs(f"{photographs}{pattern}", events=heard)
    assert told[-1].startswith(
        f"passed over, since wsol wrote it: 2 folders, such as {photographs}"
    )


@pytest.mark.fault("input: its own output among photographs")
def test_output_that_is_named_is_taken(photographs):
    out = photographs / "out"
    assert relative(find_images([out]), out) == sorted(OUTPUT)
    for source in (out / "pictures", out / "pictures" / "a.png", f"{out}/pictures/*.png"):
        assert find_images([source]) == [out / "pictures" / "a.png"]
    (photographs / "list.txt").write_text("out/a.gif\n")
    assert find_images([photographs / "list.txt"]) == [out / "a.gif"]
    assert relative(find_images([photographs, out / "a.gif"]), photographs)[-1] == "out/a.gif"
    with pytest.raises(SourceError, match="no images here"):
        find_images([f"{photographs}/*/a.gif"])


@pytest.mark.fault("input: its own output among photographs")
def test_what_somebody_put_there_is_taken(photographs):
    fill(photographs, "out/mine.jpg", "out/pictures/mine.jpg")
    images = ["a.png", "b/b.png", "out/mine.jpg", "out/pictures/mine.jpg"]
    assert relative(find_images([photographs]), photographs) == images
    assert list_images(photographs) == images
    lists = ("no JSON\n", '"../../a.png"\n', '["a.gif"]\n', "\0\n", f"{'[' * 9000}\n")
    for text in lists:
        (photographs / "out" / LIST).write_text(text)
        assert len(find_images([photographs])) == 8
    (photographs / "out" / LIST).unlink()
    os.mkfifo(photographs / "out" / LIST)  # which nobody fills
    assert len(find_images([photographs])) == 8


@pytest.mark.fault("input: its own output among classes")
@pytest.mark.parametrize("place", ["wsol-run", "ant/wsol-run", "cat"])
def test_output_is_no_class(tmp_path, place):
    data = tmp_path / "photos"
    fill(data, "ant/1.png", "bee/1.png", "cow/1.png")
    write_output(data / place)
    with pytest.warns(WrittenFilesWarning, match=f"wrote it: 1 folder, such as {data / place}"):
        split = load_folders(data, "test")
    assert split.class_names == ("ant", "bee", "cow")
    assert split.ids == ("ant/1.png", "bee/1.png", "cow/1.png")


@pytest.mark.fault("input: its own output among classes")
def test_classes_stay_where_output_was_put_into_them(tmp_path):
    data = tmp_path / "photos"
    fill(data, "ant/1.png", "bee/1.png")
    write_output(data / "ant")
    write_output(data)
    with pytest.warns(WrittenFilesWarning, match="wrote it: 3 folders"):
        split = load_folders(data, "test")
    assert split.ids == ("ant/1.png", "bee/1.png")
    assert split.class_names == ("ant", "bee")


@pytest.mark.fault("input: its own output among classes")
def test_splits_beside_output(tmp_path):
    for split in ("train", "val"):
        fill(tmp_path, f"{split}/n1/1.png", f"{split}/n2/1.png")
    write_output(tmp_path / "wsol-run")
    write_output(tmp_path / "train" / "wsol-predictions")
    assert list_split_folders(tmp_path) == ["train", "val"]
    with pytest.warns(WrittenFilesWarning, match="2 folders"):
        split = load_folders(tmp_path, "val")
    assert split.class_names == ("n1", "n2")
    with pytest.warns(WrittenFilesWarning), pytest.raises(ManifestError, match="boxes"):
        build_ilsvrc(tmp_path, tmp_path / "built")


@pytest.mark.fault("input: its own output among classes")
def test_labels_of_output_are_none(tmp_path):
    fill(tmp_path, "images/a.png")
    written = write_output(tmp_path / "out", ("yolo/images/train/a.png",))
    with (written / LIST).open("a") as file:
        file.write('"yolo/labels/train/a.txt"\n')
    for labels in (tmp_path / "labels", written / "yolo" / "labels" / "train"):
        labels.mkdir(parents=True)
        (labels / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    with pytest.warns(WrittenFilesWarning, match="out"):
        split, _ = load_yolo(tmp_path, "boxes")
    assert split.ids == ("a.png",)
    assert len(load_yolo(written, "boxes")[0]) == 1


@pytest.mark.slow
@pytest.mark.fault("input: its own output among classes")
def test_trainings_pass_over_runs(objects, trained, tmp_path):
    shutil.copytree(objects, tmp_path / "data")
    shutil.copytree(trained[0], tmp_path / "data" / "a-run")
    with pytest.warns(WrittenFilesWarning, match="such as .*a-run"):
        data = load_training_data(tmp_path / "data")
    assert data.class_names == tuple(sorted(each.name for each in objects.iterdir()))
    assert (tmp_path / "data" / "a-run" / "curves.png").is_file()


@pytest.mark.fault("input: one image under several spellings")
def test_one_image_is_one(tmp_path, monkeypatch, run):
    fill(tmp_path, "s/x.jpg", "s/y.jpg")
    (tmp_path / "link").symlink_to("s")
    (tmp_path / "s" / "other.jpg").symlink_to("x.jpg")  # a name of its own
    (tmp_path / "s" / "broken.jpg").symlink_to("nowhere.jpg")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text(
        f"s/x.jpg\n./s//x.jpg\n{tmp_path}/s/x.jpg\nlink/../s/x.jpg\n"
    )
    spelt = ["s/x.jpg", "./s/x.jpg", "s/../s/x.jpg", f"{tmp_path}/s/x.jpg", "link/x.jpg"]
    for sources in (spelt, [*spelt, "list.txt"], ["s/x.*", "link/x.*", "list.txt", "../*/s/x.jpg"]):
        assert [str(path) for path in find_images(sources)] == ["s/x.jpg"]
    assert [str(path) for path in find_images(spelt[::-1])] == ["link/x.jpg"]
    images = find_images(["link", "s", ".", "**/*.jpg"])
    assert [path.name for path in images] == ["broken.jpg", "other.jpg", "x.jpg", "y.jpg"]
    out = run("predict", *spelt, *NETWORK)[1]
    assert [line.split("\t")[0] for line in out.splitlines()] == ["s/x.jpg"]


@pytest.mark.fault("input: names that tell a terminal something")
def test_names_of_files_are_plain(tmp_path, run):
    names = ["a\x1b[2Jb.png", "a_[2Jb.png", "g\u202egpj.png", "l\u2066i\u200e.png", "d\x7f\x9b.png"]
    fill(tmp_path / "in", *names)
    explicit = tmp_path / "e.p\x1bg"
    shutil.copy(tmp_path / "in" / names[0], explicit)
    out = tmp_path / "out"
    formats = [part for kind in ("csv", "npy", "voc", "yolo") for part in ("--format", kind)]
    code, _, err = run(
        "predict", tmp_path / "in", explicit, *NETWORK, *formats, "--save-images", "--out", out
    )
    assert code == 0, err
    written = [path.name for path in out.rglob("*")]
    assert all(name.isprintable() for name in written)
    for folder in ("pictures", "maps", "voc/Annotations", "yolo/images/train"):
        assert len(list((out / folder).iterdir())) == 6, folder
    with (out / "predictions.csv").open(encoding="utf-8", newline="") as table:
        read = {row["file"] for row in csv.DictReader(table)}
    assert read == {str(tmp_path / "in" / name) for name in names} | {str(explicit)}


@pytest.mark.fault("input: numbers that only Python takes")
@pytest.mark.parametrize(
    "text",
    ["P2 2 1 99 1_2 3", "P2 2 1 9_9 12 3", "P2 +2 1 99 12 3", "P3 1 1 99 1 2 +3", "P5 1 1_0 9 x"],
)
def test_numbers_of_text_images(tmp_path, text):
    path = tmp_path / "image.pgm"
    path.write_text(text)
    with pytest.raises(ImageError):
        read_image(path)
    path.write_text("P2 # of 1_2\n2 1 255 12 3")
    assert np.asarray(read_image(path))[0, :, 0].tolist() == [12, 3]


@pytest.mark.fault("input: numbers that only Python takes")
def test_numbers_of_yaml(tmp_path):
    path = tmp_path / "data.yaml"
    path.write_text("names: [1_2, 017, 1:30, 0x1f, 1_0.5]\nnc: 12\nshare: -1.5\n")
    assert read_yaml(path) == {
        "names": ["1_2", "017", "1:30", "0x1f", "1_0.5"], "nc": 12, "share": -1.5
    }  # fmt: skip
