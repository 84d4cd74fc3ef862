import csv
import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from small_results import (
    FIRST,
    NAMES,
    ODD,
    READERS,
    SECOND,
    YOLO,
    check_round_trip,
    found,
    read,
    read_errors,
    read_yolo,
    write,
    yolo_files,
)

from wsol.cli import main
from wsol.writers import WRITERS, create_writer


@pytest.fixture(params=list(WRITERS))
def name(request):
    return request.param


@pytest.mark.parametrize("name", [*READERS, *YOLO])
def test_odd_sizes_come_back(tmp_path, name):
    check_round_trip(tmp_path, name, ODD)


@pytest.mark.parametrize("name", [*READERS, *YOLO])
def test_no_images_and_no_boxes(tmp_path, name):
    check_round_trip(tmp_path, name, [ODD[4]])
    create_writer(name, tmp_path, NAMES).close()
    assert read(tmp_path, name, []) == []


@pytest.mark.parametrize("name", ["labelstudio", "labelstudio-polygons", "voc", *YOLO])
def test_boxes_end_with_the_image(tmp_path, name):
    image = found("image-0.jpg", [[-1e-9, -2, 60.5, 40 + 1e-9]])
    write(tmp_path, name, [image])
    (((_, box, _),),) = read(tmp_path, name, [image])
    np.testing.assert_allclose(box, (0, 0, 60, 40), rtol=0, atol=1e-12)


def side(length):
    edges = st.floats(0, length, allow_nan=False)
    return st.tuples(edges, edges).map(sorted).filter(lambda edge: edge[1] - edge[0] > 1e-3)


@st.composite
def images(draw):
    size = draw(st.tuples(st.integers(1, 20000), st.integers(1, 20000)))
    pairs = draw(st.lists(st.tuples(*map(side, size)), max_size=3))
    return found(None, [[x[0], y[0], x[1], y[1]] for x, y in pairs], size=size)


@pytest.mark.parametrize("name", [*READERS, *YOLO])
@settings(max_examples=25, deadline=None)
@given(localizations=st.lists(images(), min_size=1, max_size=4))
def test_any_box_comes_back(tmp_path_factory, name, localizations):
    check_round_trip(tmp_path_factory.mktemp("any"), name, localizations)


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


def test_coco_data_set(tmp_path):
    write(tmp_path, "coco-dataset", names=("none", "of", "these"), localizations=(SECOND,))
    listed = json.loads((tmp_path / "coco_dataset.json").read_text())["categories"]
    assert [each["name"] for each in listed] == ["none", "of", "these"]
    write(tmp_path, "coco-dataset", names=(*NAMES, "absent"))
    truth = COCO(tmp_path / "coco_dataset.json")
    assert truth.dataset["categories"] == [
        {"id": 1, "name": NAMES[0]},
        {"id": 2, "name": NAMES[1]},
        {"id": 3, "name": "absent"},
    ]
    assert truth.getAnnIds() == [1, 2, 3]
    assert truth.loadAnns([1]) == [
        {"id": 1, "image_id": 1, "category_id": 2, "bbox": [1.25, 2, 28.75, 37.5],
         "area": 28.75 * 37.5, "iscrowd": 0, "segmentation": [], "score": 0.9},
    ]  # fmt: skip
    assert truth.loadImgs([2]) == [{"id": 2, "file_name": "b/x.jpg", "width": 60, "height": 40}]
    assert truth.dataset["errors"] == [{"file_name": "bad.jpg", "error": "the file is empty"}]


@pytest.mark.parametrize(
    ("name", "file"), [("coco", "coco_images.json"), ("coco-dataset", "coco_dataset.json")]
)
def test_coco_objects_have_what_readers_ask_for(tmp_path, name, file):
    """Also with nothing in them: some readers fail without these keys."""
    for images in ([FIRST, SECOND], [SECOND]):
        write(tmp_path, name, images)
        content = json.loads((tmp_path / file).read_text())
        assert content["info"]["description"].endswith(f"wsol-tdam {version('wsol-tdam')}")
        assert content["licenses"] == []


@pytest.mark.parametrize(
    ("paths", "root", "names"),
    [
        (["p/a.jpg", "p/b.jpg"], "p", ["a.jpg", "b.jpg"]),
        (["/q/p/a.jpg", "/q/r/a.jpg"], "/q", ["p/a.jpg", "r/a.jpg"]),
        (["a.jpg"], ".", ["a.jpg"]),
        (["../p/a.jpg", "p/a.jpg"], ".", ["../p/a.jpg", "p/a.jpg"]),
        (["/p/a.jpg", "p/a.jpg"], ".", ["/p/a.jpg", "p/a.jpg"]),  # nothing in common
        (["p/a.jpg", None, None], ".", ["p/a.jpg", "image", "image-2"]),
    ],
)
def test_coco_data_sets_name_images_below_their_folder(tmp_path, paths, root, names):
    write(tmp_path, "coco-dataset", [found(path, []) for path in paths])
    data = json.loads((tmp_path / "coco_dataset.json").read_text())
    assert data["info"]["image_root"] == root
    assert [image["file_name"] for image in data["images"]] == names


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


def test_localizations_without_steps(tmp_path, name):
    writer = create_writer(name, tmp_path, NAMES)
    if name == "npy":
        with pytest.raises(ValueError, match=r"with steps but got none for a/x\.jpg"):
            writer.add(replace(FIRST, steps=()))
    else:
        writer.add(replace(FIRST, steps=()))
    writer.close()


