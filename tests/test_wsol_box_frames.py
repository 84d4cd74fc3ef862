"""Boxes beside the images that they are of: what sticks out, what has no area, sizes that lie."""

import json

import numpy as np
import pytest
from listeners import Counter
from PIL import Image
from tool_files import write_coco, write_cvat, write_datumaro, write_label_studio, write_voc

from eval.manifest import ManifestError, Split
from wsol.drawn_boxes import load_drawn_boxes
from wsol.errors import ArgumentError
from wsol.workflows.evaluate_boxes import evaluate_boxes

SIZE = (40, 20)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "photos"
    root.mkdir()
    for name in "abc":
        Image.new("RGB", SIZE).save(root / f"{name}.jpg")
    return root


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


def score(boxes, sizes=(SIZE,), **options):
    """Score boxes of a.jpg and so on, whose true box is (10, 5, 30, 15)."""
    count = len(sizes)
    split = Split(
        "test", tuple(f"{name}.jpg" for name in "abc"[:count]), np.zeros(count, np.int64),
        np.array(sizes), (np.array([[10, 5, 29, 14]]),) * count, class_names=("cat",),
    )  # fmt: skip
    return evaluate_boxes(split, boxes, protocol="clean", **options)


@pytest.mark.parametrize("tool", ["coco", "cvat", "voc", "datumaro"])
@pytest.mark.parametrize(
    ("edges", "size", "message"),
    [
        ((10, 5, 30, 15), SIZE, None),
        ((20, 10, 60, 30), (80, 40), None),  # of a resized copy
        ((10, 5, 30, 15), (400, 100), r"a resized copy: a\.jpg \(400 x 100 pixels, where"),
        ((10, 5, 30, 15), (20, 40), "with width and height swapped"),
        ((10, 5, 30, 15), (20, 10), r"size that the file states: a\.jpg \(10 5 30 15 in 20 x 10"),
        ((40, 5, 60, 15), SIZE, None),
        ((10, 5, 10, 15), SIZE, r"no area in the image: a\.jpg \(10 5 10 15 in 40 x 20"),
    ],
)
def test_sizes_and_boxes_that_contradict_the_image(tmp_path, tool, edges, size, message):
    write, suffix = TOOLS[tool]
    (tmp_path / "e").mkdir()
    path = write(tmp_path / "e" / f"found.{suffix}", edges, size)
    boxes = path.parent if tool == "voc" else path
    if edges[0] == 40:  # beside the image, and no other box is inside
        message = "1 of 1 reach outside"
    if message is None:
        assert score(boxes).result.gt_known_loc == 100
        return
    with pytest.raises(ArgumentError, match=message) as stop:
        score(boxes)
    assert stop.value.argument == "boxes"


def write_table(path, rows):
    header = "id,x0,y0,x1,y1,width,height"
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def test_boxes_that_reach_out_count_inside_and_are_told(tmp_path):
    rows = [("a.jpg", 10, 5, 30, 15, 40, 20), ("b.jpg", 10, 5, 55, 15, 40, 20)]
    listener = Counter()
    found = score(write_table(tmp_path / "b.csv", rows), [SIZE] * 2, events=listener)
    assert found.result.gt_known_loc == 100  # 10 to 40 of it: two thirds
    assert any("1 box reaches out of the image and count" in line for line in listener.said)
    rows[1] = ("b.jpg", 45, 5, 55, 15, 40, 20)
    path = write_table(tmp_path / "b.csv", rows)
    with pytest.raises(ArgumentError, match=r"no area in the image: b\.jpg \(45 5 55 15"):
        score(path, [SIZE] * 2)
    assert score(path, [SIZE] * 2, allow_missing=True).result.gt_known_loc == 50


def test_copies_that_were_squashed_to_one_size(tmp_path):
    sizes = [(40, 20), (20, 40), (40, 40)]
    rows = [
        (f"{name}.jpg", 10 * 60 / w, 5 * 60 / h, 30 * 60 / w, 15 * 60 / h, 60, 60)
        for name, (w, h) in zip("abc", sizes, strict=True)
    ]
    rows[1] = ("b.jpg", 30, 7.5, 60, 22.5, 60, 60)  # 10 to 20 of its 20 pixels
    assert score(write_table(tmp_path / "b.csv", rows), sizes).result.gt_known_loc >= 66
    rows[0] = ("a.jpg", 10, 5, 30, 15, 70, 60)
    with pytest.raises(ArgumentError, match=r"1 image with a size .* a\.jpg \(70 x 60 pixels"):
        score(write_table(tmp_path / "b.csv", rows), sizes)


def test_swapped_sizes_of_label_studio_name_the_way_out(tmp_path):
    path = write_coco(tmp_path / "result.json", (5, 5, 15, 15), (20, 40))
    with pytest.raises(ArgumentError, match=r"width and height swapped: a\.jpg"):
        score(path)
    content = json.loads(path.read_text()) | {"info": {"contributor": "Label Studio"}}
    path.write_text(json.dumps(content))
    with pytest.raises(ArgumentError, match=r"swapped .*: take its JSON export"):
        score(path)


@pytest.mark.parametrize("tool", ["voc", "cvat", "csv"])
def test_files_without_a_single_box_are_refused(tmp_path, tool):
    if tool == "voc":
        folder = tmp_path / "Annotations"
        folder.mkdir()
        (folder / "a.xml").write_text("<annotation><filename>a.jpg</filename></annotation>")
        boxes = tmp_path
    elif tool == "cvat":
        boxes = tmp_path / "a.xml"
        boxes.write_text('<annotations><image name="a.jpg" width="40" height="20"/></annotations>')
    else:
        boxes = write_table(tmp_path / "b.csv", [("a.jpg", "", "", "", "", 40, 20)])
    with pytest.raises(ArgumentError, match="holds no box of any of 1 image"):
        score(boxes)
