"""An image has one id, however a file of a data set spells its path."""

import json
from pathlib import Path

import pytest
from shapes import make_shapes

from eval.coco import to_coco
from eval.cub import read_cub
from eval.manifest import ManifestError, open_data_set
from eval.splits import tidy_path

FAULT = pytest.mark.fault("input: an image in two spellings")
SPELLINGS = ("./{}", "{0[0]}//{0[1]}", "{0[0]}/./{0[1]}", ".//{}", "././{}")


def spell(form, path):
    return form.format(path if "{}" in form else path.split("/"))


@pytest.fixture
def data(tmp_path):
    return make_shapes(tmp_path / "data", {"val": 1, "test": 1})


def repeat(folder, form, names=("image_ids", "class_labels", "image_sizes", "localization")):
    """Repeat the first image in another spelling."""
    for name in names:
        path = folder / f"{name}.txt"
        image_id, comma, rest = path.read_text().partition("\n")[0].partition(",")
        path.write_text(f"{path.read_text()}\n{spell(form, image_id)}{comma}{rest}")


@FAULT
@pytest.mark.parametrize("form", ["{}", *SPELLINGS])
def test_a_manifest_has_no_image_twice(data, form):
    repeat(data / "manifest" / "val", form)
    with pytest.raises(ManifestError, match=r"image_ids.txt:4: expected every id once but line 1"):
        open_data_set(data).load("val")


@FAULT
@pytest.mark.parametrize("form", SPELLINGS)
def test_files_of_a_manifest_may_spell_an_image_otherwise(data, form):
    folder = data / "manifest" / "val"
    plain = open_data_set(data).load("val")
    for name in ("image_ids", "localization"):
        lines = (folder / f"{name}.txt").read_text().splitlines()
        ids = [line.partition(",") for line in lines]
        (folder / f"{name}.txt").write_text("\n".join(spell(form, a) + b + c for a, b, c in ids))
    read = open_data_set(data).load("val")
    assert read.ids == plain.ids
    assert [each.tolist() for each in read.boxes] == [each.tolist() for each in plain.boxes]
    repeat(folder, form, ["image_sizes"])
    with pytest.raises(ManifestError, match="every id once but line 1 has it too"):
        open_data_set(data).load("val")


@FAULT
def test_splits_share_no_image_in_another_spelling(data):
    folder = data / "manifest" / "test"
    for path in folder.iterdir():
        path.write_text(path.read_text().replace("test/blue-0", "./val//blue-0"))
    with pytest.raises(ManifestError, match=r"share no image but both have val/blue-0\.png"):
        open_data_set(data).load("val+test")


@FAULT
@pytest.mark.parametrize("form", ["{}", *SPELLINGS])
def test_a_coco_file_has_no_image_twice(data, form):
    content = to_coco(open_data_set(data).load("val"))
    first = content["images"][0]
    again = {**first, "id": 99, "file_name": spell(form, first["file_name"])}
    path = data / "coco.json"
    path.write_text(json.dumps({**content, "images": [*content["images"], again]}))
    with pytest.raises(ManifestError, match=r"images\[3\].*every file_name once"):
        open_data_set(path).load()
    content["images"][0]["file_name"] = again["file_name"]
    path.write_text(json.dumps(content))
    assert open_data_set(path).load().ids == open_data_set(data).load("val").ids


@FAULT
def test_cub_has_no_image_twice(tmp_path):
    tables = {
        "images": "1 001.A/a.jpg\n2 ./001.A//a.jpg\n", "classes": "1 001.A\n",
        "image_class_labels": "1 1\n2 1\n", "train_test_split": "1 1\n2 1\n",
        "bounding_boxes": "1 1 1 9 9\n2 1 1 9 9\n",
    }  # fmt: skip
    for name, text in tables.items():
        (tmp_path / f"{name}.txt").write_text(text)
    with pytest.raises(ManifestError, match=r"every image once but got .001\.A/a\.jpg. again"):
        read_cub(tmp_path)


@pytest.mark.parametrize("path", ["..", "a/../a.jpg", "/a.jpg", "../a.jpg", ".", "./", "//a.jpg"])
def test_what_leaves_the_root_is_refused(data, path):
    for name in ("image_ids", "class_labels", "image_sizes", "localization"):
        file = data / "manifest" / "val" / f"{name}.txt"
        file.write_text(file.read_text().replace("val/blue-0.png", path))
    with pytest.raises(ManifestError, match=r"image_ids\.txt:1: expected"):
        open_data_set(data).load("val")


def test_other_names_stay():
    for path in ("a/b.jpg", "a/.b", "a..b", "...", "a/..", "", "é/ü .png", "a\\b"):
        assert tidy_path(path) == path
        assert Path(tidy_path(path)) == Path(path)
