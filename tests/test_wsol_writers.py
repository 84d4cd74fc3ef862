import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from wsol.results import Localization, Step
from wsol.writers import WRITERS, create_writer

NAMES = ("tench", 'a "quoted", name')


def found(path, boxes, label=1, others=()):
    boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    step = Step(np.linspace(0, 1, 12).reshape(3, 4), 0.9, (0.0, 0.0, 60.0, 40.0))
    scores = np.linspace(0.9, 0.5, len(boxes))
    return Localization(
        label, NAMES[label], 0.9, boxes, scores, (step,), 60, 40, Path(path), others
    )


FIRST = found("a/x.jpg", [[1.25, 2, 30, 39.5], [0, 0, 60, 40]])
FIRST = replace(FIRST, others=(found("a/x.jpg", [[5, 6, 7, 8]], label=0),))
SECOND = found("b/x.jpg", [])


@pytest.fixture(params=list(WRITERS))
def name(request):
    return request.param


def write(folder, name):
    writer = create_writer(name, folder, NAMES)
    writer.add(FIRST)
    writer.add_error(Path("bad.jpg"), "the file is empty")
    writer.add(SECOND)
    writer.close()


def test_every_writer_writes(tmp_path, name):
    write(tmp_path, name)
    assert any(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())


def test_coco_loads_in_pycocotools(tmp_path):
    write(tmp_path, "coco")
    truth = COCO(tmp_path / "coco_images.json")
    results = truth.loadRes(str(tmp_path / "coco_results.json"))
    assert [image["file_name"] for image in truth.loadImgs([1, 2])] == ["a/x.jpg", "b/x.jpg"]
    (first, second, third) = results.loadAnns(results.getAnnIds())
    assert first["bbox"] == [1.25, 2, 28.75, 37.5]
    assert (first["score"], second["score"]) == (0.9, 0.5)
    assert truth.loadCats([first["category_id"]])[0]["name"] == NAMES[1]
    assert truth.loadCats([third["category_id"]])[0]["name"] == NAMES[0]
    assert truth.dataset["errors"] == [{"file_name": "bad.jpg", "error": "the file is empty"}]


def test_csv_keeps_names_and_empty_images(tmp_path):
    write(tmp_path, "csv")
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [NAMES[1], NAMES[1], NAMES[0], "", NAMES[1]]
    assert [float(rows[0][key]) for key in ("x0", "y0", "x1", "y1")] == [1.25, 2, 30, 39.5]
    assert (rows[3]["file"], rows[3]["error"]) == ("bad.jpg", "the file is empty")
    assert (rows[4]["x0"], rows[4]["box_score"]) == ("", "")


def test_json_lines_lose_nothing(tmp_path):
    write(tmp_path, "jsonl")
    lines = [json.loads(line) for line in (tmp_path / "predictions.jsonl").open()]
    assert lines == [
        FIRST.to_dict(),
        {"file": "bad.jpg", "error": "the file is empty"},
        SECOND.to_dict(),
    ]
    assert len(lines[0]["predictions"]) == 2


def test_maps_of_images_with_one_name(tmp_path):
    write(tmp_path, "npy")
    with (tmp_path / "maps.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["map"] for row in rows] == ["maps/x.npy", "", "maps/x-2.npy"]
    assert rows[1]["error"] == "the file is empty"
    found = np.load(tmp_path / rows[0]["map"])
    np.testing.assert_allclose(found, FIRST.steps[0].map[None])
    assert [float(rows[0][key]) for key in ("x0", "y0", "x1", "y1")] == [0, 0, 60, 40]


def test_unknown_formats_list_the_known(tmp_path):
    with pytest.raises(ValueError, match="one of coco, csv, jsonl, npy but got 'xml'"):
        create_writer("xml", tmp_path, NAMES)
