"""A byte order mark at the start of a text file is no part of it."""

import json

import numpy as np
import pytest

from eval.manifest import load_split
from eval.parsing import read_json, read_toml, read_yaml
from eval.tables import read_lines, read_table
from tdam.toml_records import read_toml as read_record

MARK = b"\xef\xbb\xbf"
FILES = {
    "image_ids": "a.jpg\nb.jpg",
    "class_labels": "a.jpg,0\nb.jpg,1",
    "image_sizes": "a.jpg,50,40\nb.jpg,30,20",
    "localization": "a.jpg,0,0,9,9\nb.jpg,1,2,3,4",
}


@pytest.mark.fault("input: byte order marks")
@pytest.mark.parametrize("marked", [*((name,) for name in FILES), tuple(FILES)])
def test_manifests(marked, tmp_path):
    for home in ("plain", "marked"):
        (tmp_path / home / "test").mkdir(parents=True)
        for name, text in FILES.items():
            mark = MARK if home == "marked" and name in marked else b""
            (tmp_path / home / "test" / f"{name}.txt").write_bytes(mark + text.encode())
    plain, other = (load_split(tmp_path / home) for home in ("plain", "marked"))
    assert other.ids == plain.ids == ("a.jpg", "b.jpg")
    for name in ("labels", "sizes", "boxes"):
        np.testing.assert_array_equal(getattr(other, name), getattr(plain, name))


@pytest.mark.fault("input: byte order marks")
def test_files_with_a_mark_alone_are_empty(tmp_path):
    (tmp_path / "test").mkdir()
    for name, text in FILES.items():
        text = "" if name in ("image_sizes", "localization") else text
        (tmp_path / "test" / f"{name}.txt").write_bytes(MARK + text.encode())
    split = load_split(tmp_path)
    assert split.boxes is split.sizes is None


@pytest.mark.fault("input: byte order marks")
def test_tables_and_settings(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(MARK + b"label,name\n0,cat\n")
    assert [row for _, row in read_table(path, ("label",))] == [{"label": "0", "name": "cat"}]
    assert next(read_lines(path))[1] == "label,name"
    path.write_bytes(MARK + b"size = 3\n")
    assert read_toml(path) == read_record(path, "a recipe")[0] == {"size": 3}
    path.write_bytes(MARK + b"size: 3\n")
    assert read_yaml(path) == {"size": 3}
    path.write_bytes(MARK + json.dumps({"size": 3}).encode())
    assert read_json(path) == {"size": 3}
