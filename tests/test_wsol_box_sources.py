"""Files and folders of boxes in every form: told by content, alike for both commands."""

import numpy as np
import pytest
from labelled_exports import NAMES, write_export
from PIL import Image
from small_objects import BOX
from tool_files import write_coco, write_cvat, write_datumaro, write_label_studio

from eval.manifest import ManifestError, load_split
from wsol import train
from wsol.drawn_boxes import load_drawn_boxes
from wsol.errors import ArgumentError
from wsol.readers import read_boxes, tell_source
from wsol.workflows.evaluate_boxes import evaluate_boxes

SIZE, EDGES = (40, 20), (10, 5, 30, 15)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "photos"
    root.mkdir()
    Image.new("RGB", SIZE).save(root / "a.jpg")
    return root


def check(path, form, root):
    """Both commands read the one box of a.jpg."""
    assert tell_source(path).form == form
    split, _ = load_drawn_boxes(path, "drawn", root)
    np.testing.assert_allclose(split.boxes[0] + [0, 0, 1, 1], [EDGES], atol=1e-9)
    truth = write_coco(root.parent / "truth.json", EDGES, SIZE)
    assert evaluate_boxes(truth, path, protocol="clean").result.box_acc["70"] == 100


@pytest.mark.parametrize("form", ["coco", "voc", "yolo"])
def test_folders_as_roboflow_writes_them(tmp_path, form):
    """Boxes of all splits are there, and only those of the one that is scored count."""
    folder = write_export(tmp_path / form, form)
    if form == "yolo":
        (folder / "data.yaml").rename(folder / "data.yml")
    (folder / "README.roboflow.txt").write_text("Exported")
    data = write_export(tmp_path / "data", "coco")
    assert len(load_drawn_boxes(folder, "drawn")[0]) == 3 * 8
    for split, count in (("train", 12), ("val", 6), ("test", 6)):
        found = evaluate_boxes(data, folder, split=split, protocol="clean", class_map="predicted")
        assert found.result.images == count
        assert (found.result.top1_loc, found.result.box_acc["70"]) == (100, 100)
    images = list(read_boxes(folder))
    assert {box.kind.name for image in images for box in image.boxes} == {*NAMES}
    assert len(images) == 24
    assert [*BOX] == pytest.approx(
        [edge * (side if form == "yolo" else 1) for edge, side
         in zip(images[0].boxes[0].edges, (64, 48, 64, 48), strict=True)]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("write", "name", "form"),
    [
        (write_coco, "result.json", "COCO"),  # Label Studio's
        (write_coco, "annotations/instances_train.json", "COCO"),  # Datumaro's
        (write_coco, "annotations/instances_default.json", "COCO"),  # CVAT's
        (write_coco, "my_export.json", "COCO"),
        (write_label_studio, "result.json", "Label Studio"),
        (write_label_studio, "project-1-at-2026-01-01.json", "Label Studio"),
        (write_datumaro, "annotations/train.json", "Datumaro"),
        (write_cvat, "annotations.xml", "CVAT"),
        (write_cvat, "train.xml", "CVAT"),  # Datumaro's
    ],
)
def test_folders_of_one_file(root, tmp_path, write, name, form):
    path = tmp_path / "export" / name
    path.parent.mkdir(parents=True)
    write(path, EDGES, SIZE)
    (tmp_path / "export" / "images").mkdir()
    (tmp_path / "export" / "config.xml").write_text("<View><Image/></View>")
    check(tmp_path / "export", form, root)


def test_files_of_one_tool_count_together(root, tmp_path):
    folder = tmp_path / "export"
    folder.mkdir()
    Image.new("RGB", SIZE).save(root / "b.jpg")
    write_cvat(folder / "train.xml", EDGES, SIZE)
    text = (folder / "train.xml").read_text().replace("a.jpg", "b.jpg")
    (folder / "val.xml").write_text(text)
    assert load_drawn_boxes(folder, "drawn", root)[0].ids == ("a.jpg", "b.jpg")
    assert [image.names for image in read_boxes(folder)] == [("a.jpg",), ("b.jpg",)]


def test_folders_of_no_form_say_what_was_looked_for(root, tmp_path):
    for read in (
        lambda path: load_drawn_boxes(path, "drawn", root),
        lambda path: [*read_boxes(path)],
    ):
        with pytest.raises(
            ManifestError, match=r"got none; looked for COCO, .*data\.yaml, .*\.csv"
        ):
            read(root)
        with pytest.raises(ManifestError, match="no such file or folder"):
            read(root / "none")
    many = tmp_path / "many"
    many.mkdir()
    write_coco(many / "coco_dataset.json", EDGES, SIZE)
    check(many, "COCO", root)
    (many / "labels").mkdir()
    (many / "labels" / "a.txt").write_text("0 0.5 0.5 0.5 0.5")
    with pytest.raises(ManifestError, match=r"several \(coco_dataset\.json, files of YOLO\)"):
        load_drawn_boxes(many, "drawn", root)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("predictions.csv", "file,x0,y0,x1,y1,name\na.jpg,10,5,30,15,cat\n", "a table of pred"),
        (
            "predictions.jsonl",
            '{"file": "a.jpg", "width": 40, "height": 20, "predictions": [{"label": 0, "name": '
            '"cat", "score": 1, "boxes": [[10, 5, 30, 15]], "box_scores": [1]}]}\n',
            "predictions as JSON Lines",
        ),
        (
            "metadata.jsonl",
            '{"file_name": "a.jpg", "objects": {"bbox": [[10, 5, 20, 10]], "categories": [0]}}\n',
            "Hugging Face's metadata",
        ),
    ],
)
def test_predictions_are_scored_and_not_chosen_on(root, tmp_path, name, content, what):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / name).write_text(content)
    truth = write_coco(tmp_path / "truth.json", EDGES, SIZE)
    for path in (folder / name, folder):
        assert evaluate_boxes(truth, path, protocol="clean").result.box_acc["70"] == 100
        with pytest.raises(ArgumentError, match=f"{what}.*: expected a COCO data set") as stop:
            load_drawn_boxes(path, "drawn", root)
        assert (stop.value.argument, str(folder) in str(stop.value)) == ("boxes", True)


@pytest.mark.parametrize(
    ("name", "what"),
    [("a.xml", "XML, such as CVAT's"), ("a.csv", "a table"), ("a.jsonl", "JSON L")],
)
def test_boxes_that_are_no_data_are_told(tmp_path, name, what):
    path = tmp_path / name
    write_cvat(path, EDGES, SIZE)
    message = f"expected a COCO data set .* but got {what}.*, which .* as --boxes"
    with pytest.raises(ManifestError, match=message):
        load_split(path)
    with pytest.raises(ValueError, match=message):
        train(path, out=tmp_path / "run")


def test_a_file_of_vocs_names_its_folder(tmp_path):
    (tmp_path / "a.xml").write_text("<annotation><filename>a.jpg</filename></annotation>")
    with pytest.raises(ManifestError, match="got 'annotation'; of VOC's files name the folder"):
        list(read_boxes(tmp_path / "a.xml"))
