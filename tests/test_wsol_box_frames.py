"""Boxes beside the images that they are of: what sticks out, what has no area, sizes that lie."""

import json

import numpy as np
import pytest
from PIL import Image

from eval.manifest import ManifestError
from wsol.drawn_boxes import load_drawn_boxes

SIZE = (40, 20)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "photos"
    root.mkdir()
    for name in "abc":
        Image.new("RGB", SIZE).save(root / f"{name}.jpg")
    return root


def write_coco(path, edges, size, name="a.jpg"):
    x0, y0, x1, y1 = edges
    content = {
        "images": [{"id": 1, "file_name": name, "width": size[0], "height": size[1]}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0]}
        ],
        "categories": [{"id": 1, "name": "cat"}],
    }
    path.write_text(json.dumps(content))
    return path


def write_cvat(path, edges, size, more=""):
    corners = " ".join(f'{k}="{v}"' for k, v in zip(("xtl", "ytl", "xbr", "ybr"), edges,
                                                    strict=True))  # fmt: skip
    path.write_text(
        f'<annotations><image name="a.jpg" width="{size[0]}" height="{size[1]}">'
        f'<box label="cat" {corners} {more}/></image></annotations>'
    )
    return path


def write_voc(path, edges, size):
    path = path.with_name("a.xml")
    corners = "".join(f"<{k}>{v:.1f}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"),
                                                            edges, strict=True))  # fmt: skip
    path.write_text(
        f"<annotation><filename>a.jpg</filename><size><width>{size[0]}</width><height>{size[1]}"
        f"</height></size><object><name>cat</name><bndbox>{corners}</bndbox></object></annotation>"
    )
    return path


def write_datumaro(path, edges, size):
    x0, y0, x1, y1 = edges
    box = {"type": "bbox", "label_id": 0, "bbox": [x0, y0, x1 - x0, y1 - y0]}
    image = {"path": "a.jpg", "size": [size[1], size[0]]}
    items = [{"id": "a", "annotations": [box], "image": image}]
    categories = {"label": {"labels": [{"name": "cat"}]}}
    path.write_text(json.dumps({"categories": categories, "items": items}))
    return path


def write_label_studio(path, edges, size, more=0):
    (x0, y0, x1, y1), (width, height) = edges, size
    value = {
        "x": 100 * x0 / width, "y": 100 * y0 / height, "width": 100 * (x1 - x0) / width,
        "height": 100 * (y1 - y0) / height, "rotation": more, "rectanglelabels": ["cat"],
    }  # fmt: skip
    region = {"value": value, "original_width": width, "original_height": height}
    path.write_text(
        json.dumps([{"data": {"image": "a.jpg"}, "annotations": [{"result": [region]}]}])
    )
    return path


TOOLS = {
    "coco": (write_coco, "json"),
    "cvat": (write_cvat, "xml"),
    "voc": (write_voc, "xml"),
    "datumaro": (write_datumaro, "json"),
    "labelstudio": (write_label_studio, "json"),
}


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(
    ("edges", "clipped"),
    [
        ((10, 5, 30, 15), (10, 5, 30, 15)),
        ((-0.75, 5, 30, 20.75), (0, 5, 30, 20)),  # rounding explains this much
        ((10, 5, 42, 15), None),
        ((10, -2, 30, 15), None),
        ((162, 5, 170, 15), None),
        ((10, 5, 10, 15), None),
    ],
)
def test_drawn_boxes_lie_in_their_images(root, tmp_path, tool, edges, clipped):
    write, suffix = TOOLS[tool]
    (tmp_path / "e").mkdir()
    path = write(tmp_path / "e" / f"found.{suffix}", edges, SIZE)
    boxes = path.parent if tool == "voc" else path
    if clipped is None:
        with pytest.raises(ManifestError, match=r"expected (a box|bbox) (in|to)") as stop:
            load_drawn_boxes(boxes, "drawn", root)
        assert str(path) in str(stop.value)
        return
    split, _ = load_drawn_boxes(boxes, "drawn", root)
    np.testing.assert_allclose(split.boxes[0] + [0, 0, 1, 1], [clipped], atol=1e-9)


@pytest.mark.parametrize(
    ("write", "suffix", "turned"),
    [(write_cvat, "xml", 'rotation="45"'), (write_label_studio, "json", 45)],
)
def test_the_box_around_a_turned_one_is_cut_off(root, tmp_path, write, suffix, turned):
    path = write(tmp_path / f"found.{suffix}", (14, 2, 30, 18), SIZE, turned)
    split, _ = load_drawn_boxes(path, "drawn", root)
    x0, y0, x1, y1 = (split.boxes[0] + [0, 0, 1, 1])[0]
    half = 8 * 2**0.5
    if suffix == "xml":  # around its middle
        assert [x0, y0, x1, y1] == pytest.approx([22 - half, 0, 22 + half, 20])
    else:  # around its upper left corner, (14, 2)
        assert [x0, y0, x1, y1] == pytest.approx([14 - half, 2, 14 + half, 20])
