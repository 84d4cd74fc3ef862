from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from PIL import Image

from eval.manifest import ManifestError
from eval.yolo import load_yolo


@pytest.fixture
def labels(tmp_path):
    """Two images of 40 x 20, in the layout that predict writes, and one without a box."""
    files = {
        "a": "1 0.5 0.5 0.5 1\n1 0.05 0.1 0.1 0.2 0.9\n",
        "b": "0 0.25 0.5 0.1 0.2",
        "empty": "",
    }
    for stem, text in files.items():
        for kind, suffix in (("labels", "txt"), ("images", "JPG")):
            (tmp_path / kind / "train").mkdir(parents=True, exist_ok=True)
            path = tmp_path / kind / "train" / f"{stem}.{suffix}"
            path.write_text(text) if kind == "labels" else Image.new("RGB", (40, 20)).save(path)
    (tmp_path / "data.yaml").write_text("names:\n  0: cat\n  1: 'a: dog'\n")
    return tmp_path


def check(split):
    assert split.labels.tolist() == [1, 0]
    assert split.sizes.tolist() == [[40, 20], [40, 20]]
    # outer edges 10 0 30 20, so the last pixels are 29 and 19
    np.testing.assert_allclose(split.boxes[0], [[10, 0, 29, 19], [0, 0, 3, 3]], atol=1e-9)
    np.testing.assert_allclose(split.boxes[1], [[8, 8, 11, 11]], atol=1e-9)


@pytest.mark.parametrize("inside", ["", "labels", "labels/train"])
def test_labels_beside_images(labels, inside):
    folder = labels / inside
    split, root = load_yolo(folder, "corrected", labels)
    check(split)
    assert split.class_names == ("cat", "a: dog")
    assert [(root / image_id).is_file() for image_id in split.ids] == [True, True]


def test_a_relative_folder_with_names_in_a_list(labels, monkeypatch):
    (labels / "data.yaml").unlink()
    (labels / "obj.names").write_text("cat\na: dog\n")
    (labels / "README.txt").write_text("exported by hand")
    (labels / "README.roboflow.txt").write_text("exported by a tool")
    monkeypatch.chdir(labels.parent)
    for folder in (labels.name, f"{labels.name}/labels"):
        split, root = load_yolo(Path(folder), "corrected")
        check(split)
        assert split.class_names == ("cat", "a: dog")
        assert all((root / image_id).is_file() for image_id in split.ids)


def test_names_with_dots_are_no_lists(labels):
    for kind, suffix in (("labels", "txt"), ("images", "JPG")):
        folder = labels / kind / "train"
        (folder / f"a.{suffix}").rename(folder / f"test.0001.{suffix}")
        (folder / f"b.{suffix}").rename(folder / f"val.000123.{suffix}")
    split, _ = load_yolo(labels, "corrected")
    assert split.ids == ("test.0001.JPG", "val.000123.JPG")
    check(split)


def test_images_below_a_root(labels, tmp_path):
    root = tmp_path / "photos"
    (labels / "images" / "train").rename(root)
    (labels / "data.yaml").write_text("names: [cat, 'a: dog']")
    split, home = load_yolo(labels / "labels", "corrected", root)
    check(split)
    assert home == root
    assert split.ids == ("a.JPG", "b.JPG")


@pytest.mark.parametrize("inside", ["", "labels", "labels/train"])
def test_images_of_one_name_in_folders_below_a_root(labels, tmp_path, inside):
    """The layout of exports without images: the label file's path ends like the image's."""
    root = tmp_path / "photos"
    for kind in ("cats", "dogs"):
        (root / kind).mkdir(parents=True)
        (labels / "labels" / "train" / kind).mkdir()
    for stem, kind in (("a", "dogs"), ("b", "cats")):
        (labels / "images" / "train" / f"{stem}.JPG").rename(root / kind / "1.Jpeg")
        source = labels / "labels" / "train" / f"{stem}.txt"
        source.rename(source.parent / kind / "1.txt")
    Image.new("RGB", (90, 90)).save(root / "1.png")
    split, home = load_yolo(labels / inside, "corrected", root)
    assert home == root
    assert split.ids == ("cats/1.Jpeg", "dogs/1.Jpeg")
    assert split.labels.tolist() == [0, 1]
    (root / "cats" / "1.Jpeg").unlink()
    (root / "dogs" / "1.Jpeg").unlink()
    with pytest.raises(ManifestError, match=r"dogs/1.txt: expected an image of its own but"):
        load_yolo(labels / inside, "corrected", root)


