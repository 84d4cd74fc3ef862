"""Two localizations, written in any format and read again by other programs."""

import csv
import json
import os
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools.coco import COCO

from wsol.results import Localization, Step
from wsol.writers import create_writer

NAMES = ("tench", 'a "quoted", name')

HOSTILE = (
    "tench",
    "",
    'a "quoted", \\ name',
    "<b>&amp;'",
    "süß ☃ 😀",
    "\x00\x07\r\n\t\x1f",
    "\x7f\x85\u2028\ufeff\ufffe",
    "\ud800 alone",
    "null",
    "- a: # b",
)

STEP = Step(np.linspace(0, 1, 12).reshape(3, 4), 0.9, (0.0, 0.0, 60.0, 40.0))


def found(path, boxes, label=1, others=(), size=(60, 40), names=NAMES):
    boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    scores = np.linspace(0.9, 0.5, len(boxes))
    path = None if path is None else Path(path)
    return Localization(
        label, names[label], 0.9, boxes, scores, (STEP,), *size, path=path, others=others
    )


FIRST = found("a/x.jpg", [[1.25, 2, 30, 39.5], [0, 0, 60, 40]])

FIRST = replace(FIRST, others=(found("a/x.jpg", [[5, 6, 7, 8]], label=0),))

SECOND = found("b/x.jpg", [])


def write(folder, name, localizations=(FIRST, SECOND), names=NAMES, **options):
    """Write localizations, with an error behind the first."""
    writer = create_writer(name, folder, names, **options)
    writer.add(localizations[0])
    writer.add_error(Path("bad.jpg"), "the file is empty")
    for each in localizations[1:]:
        writer.add(each)
    writer.close()


def read_coco(folder):
    truth = COCO(folder / "coco_images.json")
    results = json.loads((folder / "coco_results.json").read_text())
    return coco_boxes(truth.loadRes(results) if results else truth)


def read_coco_dataset(folder):
    return coco_boxes(COCO(folder / "coco_dataset.json"))


def coco_boxes(coco):
    images = []
    for image in coco.loadImgs(sorted(coco.getImgIds())):
        rows = []
        for each in coco.loadAnns(coco.getAnnIds(imgIds=image["id"])):
            x, y, width, height = each["bbox"]
            if len(np.ravel(each["segmentation"])) > 8:  # a polygon within the box
                assert 0 < each["area"] <= width * height * (1 + 1e-9)
            else:
                assert each["area"] == pytest.approx(width * height)
            assert each["iscrowd"] == 0
            category = coco.loadCats(each["category_id"])[0]["name"]
            rows.append((category, (x, y, x + width, y + height), each["score"]))
        images.append(rows)
    return images


def read_label_studio(folder, stem="labelstudio", kind="RectangleLabels"):
    images = []
    view = ElementTree.parse(folder / f"{stem}_config.xml").getroot()
    control, image = view.find(kind), view.find("Image")
    known = [label.get("value") for label in control]
    for task in json.loads((folder / f"{stem}.json").read_text()):
        assert set(task["data"]) == {image.get("value").removeprefix("$")}
        (prediction,) = task["predictions"]
        rows = []
        for each in prediction["result"]:
            assert (each["from_name"], each["to_name"]) == (control.get("name"), image.get("name"))
            assert (each["type"], each["image_rotation"]) == (kind.lower(), 0)
            value = each["value"]
            (label,) = value[kind.lower()]
            assert label in known
            if kind == "PolygonLabels":
                assert value["closed"] is True
                shares = np.array(value["points"]) / 100
            else:
                assert value["rotation"] == 0
                x, y, width, height = (value[key] / 100 for key in ("x", "y", "width", "height"))
                shares = np.array([[x, y], [x + width, y + height]])
            assert (shares >= 0).all()
            assert (shares <= 1 + 1e-15).all()
            points = shares * (each["original_width"], each["original_height"])
            rows.append((label, (*points.min(axis=0), *points.max(axis=0)), each["score"]))
        images.append(rows)
    return images


def read_label_studio_polygons(folder):
    return read_label_studio(folder, "labelstudio_polygons", "PolygonLabels")


def read_voc(folder):
    images = []
    for stem in (folder / "voc/ImageSets/Main/train.txt").read_text().splitlines():
        root = ElementTree.parse(folder / "voc/Annotations" / f"{stem}.xml").getroot()
        width, height = int(root.findtext("size/width")), int(root.findtext("size/height"))
        rows = []
        for each in root.iter("object"):
            keys = ("xmin", "ymin", "xmax", "ymax")
            x0, y0, x1, y1 = (int(each.findtext(f"bndbox/{key}")) for key in keys)
            assert 1 <= x0 <= x1 <= width
            assert 1 <= y0 <= y1 <= height
            assert [each.findtext(key) for key in ("pose", "truncated", "difficult")] == [
                "Unspecified", "0", "0",
            ]  # fmt: skip
            score = float(each.findtext("score"))
            rows.append((each.findtext("name"), (x0 - 1, y0 - 1, x1, y1), score))
        images.append(rows)
    return images


