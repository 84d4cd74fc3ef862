"""The whole circle with Label Studio's own converter: drafts, its exports, the same boxes again."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from wsol.drawn_boxes import load_drawn_boxes
from wsol.images import read_image

converter = pytest.importorskip("label_studio_sdk.converter.converter")
pytestmark = pytest.mark.clients("label_studio_sdk")

# EXIF's orientation, and what a camera that is held so does to the upright picture
HELD = {
    1: None,
    3: Image.Transpose.ROTATE_180,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}
PHOTOS = ("chelsea", "coffee", "rocket")


@pytest.fixture(scope="module")
def turned(photos, tmp_path_factory):
    """Photographs in class folders, each stored in four ways, and all the same when upright."""
    root = tmp_path_factory.mktemp("turned")
    for name in PHOTOS:
        (root / name).mkdir()
        upright = read_image(next(photos.rglob(f"{name}.*")))
        for orientation, held in HELD.items():
            exif = Image.Exif()
            exif[0x0112] = orientation
            stored = upright if held is None else upright.transpose(held)
            path = root / name / f"{name}-{orientation}.jpg"
            stored.save(path, exif=exif, quality=95)
            assert read_image(path).size == upright.size
    return root


@pytest.fixture(scope="module")
def drafts(turned, tmp_path_factory):
    from wsol.cli import main

    out = tmp_path_factory.mktemp("drafts")
    formats = [flag for name in ("labelstudio", "labelstudio-polygons", "jsonl")
               for flag in ("--format", name)]  # fmt: skip
    with pytest.raises(SystemExit) as stop:
        main(["predict", str(turned), *formats, "--out", str(out)])
    assert not stop.value.code
    return out


def accept(drafts, stem, folder, rename):
    """Take every prediction for an annotation, as submitting it does, under another address."""
    tasks = json.loads((drafts / f"{stem}.json").read_text())
    boxes = {}
    for number, task in enumerate(tasks, start=1):
        (prediction,) = task.pop("predictions")
        path = task["data"]["image"]
        boxes["/".join(path.split("/")[-2:])] = [
            outer(region["value"], region["original_width"], region["original_height"])
            for region in prediction["result"]
        ]
        task["id"] = number
        task["data"]["image"] = rename(path)
        task["annotations"] = [{"id": number, "completed_by": 1, "result": prediction["result"]}]
    (folder / "tasks.json").write_text(json.dumps(tasks))
    return boxes


def outer(value, width, height):
    if "points" in value:
        (x0, y0), (x1, y1) = np.min(value["points"], axis=0), np.max(value["points"], axis=0)
    else:
        x0, y0 = value["x"], value["y"]
        x1, y1 = x0 + value["width"], y0 + value["height"]
    return np.array([x0 * width, y0 * height, x1 * width, y1 * height]) / 100


def export(drafts, stem, folder, form, images):
    """Let the converter write a format; `images` is what it finds uploaded ones in."""
    config = (drafts / f"{stem}_config.xml").read_text()
    made = converter.Converter(
        config, project_dir=str(images.parent), upload_dir=str(images), download_resources=False
    )
    out = folder / form
    made.convert(str(folder / "tasks.json"), str(out), converter.Format[form], is_dir=False)
    return out / "result.json" if form in ("JSON", "JSON_MIN", "COCO") else out


def check(path, boxes, root, within, turned):
    said = []
    split, home = load_drawn_boxes(path, "corrected", root)
    assert not said
    assert sorted(split.ids) == sorted(boxes)
    for row, image_id in enumerate(split.ids):
        assert split.size(row) == read_image(turned / image_id).size
        found = split.boxes[row] + [0, 0, 1, 1]
        np.testing.assert_allclose(found, boxes[image_id], atol=within, err_msg=image_id)
        assert (home / image_id).is_file()


RECTANGLES = [("JSON", 1e-6), ("JSON_MIN", 1e-6), ("COCO", 0.01), ("YOLO", 0.01),
              ("YOLO_OBB", 0.01), ("VOC", 1)]  # fmt: skip  # it cuts fractions off, twice each


@pytest.mark.parametrize(("form", "within"), RECTANGLES)
def test_boxes_of_images_on_a_disk(drafts, turned, tmp_path, form, within):
    boxes = accept(drafts, "labelstudio", tmp_path, str)
    path = export(drafts, "labelstudio", tmp_path, form, tmp_path)
    check(path, boxes, turned, within, turned)


@pytest.mark.parametrize(("form", "within"), RECTANGLES)
def test_boxes_of_uploaded_images(drafts, turned, tmp_path, form, within):
    """Label Studio keeps a copy of each, in one folder, with a code in front of its name."""
    uploads = tmp_path / "media" / "upload"
    (uploads / "1").mkdir(parents=True)

    def upload(path):
        name = f"1a2b3c4d-{path.rsplit('/', 1)[-1]}"
        shutil.copy(path, uploads / "1" / name)
        return f"/data/upload/1/{name}"

    boxes = accept(drafts, "labelstudio", tmp_path, upload)
    path = export(drafts, "labelstudio", tmp_path, form, uploads)
    check(path, boxes, turned, within, turned)


@pytest.mark.parametrize(
    ("form", "within"), [("JSON", 1e-6), ("JSON_MIN", 1e-6), ("COCO", 0.01), ("YOLO", 0.01)]
)
def test_polygons_count_by_the_box_around_them(drafts, turned, tmp_path, form, within):
    boxes = accept(drafts, "labelstudio_polygons", tmp_path, str)
    path = export(drafts, "labelstudio_polygons", tmp_path, form, tmp_path)
    check(path, boxes, turned, within, turned)


@pytest.mark.parametrize("form", ["JSON", "COCO", "YOLO", "VOC"])
def test_calibrate_takes_them(drafts, turned, tmp_path, run, form):
    accept(drafts, "labelstudio", tmp_path, str)
    path = export(drafts, "labelstudio", tmp_path, form, tmp_path)
    code, out, err = run("calibrate", "efficientnet_lite0_tdam", "--boxes", path, "--root", turned,
                         "--out", tmp_path / "own.safetensors")  # fmt: skip
    assert code == 0, err
    assert "on 12 images" in out
    assert "left out" not in err
    mean = float(out.split("mean overlap on these very images: ")[1].split(";")[0])
    assert mean > 0.97