def test_images_called_like_lists_and_notes(labels):
    for kind, suffix in (("labels", "txt"), ("images", "JPG")):
        folder = labels / kind / "train"
        (folder / f"a.{suffix}").rename(folder / f"classes.{suffix}")
        (folder / f"b.{suffix}").rename(folder / f"notes.1.{suffix}")
    for place in (labels, labels / "labels" / "train"):  # where an image has its name, too
        (place / "train.txt").write_text("images/train/classes.JPG")
    Image.new("RGB", (9, 9)).save(labels / "images" / "train" / "train.jpg")
    split, _ = load_yolo(labels, "corrected")
    assert split.ids == ("classes.JPG", "notes.1.JPG")
    check(split)


def test_images_of_several_classes_may_be_left_out(labels):
    (labels / "labels" / "train" / "a.txt").write_text("1 0.5 0.5 0.5 1\n0 0.5 0.5 0.5 1\n")
    skipped = []
    split, _ = load_yolo(labels, "corrected", skip=skipped.append)
    assert split.ids == ("b.JPG",)
    assert len(skipped) == 1
    assert "a.txt:2: expected boxes of one class" in skipped[0]
    (labels / "labels" / "train" / "b.txt").write_text("")
    with pytest.raises(ManifestError, match="one class an image but none of 3 label files has any"):
        load_yolo(labels, "corrected", skip=skipped.append)


def test_names_in_either_form_of_unicode(labels):
    for form, kind, suffix in (("NFC", "labels", "txt"), ("NFD", "images", "JPG")):
        folder = labels / kind / "train"
        (folder / f"a.{suffix}").rename(folder / f"{normalize(form, 'bär')}.{suffix}")
    split, _ = load_yolo(labels, "corrected")
    assert [normalize("NFC", image_id) for image_id in split.ids] == ["b.JPG", "bär.JPG"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 0.5 0.5 0.5", "a.txt:1: expected class xc yc w h"),
        ("cat 0.5 0.5 0.5 0.5", "a.txt:1: expected class xc yc w h"),
        ("-1 0.5 0.5 0.5 0.5", "a.txt:1: expected class xc yc w h"),
        ("1 0.5 0.5 0 0.5", "a.txt:1: expected shares from 0 to 1"),
        ("1 0.5 0.5 50 50", "a.txt:1: expected shares from 0 to 1"),
        ("1 nan 0.5 0.5 0.5", "a.txt:1: expected class xc yc w h"),
        ("1 0.9 0.5 0.5 0.5", "a.txt:1: expected a box in the image"),
        ("1 1.005 0.5 0.005 0.5", "a.txt:1: expected a box in the image"),
        ("1.5 0.5 0.5 0.5 0.5", "a.txt:1: expected class xc yc w h"),
        ("1e300 0.5 0.5 0.5 0.5", "a.txt:1: expected class xc yc w h"),
        ("1 0.5 0.5 1.02 0.5", "a.txt:1: expected shares from 0 to 1"),
        ("1 0.1 0.1 0.5 0.1 0.3 0.1", "a.txt:1: expected shares from 0 to 1"),  # without an area
        ("1 0.1 0.1 0.5 0.1 0.3 1.1", "a.txt:1: expected shares from 0 to 1"),
        ("1 0.5 0.5 0.5 0.5 0.1 0.1 2 0.3 0.3 2", "a.txt:1: expected shares from 0 to 1"),  # points
        ("\n1 0.5 0.5 0.5 0.5\n0 0.5 0.5 0.5 0.5", "a.txt:3: expected boxes of one class"),
        ("7 0.5 0.5 0.5 0.5", "data.yaml: expected `names` for classes 0 to 7"),
    ],
)
def test_lines_that_break_a_rule(labels, line, message):
    (labels / "labels" / "train" / "a.txt").write_text(line)
    with pytest.raises(ManifestError, match=message):
        load_yolo(labels, "corrected")