def read_yolo(folder, sizes, name="yolo"):
    """Read the labels in the order of writing, which only the caller knows."""
    config = yaml.safe_load((folder / name / "data.yaml").read_text(encoding="utf-8"))
    assert list(config["names"]) == list(range(len(config["names"])))
    images = []
    for stem, (width, height) in sizes.items():
        rows = []
        for line in (folder / name / "labels/train" / f"{stem}.txt").read_text().splitlines():
            label, *values = line.split()
            score = ()
            if name == "yolo":
                xc, yc, w, h, *score = map(float, values)
                shares = (xc - w / 2, yc - h / 2, xc + w / 2, yc + h / 2)
            else:
                points = np.array(values, float).reshape(-1, 2)
                shares = (*points.min(axis=0), *points.max(axis=0))
            assert -1e-15 < min(shares) <= max(shares) < 1 + 1e-15
            box = tuple(np.multiply(shares, (width, height, width, height)))
            rows.append((config["names"][int(label)], box, score[0] if score else None))
        images.append(rows)
    return images


READERS = {
    "coco": read_coco,
    "coco-dataset": read_coco_dataset,
    "labelstudio": read_label_studio,
    "labelstudio-polygons": read_label_studio_polygons,
    "voc": read_voc,
}


YOLO = ("yolo", "yolo-seg")


def read(folder, name, localizations):
    if name not in YOLO:
        return READERS[name](folder)
    sizes = {f"image-{i}": (each.width, each.height) for i, each in enumerate(localizations)}
    return read_yolo(folder, sizes, name)


def check_round_trip(folder, name, localizations, **options):
    localizations = [
        replace(each, path=Path(f"image-{i}.jpg")) for i, each in enumerate(localizations)
    ]
    write(folder, name, localizations, **options)
    images = read(folder, name, localizations)
    assert len(images) == len(localizations)
    for image, rows in zip(localizations, images, strict=True):
        boxes = np.concatenate([each.boxes for each in image.classes])
        names = [each.name for each in image.classes for _ in each.boxes]
        assert [row[0] for row in rows] == names
        if name not in YOLO or options:
            scores = np.concatenate([each.box_scores for each in image.classes])
            np.testing.assert_allclose([row[2] for row in rows], scores, rtol=1e-6)
        else:
            assert [row[2] for row in rows] == [None] * len(boxes)
        for box, (_, read_box, _) in zip(boxes, rows, strict=True):
            if name == "voc":  # a side under a pixel has no nearer whole one
                sides = np.tile(box[2:] - box[:2], 2)
                limits = np.where(sides < 1, 1, 0.5)
            else:
                limits = 0.01
            assert (np.abs(np.subtract(read_box, box)) <= limits).all(), (box, read_box)


ODD = [
    found(None, [[0, 0, 1, 1], [0.2, 0.4, 0.8, 0.6], [0, 0, 0.3, 1]], size=(1, 1)),
    found(None, [[0, 0, 20000, 3], [19999.26, 1.5, 20000, 2.5]], size=(20000, 3)),
    found(None, [[0.5, 1.5, 1.5, 2.5], [2.6, 2.4, 3.4, 3.6]], size=(5, 4)),
    found(None, [[1 / 3, 19998.7, 3, 20000]], size=(3, 20000)),
    found(None, [], size=(7, 7)),
    replace(
        found(None, [], size=(50, 50)), others=(found(None, [[1, 2, 3, 4]], 0, size=(50, 50)),)
    ),
]


def read_errors(path):
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["file", "error"]
    return rows


def image_file(path, color="red"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (60, 40), color).save(path)
    return path


def label_path(image):
    """Where trainers look for the labels of an image."""
    head, tail = str(image).rsplit(f"{os.sep}images{os.sep}", 1)
    return Path(f"{head}{os.sep}labels{os.sep}{tail}".rsplit(".", 1)[0] + ".txt")


def yolo_files(folder):
    """The images of `data.yaml`, each with its lines of labels."""
    config = yaml.safe_load((folder / "yolo/data.yaml").read_text())
    assert config["train"] == config["val"]
    assert Path(config["path"]).is_absolute()
    images = sorted((Path(config["path"]) / config["train"]).iterdir())
    return {image.name: label_path(image).read_text().splitlines() for image in images}