def test_voc_annotations(tmp_path):
    write(tmp_path, "voc")
    root = ElementTree.parse(tmp_path / "voc/Annotations/x.xml").getroot()
    assert [root.findtext(tag) for tag in ("folder", "filename", "path")] == [
        "JPEGImages", "x.jpg", str(Path("a/x.jpg")),
    ]  # fmt: skip
    assert [each.text for each in root.find("size")] == ["60", "40", "3"]
    first, full, other = root.iter("object")
    assert [each.text for each in first.find("bndbox")] == ["2", "3", "30", "40"]
    assert [each.text for each in full.find("bndbox")] == ["1", "1", "60", "40"]
    assert (first.findtext("score"), other.findtext("name")) == ("0.9", "tench")
    assert (tmp_path / "voc/ImageSets/Main/train.txt").read_text() == "x\nx-2\n"
    labels = (tmp_path / "voc/labelmap.txt").read_text().splitlines()
    assert labels == [f"{name}:::" for name in NAMES]
    for name in ("a:b", "#a", " a", "a\nb"):  # what such a line cannot say
        write(tmp_path, "voc", names=(name, *NAMES))
        assert not (tmp_path / "voc/labelmap.txt").exists()
    assert ElementTree.parse(tmp_path / "voc/Annotations/x-2.xml").getroot().find("object") is None
    assert read_errors(tmp_path / "voc/errors.csv") == [["bad.jpg", "the file is empty"]]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("voc", "voc/errors.csv"),
        ("yolo", "yolo/errors.csv"),
        ("yolo-seg", "yolo-seg/errors.csv"),
        ("huggingface", "huggingface/errors.csv"),
        ("labelstudio", "labelstudio_errors.csv"),
        ("labelstudio-polygons", "labelstudio_polygons_errors.csv"),
    ],
)
def test_errors_are_those_of_this_run(tmp_path, name, path):
    for _ in range(2):
        writer = create_writer(name, tmp_path, NAMES)
        assert not (tmp_path / path).exists()
        writer.add_error(Path("a, b.jpg"), 'not "an" image')
        writer.add_error(Path("ü.jpg"), "no such file")
        writer.close()
    rows = [["a, b.jpg", 'not "an" image'], ["ü.jpg", "no such file"]]
    assert read_errors(tmp_path / path) == rows


def test_label_studio_tasks(tmp_path):
    third = found(None, [[0, 0, 1, 1]])
    write(tmp_path, "labelstudio", [FIRST, SECOND, third, found(None, [])])
    tasks = json.loads((tmp_path / "labelstudio.json").read_text())
    assert [task["data"]["image"] for task in tasks] == ["a/x.jpg", "b/x.jpg", "image", "image-2"]
    (prediction,) = tasks[0]["predictions"]
    assert prediction["score"] == 0.9
    assert prediction["model_version"].startswith("wsol-tdam ")
    first, full, _ = prediction["result"]
    assert full["value"] == {"x": 0, "y": 0, "width": 100, "height": 100, "rotation": 0,
                             "rectanglelabels": [NAMES[1]]}  # fmt: skip
    assert (first["original_width"], first["original_height"]) == (60, 40)
    ids = [each["id"] for task in tasks for p in task["predictions"] for each in p["result"]]
    assert len(set(ids)) == len(ids) == 4
    assert tasks[1]["predictions"][0]["result"] == []
    view = ElementTree.parse(tmp_path / "labelstudio_config.xml").getroot()
    assert [label.get("value") for label in view.find("RectangleLabels")] == list(NAMES)


def test_unknown_formats_list_the_known(tmp_path):
    with pytest.raises(ValueError, match=r"one of coco, .*, voc, yolo, yolo-seg but got 'xml'"):
        create_writer("xml", tmp_path, NAMES)


def test_predict_writes_every_format(tmp_path, spot, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jpg").touch()
    spot.save(tmp_path / "in/b.png")
    formats = [argument for name in WRITERS for argument in ("--format", name)]
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as stop:
        main(["predict", str(tmp_path / "in"), *formats, "--confidence", "--out", str(out)])
    assert stop.value.code == 1  # for the empty file
    line = capsys.readouterr().out.splitlines()[-1].split("\t")
    box = [float(value) for value in line[3].split()]
    images = {name: READERS[name](out) for name in READERS}
    images |= {name: read_yolo(out, {"b": spot.size}, name) for name in YOLO}
    for name, ((row,),) in images.items():
        assert row[0] == line[1]
        np.testing.assert_allclose(row[1], box, atol=0.551 if name == "voc" else 0.051)
        if name != "yolo-seg":
            assert row[2] == pytest.approx(images["coco"][0][0][2], rel=1e-6)
    assert list(yolo_files(out)) == ["b.png"]
    for path in ("voc/errors.csv", "yolo/errors.csv", "labelstudio_errors.csv"):
        assert read_errors(out / path) == [[str(tmp_path / "in/a.jpg"), "the file is empty"]]
    with pytest.raises(SystemExit) as stop:
        main(["predict", str(tmp_path / "in"), "--format", "voc", "--confidence"])
    assert stop.value.code == 2
    assert "--confidence" in capsys.readouterr().err
