import hashlib
import tomllib

import numpy as np
import pytest
from PIL import Image

from eval.builders import find_builder, find_download
from eval.cub import build_cub
from eval.manifest import FILES, ManifestError, list_splits, load_split
from wsol.shipped import find_data_set


def image(path, width=20, height=10, orientation=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation:
        exif[0x112] = orientation
    Image.new("RGB", (width, height)).save(path, "JPEG", exif=exif)


CUB = {
    "images.txt": "1 002.Crow/a.jpg\n2 002.Crow/b, c.jpg\n4 007.Sea_Rook/c.jpg\n",
    "classes.txt": "2 002.Crow\n7 007.Sea_Rook\n",
    "image_class_labels.txt": "1 2\n2 2\n3 5\n4 7\n",  # line 3 is about an image that is not here
    "train_test_split.txt": "1 1\n2 0\n3 0\n4 1\n",
    "bounding_boxes.txt": "1 0.0 1.0 20.0 8.5\n2 3.9 2.0 4.0 3.2\n3 1 1 1 1\n4 0 0 20 10\n",
}


def write_cub(folder, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in CUB.items():
        (folder / file).write_text(changes.get(file.removesuffix(".txt"), text))
    for line in CUB["images.txt"].splitlines():
        image(folder / "images" / line.split(" ", 1)[1])
    return folder


def test_cub(tmp_path):
    built = build_cub(write_cub(tmp_path / "in" / "CUB_200_2011").parent, tmp_path / "out")
    assert built.root == tmp_path / "in" / "CUB_200_2011" / "images"
    assert list_splits(tmp_path / "out") == ["test", "train"]
    train, test = (load_split(tmp_path / "out", name) for name in ("train", "test"))
    assert train.ids == ("002.Crow/a.jpg", "007.Sea_Rook/c.jpg")
    assert test.ids == ("002.Crow/b, c.jpg",)
    assert train.labels.tolist() == [0, 1]
    assert train.class_names == ("Crow", "Sea Rook")
    # x + width and y + height, at most the last pixel, without what follows the point
    assert [boxes.tolist() for boxes in train.boxes] == [[[0, 1, 19, 9]], [[0, 0, 19, 9]]]
    assert [boxes.tolist() for boxes in test.boxes] == [[[3, 2, 7, 5]]]
    assert test.sizes.tolist() == [[20, 10]]
    for split, found in zip(built.splits, (train, test), strict=True):
        assert split.ids == found.ids
        assert all(map(np.array_equal, split.boxes, found.boxes))


def test_files_are_as_the_standard_has_them(tmp_path):
    build_cub(write_cub(tmp_path / "in"), tmp_path / "out")
    folder = tmp_path / "out" / "test"
    assert [(folder / file).read_bytes() for file in FILES] == [
        b"002.Crow/b, c.jpg",
        b"002.Crow/b, c.jpg,0",
        b"002.Crow/b, c.jpg,20,10",
        b"002.Crow/b, c.jpg,3,2,7,5",
    ]
    promised = tomllib.loads((tmp_path / "out" / "manifest.toml").read_text())
    assert promised["supervision"] == {"train": "boxes", "test": "boxes"}
    assert (promised["splits"]["train"]["images"], promised["splits"]["train"]["boxes"]) == (2, 2)
    assert promised["splits"]["test"]["sha256"] == {
        file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in FILES
    }
    assert "non-commercial" in promised["licence"]
    assert (tmp_path / "out" / "classes.csv").read_text() == "label,name\n0,Crow\n1,Sea Rook\n"


def test_cub_sizes_are_those_of_the_stored_pixels(tmp_path):
    write_cub(tmp_path / "in")
    image(tmp_path / "in" / "images" / "002.Crow" / "b, c.jpg", 20, 10, orientation=6)
    assert build_cub(tmp_path / "in", tmp_path / "out").splits[1].sizes.tolist() == [[20, 10]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": "1 002.Crow/a.jpg\n1 002.Crow/b.jpg"}, r"images\.txt:2: expected a new number"),
        ({"images": "1 002.Crow/a.jpg\n2 002.Crow/a.jpg"}, r"images\.txt:2: .*every image once"),
        ({"images": "1 ../a.jpg"}, r"images\.txt:1: expected a path below images"),
        ({"images": "1"}, r"images\.txt:1: expected a new number and a value but got '1'"),
        ({"images": "1 002.Crow/none.jpg"}, r"none\.jpg: expected an image but there is no such"),
        ({"images": ""}, r"images\.txt:1: expected a new number and a value but got ''"),
        ({"classes": "2 002.Crow"}, r"class_labels\.txt:4: expected a class of classes\.txt .*'7'"),
        ({"classes": "2 002.Rook\n7 007.Sea_Rook"}, r"class_labels\.txt:1: .*'002\.Rook'"),
        ({"image_class_labels": "1 2\n4 7"}, r"class_labels\.txt: .*every image but 2 \(002\.Crow"),
        ({"train_test_split": "1 2\n2 0\n4 1"}, r"train_test_split\.txt:1: .*\(test\) but got '2'"),
        ({"train_test_split": "1 1\n2 0"}, r"train_test_split\.txt: .*every image but 4"),
        ({"bounding_boxes": "1 0 0 5 5\n2 0 0 5 5"}, r"bounding_boxes\.txt: .*every image but 4"),
        ({"bounding_boxes": "1 0 0 5 5"}, r"bounding_boxes\.txt: .*every image but 2"),
        ({"bounding_boxes": "2 0 0 5\n1 0 0 5 5\n4 0 0 5 5"}, r"boxes\.txt:1: expected x y width"),
        ({"bounding_boxes": "1 0 0 5 0\n2 0 0 5 5\n4 0 0 5 5"}, r"boxes\.txt:1: .*'0 0 5 0'"),
        ({"bounding_boxes": "1 0 0 nan 1\n2 0 0 5 5\n4 0 0 5 5"}, r"boxes\.txt:1: .*an area"),
        ({"bounding_boxes": "1 20 0 9 9\n2 0 0 5 5\n4 0 0 5 5"}, r"boxes\.txt:1: .*of 20 x 10"),
        ({"bounding_boxes": "1 9 0 31 9\n2 0 0 5 5\n4 0 0 5 5"}, r"boxes\.txt:1: .*original size"),
    ],
)
def test_faults_of_cub_are_named_by_file_and_line(tmp_path, changes, message):
    write_cub(tmp_path / "in", **changes)
    with pytest.raises(ManifestError, match=message):
        build_cub(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_source_without_the_tables(tmp_path):
    with pytest.raises(ManifestError, match=r"expected images\.txt here or in CUB_200_2011"):
        build_cub(tmp_path, tmp_path / "out")
    write_cub(tmp_path / "in")
    (tmp_path / "in" / "classes.txt").unlink()
    with pytest.raises(ManifestError, match=r"classes\.txt: cannot be read"):
        build_cub(tmp_path / "in", tmp_path / "out")
    (tmp_path / "in" / "classes.txt").write_bytes(b"\xff")
    with pytest.raises(ManifestError, match=r"classes\.txt: expected UTF-8"):
        build_cub(tmp_path / "in", tmp_path / "out")


def test_nothing_is_overwritten_unasked(tmp_path):
    source, out = write_cub(tmp_path / "in"), tmp_path / "out"
    out.mkdir()
    build_cub(source, out)  # an empty folder is in nobody's way
    with pytest.raises(ManifestError, match="out: expected a new or empty folder"):
        build_cub(source, out)
    (out / "train" / "image_ids.txt").write_text("spoilt")
    build_cub(source, out, force=True)
    assert len(load_split(out, "train")) == 2
    (out / "train" / "notes.txt").write_text("mine")
    with pytest.raises(ManifestError, match=r"notes\.txt: expected nothing but an earlier run's"):
        build_cub(source, out, force=True)
    assert (out / "train" / "notes.txt").read_text() == "mine"
    with pytest.raises(ManifestError, match=r"images\.txt: expected a folder but it is a file"):
        build_cub(source, source / "images.txt", force=True)
    with pytest.raises(ManifestError, match="cannot be written"):
        build_cub(source, source / "images.txt" / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]  # nothing half done


def test_a_failing_run_leaves_what_was_there(tmp_path):
    source, out = write_cub(tmp_path / "in"), tmp_path / "out"
    build_cub(source, out)
    before = {path: path.read_bytes() for path in out.rglob("*.*")}
    (source / "bounding_boxes.txt").write_text("x")
    with pytest.raises(ManifestError, match=r"bounding_boxes\.txt:1"):
        build_cub(source, out, force=True)
    assert {path: path.read_bytes() for path in out.rglob("*.*")} == before


def write_classes(folder, counts):
    """A CUB download with so many training images in each class."""
    names = [f"{label + 1:03}.c{label}" for label in range(len(counts))]
    files = [f"{n}/{i}.jpg" for n, count in zip(names, counts, strict=True) for i in range(count)]
    folder.mkdir()
    (folder / "classes.txt").write_text("\n".join(f"{i} {n}" for i, n in enumerate(names, 1)))
    for file, value in (
        ("images.txt", lambda f: f),
        ("image_class_labels.txt", lambda f: int(f[:3])),
        ("train_test_split.txt", lambda f: 1),
        ("bounding_boxes.txt", lambda f: "1 1 5 5"),
    ):
        text = "\n".join(f"{i} {value(f)}" for i, f in enumerate(files, 1))
        (folder / file).write_text(text)
    for file in files:
        image(folder / "images" / file)
    return folder


def test_a_part_of_train_stands_in_for_val(tmp_path):
    source = write_classes(tmp_path / "in", [10, 4, 1])
    plain = build_cub(source, tmp_path / "plain").splits[0]
    train, val = build_cub(source, tmp_path / "a", val=0.2).splits
    assert np.bincount(val.labels, minlength=3).tolist() == [2, 1, 0]
    assert np.bincount(train.labels).tolist() == [8, 3, 1]
    assert sorted(train.ids + val.ids) == sorted(plain.ids)
    assert load_split(tmp_path / "a", "val").boxes is not None
    again = build_cub(source, tmp_path / "b", val=0.2).splits[1]
    other = build_cub(source, tmp_path / "c", val=0.2, seed=1).splits[1]
    assert again.ids == val.ids != other.ids
    text = (tmp_path / "c" / "manifest.toml").read_text()
    assert "val is 0.2 of the training images, seed 1" in text
    for share in (0, 1, -0.1, 1.5):
        with pytest.raises(ValueError, match="share between 0 and 1"):
            build_cub(source, tmp_path / "d", val=share)


def test_builders_by_name():
    assert find_builder("cub") is build_cub
    with pytest.raises(ValueError, match="one of cub, ilsvrc, tiny-imagenet but got 'coco'"):
        find_builder("coco")


def test_real_cub(data, vectors, tmp_path):
    built = build_cub(data / "cub10", tmp_path / "out")
    assert [(s.name, len(s), sum(map(len, s.boxes))) for s in built.splits] == [
        ("train", 300, 300),
        ("test", 243, 243),
    ]
    for split in built.splits:
        assert sorted(set(split.labels.tolist())) == list(range(10))
    rows = {i: (s, row) for s in built.splits for row, i in enumerate(s.ids)}
    with np.load(vectors / "cub10_cam.npz") as wanted:
        for i, image_id in enumerate(wanted["ids"].tolist()):
            split, row = rows[image_id]
            assert split.sizes[row].tolist() == wanted["sizes_wh"][i].tolist()
            found = wanted["gt_boxes"][wanted["gt_owner"] == i]
            assert split.boxes[row].tolist() == found.tolist()
    written = tomllib.loads((tmp_path / "out" / "manifest.toml").read_text())
    assert find_data_set("cub10").splits == written["splits"]


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (["images.txt", "train_test_split.txt"], "cub"),
        (["CUB_200_2011/images.txt", "CUB_200_2011/train_test_split.txt"], "cub"),
        (["images.txt"], None),
        (["ILSVRC/Data/CLS-LOC/val/a.JPEG"], "ilsvrc"),
        (["Data/CLS-LOC/val/a.JPEG"], "ilsvrc"),
        (["Annotations/CLS-LOC/val/a.xml", "val/a.JPEG"], "ilsvrc"),
        (["LOC_val_solution.csv", "val/a.JPEG"], "ilsvrc"),
        (["train/a/a.JPEG", "val/a/a.JPEG"], None),
        (["Data/CLS-LOC/val/a.JPEG", "manifest/test/image_ids.txt"], None),
    ],
)
def test_downloads_are_told_by_what_they_hold(tmp_path, parts, name):
    for part in parts:
        (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / part).write_text("")
    assert find_download(tmp_path) == name
