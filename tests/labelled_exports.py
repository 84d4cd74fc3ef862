"""The same boxed images as tools export them: folders of COCO, YOLO and VOC files, by splits."""

import json
import shutil

from small_objects import BOX, fill

SIZE = (64, 48)
SPLITS = {"train": (4, 0), "valid": (2, 20), "test": (2, 40)}  # images a class, the first one
NAMES = ("blue box", "red_ball", "sea-green")


def write_export(folder, form, splits=SPLITS):
    """Write a data set as Roboflow does; images are called like their class and a number."""
    for split, (count, first) in splits.items():
        made = fill(folder / "made" / split, count, first)
        inside = folder / split / ("images" if form == "yolo" else "")
        inside.mkdir(parents=True)
        images = []
        for path in sorted(made.rglob("*.png")):
            label = NAMES.index(path.parent.name)
            images.append((f"{label}_{path.name}", label))
            shutil.copy(path, inside / images[-1][0])
        {"coco": _write_coco, "yolo": _write_yolo, "voc": _write_voc}[form](folder / split, images)
    shutil.rmtree(folder / "made")
    if form == "yolo":
        lines = ["train: ../train/images", "val: ../valid/images", "nc: 3", f"names: {list(NAMES)}"]
        (folder / "data.yaml").write_text("\n".join(lines))
    return folder


def _write_coco(folder, images):
    """With a category 0 that is the root of the others and that nothing has."""
    x0, y0, x1, y1 = BOX
    rows = enumerate(images)
    content = {
        "info": {"description": "Exported from roboflow.com"},
        "categories": [{"id": 0, "name": "things", "supercategory": "none"}]
        + [{"id": i, "name": n, "supercategory": "things"} for i, n in enumerate(NAMES, start=1)],
        "images": [
            {"id": row, "file_name": name, "width": SIZE[0], "height": SIZE[1]}
            for row, (name, _) in enumerate(images)
        ],
        "annotations": [
            {"id": row, "image_id": row, "category_id": label + 1, "iscrowd": 0,
             "bbox": [x0, y0, x1 - x0, y1 - y0]}
            for row, (_, label) in rows
        ],
    }  # fmt: skip
    (folder / "_annotations.coco.json").write_text(json.dumps(content))


def _write_yolo(folder, images):
    (folder / "labels").mkdir()
    (x0, y0, x1, y1), (width, height) = BOX, SIZE
    numbers = ((x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height)
    for name, label in images:
        line = " ".join(map(str, (label, *numbers)))
        (folder / "labels" / name).with_suffix(".txt").write_text(line)


def _write_voc(folder, images):
    x0, y0, x1, y1 = BOX
    corners = f"<xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
    for name, label in images:
        (folder / name).with_suffix(".xml").write_text(
            f"<annotation><folder></folder><filename>{name}</filename><path>{name}</path>"
            f"<size><width>{SIZE[0]}</width><height>{SIZE[1]}</height><depth>3</depth></size>"
            f"<object><name>{NAMES[label]}</name><bndbox>{corners}</bndbox></object></annotation>"
        )