@pytest.mark.parametrize(
    ("line", "box"),
    [
        ("1.0 0.5 0.5 0.5 1", (10, 0, 29, 19)),
        ("1 0.5 0.5 1.0005 1.0005", (0, 0, 39, 19)),  # clipped, as in a COCO file
        ("1 0.99 0.5 0.02 1", (39.2, 0, 39, 19)),
        ("1 1.0005 0.5 0.01 1", (39.82, 0, 39, 19)),
        ("1 0.1 0.2 0.5 0.2 0.3 0.9", (4, 4, 19, 17)),  # a segment
        ("1 0.1 0.2 0.5 0.2 0.3 0.9 0.75", (4, 4, 19, 17)),  # with a confidence
        ("1 0.5 0.1 0.75 0.5 0.5 0.9 0.25 0.5", (10, 2, 29, 17)),  # a turned box
        ("1 1.0005 0.1 0.75 0.5 0.5 0.9 0.25 -0.0005", (10, 0, 39, 17)),
    ],
)
def test_lines_of_other_programs(labels, line, box):
    (labels / "labels" / "train" / "a.txt").write_text(line)
    split, _ = load_yolo(labels, "corrected")
    np.testing.assert_allclose(split.boxes[0], [box], atol=1e-9)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("data.yml", "names: [cat, 'a: dog']"),
        ("data.yaml", "nc: 2\nnames: {'0': cat, '1': 'a: dog'}"),
        ("data.yaml", "names: {1: 'a: dog', '0': cat}"),
        ("classes.txt", "cat\r\na: dog\r\n"),
    ],
)
def test_names_of_other_programs(labels, file, text):
    (labels / "data.yaml").unlink()
    (labels / file).write_text(text)
    assert load_yolo(labels, "corrected")[0].class_names == ("cat", "a: dog")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: {'0': cat, 0: dog, 1: cow}", r"expected every class of `names` once but got 0"),
        ("names: {a: cat, b: dog}", r"expected `names` for classes 0 to 1"),
        ("names: {0: cat, 1: dog, x: cow}", r"expected `names` to be texts by number but got {'x'"),
        ("names: {0: cat, 1: [dog]}", r"expected `names` to be texts by number"),
        ("names: 3", r"expected `names` for classes 0 to 1"),
        ("[a]", r"expected `names` for classes 0 to 1"),
    ],
)
def test_names_that_break_a_rule(labels, text, message):
    (labels / "data.yaml").write_text(text)
    with pytest.raises(ManifestError, match=r"data\.yaml: " + message):
        load_yolo(labels, "corrected")


def test_what_is_not_there(labels, tmp_path):
    (labels / "images" / "train" / "b.JPG").unlink()
    with pytest.raises(ManifestError, match=r"b.txt: expected its image beside it"):
        load_yolo(labels, "corrected")
    with pytest.raises(ManifestError, match=r"there are none"):
        load_yolo(labels / "images", "corrected")
    for path in (labels / "labels").rglob("*.txt"):
        path.write_text("")
    with pytest.raises(ManifestError, match=r"none of 3 label files has any"):
        load_yolo(labels, "corrected")


@pytest.mark.parametrize("name", ["data.yaml", "data.yml", "classes.txt"])
def test_a_name_of_two_classes(labels, name):
    (labels / "data.yaml").unlink()

    def write(*names):
        lines = "names:\n" + "".join(f"- {each}\n" for each in names)
        (labels / name).write_text("\n".join(names) if name == "classes.txt" else lines)

    write("ani", "ani", "x")
    with pytest.raises(ManifestError, match=r"a name of its own but 'ani' is that of 0 and 1: ren"):
        load_yolo(labels, "mine")
    write("ani", "x", "ani")
    with pytest.raises(ManifestError, match="'ani' is that of 0 and 2"):
        load_yolo(labels, "mine")
    write("ani", "x", "y", "y")  # of which no image is
    assert load_yolo(labels, "mine")[0].class_names == ("ani", "x", "y", "y")
