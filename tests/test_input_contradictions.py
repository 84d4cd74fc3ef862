"""Tables, objects and maps that say two things, or what only Python takes for a number."""

import io
import json

import numpy as np
import pytest

from eval.manifest import load_classes, load_split
from eval.parsing import read_json, read_yaml
from eval.splits import ManifestError
from eval.tables import parse_float, parse_int
from tdam.strict_json import loads
from wsol.classes import find_class
from wsol.evaluation.folder_maps import read_map
from wsol.images import ImageError
from wsol.writers import create_writer


def four_files(folder, box="0,0,3,3", label="0", classes=None):
    (folder / "test").mkdir(exist_ok=True)
    for name, text in (
        ("image_ids", "a.png\n"), ("class_labels", f"a.png,{label}\n"),
        ("image_sizes", "a.png,20,20\n"), ("localization", f"a.png,{box}\n"),
    ):  # fmt: skip
        (folder / "test" / f"{name}.txt").write_text(text, encoding="utf-8")
    if classes is not None:
        (folder / "classes.csv").write_text(classes)
    return folder


@pytest.mark.fault("input: numbers that only Python reads")
@pytest.mark.parametrize(
    "text", ["1_2", "\u0661\u0662", "nan", "infinity", "1e400", "", "0x1", "٣"]
)
def test_numbers_that_only_python_reads(tmp_path, text):
    for parse in (parse_int, parse_float):
        with pytest.raises(ValueError, match="number"):
            parse(text)
    with pytest.raises(ManifestError, match=r"localization\.txt:1"):
        load_split(four_files(tmp_path, box=f"0,0,{text},3"))
    with pytest.raises(ManifestError, match=r"class_labels\.txt:1"):
        load_split(four_files(tmp_path, label=text))
    with pytest.raises(ValueError, match="class"):
        find_class(text or "?", tuple(f"kind {letter}" for letter in "abcdefghijklm"))


@pytest.mark.fault("input: tables that contradict themselves")
def test_two_labels_of_one_output(tmp_path):
    path = tmp_path / "classes.csv"
    path.write_text("label,imagenet1k_index\n0,7\n1,8\n2,7\n")
    with pytest.raises(ManifestError, match=r"classes\.csv:4.*classes\.csv:2 has 7 too"):
        load_classes(path)
    path.write_text("label,imagenet1k_index\n0,7\n0,8\n")
    with pytest.raises(ManifestError, match=r"classes\.csv:3"):
        load_classes(path)


@pytest.mark.fault("input: tables that contradict themselves")
def test_two_labels_of_one_name(tmp_path):
    with pytest.raises(ManifestError, match=r"classes\.csv:3.*classes\.csv:2 has 'crane' too"):
        load_split(four_files(tmp_path, classes="label,name\n0,crane\n1,crane\n"))
    named = four_files(tmp_path, classes="label,wnid,name\n0,n1,crane\n1,n2,crane\n")
    assert load_split(named).class_names == ("crane", "crane")


@pytest.mark.fault("input: keys that come twice")
def test_keys_that_come_twice(tmp_path):
    path = tmp_path / "file"
    for text in ('{"a": 1, "a": 1}', '[{"b": {"a": 1, "c": 2, "a": 3}}]'):
        path.write_text(text)
        with pytest.raises(ManifestError, match="the key 'a' comes twice"):
            read_json(path)
        with pytest.raises(ValueError, match="'a' twice"):
            loads(text)
    for text in ("names: [x]\na: 1\na: 2\n", "{a: 1, b: {c: 1}, a: 1}", "x:\n  a: 0\n  a: 1\n"):
        path.write_text(text)
        with pytest.raises(ManifestError, match="the key 'a' comes twice"):
            read_yaml(path)


def npy(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


@pytest.mark.fault("input: arrays that are no maps")
def test_arrays_that_are_no_maps(tmp_path):
    path, whole = tmp_path / "map.npy", np.linspace(0, 1, 16).reshape(4, 4)
    for good in (whole, np.asfortranarray(whole), whole.astype(">f4"), whole.astype("<f2")):
        path.write_bytes(npy(good))
        np.testing.assert_allclose(read_map(path), whole, atol=1e-3)
    header = npy(whole)
    bad = [
        header + b"\0", header + header, header[:-1],
        header.replace(b"(4, 4)", b"(-4,4)"), npy(np.zeros((0, 4))), npy(whole.astype(bool)),
        npy(whole.astype(object)), npy(np.zeros(4, [("a", "f4")])), npy(whole.astype(complex)),
        npy(np.full((4, 4), np.nan)),
    ]  # fmt: skip
    for content in bad:
        path.write_bytes(content)
        with pytest.raises(ImageError, match="expected") as error:
            read_map(path)
        assert "\n" not in str(error.value)


@pytest.mark.fault("input: names of several lines")
@pytest.mark.parametrize("name", ["a:b", "a\nb", "#a", " "])
def test_a_list_of_labels_that_is_left_out_is_told(tmp_path, name):
    with create_writer("voc", tmp_path, ("cat", name)) as writer:
        assert writer.notes == [f"without voc/labelmap.txt, which cannot hold the name {name!r}"]
    assert not (tmp_path / "voc/labelmap.txt").exists()
    with create_writer("voc", tmp_path, ("cat", "dog")) as writer:
        assert writer.notes == []
    assert (tmp_path / "voc/labelmap.txt").read_text() == "cat:::\ndog:::\n"


@pytest.mark.fault("input: tables that contradict themselves")
def test_two_annotations_of_one_id(tmp_path):
    image = {"id": 1, "file_name": "a.png", "width": 9, "height": 9}
    box = {"id": 5, "image_id": 1, "category_id": 1, "bbox": [0, 0, 3, 3]}
    content = {"images": [image], "categories": [{"id": 1, "name": "cat"}]}
    path = tmp_path / "boxes.json"
    for second, match in (({}, "every id once"), ({"id": 6, "image_id": 2}, "id of a record")):
        path.write_text(json.dumps({**content, "annotations": [box, {**box, **second}]}))
        with pytest.raises(ManifestError, match=match):
            load_split(path)
