"""Regions of boxes, as polygons and masks: the box's own, of the same area, in any size."""

import csv
import json

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle
from pycocotools.coco import COCO
from small_objects import fill

from tdam.registry import create_model
from wsol.boxes import threshold_regions
from wsol.contours import simplify_line, trace_contours
from wsol.localizer import Localizer
from wsol.outlines import ring_area
from wsol.prediction import predict
from wsol.regions import Region, find_regions

SIDE = 48


def shape(name):
    """Connected pixels, a square of `SIDE`."""
    pixels = np.zeros((SIDE, SIDE), dtype=bool)
    y, x = np.mgrid[:SIDE, :SIDE]
    far = np.hypot(x - 20, y - 25)
    if name == "pixel":
        pixels[17, 30] = True
    elif name == "disc":
        pixels = far < 15
    elif name == "ring":
        pixels = (far < 15) & (far > 6)
    elif name == "two holes":
        pixels = (far < 18) & (np.hypot(x - 14, y - 22) > 5) & (np.hypot(x - 27, y - 28) > 4)
    elif name == "border":
        pixels = x + y < 30
    elif name == "everything":
        pixels[:] = True
    elif name == "diagonal":  # pixels that meet at corners alone
        pixels = x == y
    elif name == "comb":
        pixels = (y < 4) | (x % 4 == 0)
    elif name == "noise":
        full = np.random.default_rng(3).random((SIDE, SIDE)) < 0.7
        labels = cv2.connectedComponents(full.astype(np.uint8), connectivity=8)[1]
        pixels = labels == np.bincount(labels[full]).argmax()
    return pixels


SHAPES = ("pixel", "disc", "ring", "two holes", "border", "everything", "diagonal", "comb", "noise")


def bounds(pixels, frame):
    """The box around a region's outer edges."""
    (top, left), (bottom, right) = (pick(np.argwhere(pixels), axis=0) for pick in (np.min, np.max))
    x, y = (np.array(edges) / SIDE for edges in ((left, right + 1), (top, bottom + 1)))
    (x0, x1), (y0, y1) = x * (frame[2] - frame[0]) + frame[0], y * (frame[3] - frame[1]) + frame[1]
    return x0, y0, x1, y1


def fill_polygon(points, size):
    width, height = size
    return rle.decode(rle.merge(rle.frPyObjects([points.ravel().tolist()], height, width))) > 0


def iou(first, second):
    return (first & second).sum() / (first | second).sum()


@pytest.mark.parametrize("name", SHAPES)
def test_a_polygon_has_the_box_and_the_area_of_its_region(name):
    pixels = shape(name)
    for size in ((1, 1), (3, 2), (768, 960), (12345, 7)):
        frame = (0.0, 0.0, *map(float, size))
        points = Region(pixels, frame).polygon()
        corners = (*points.min(axis=0), *points.max(axis=0))
        np.testing.assert_allclose(corners, bounds(pixels, frame), rtol=1e-12, atol=1e-12)
        share = np.prod(size) / SIDE**2
        assert abs(ring_area(points)) == pytest.approx(pixels.sum() * share, rel=0.02)
    size = (16 * SIDE, 20 * SIDE)
    region = Region(pixels, (0.0, 0.0, *map(float, size)))
    assert iou(fill_polygon(region.polygon(), size), region.paint(*size)) >= 0.98
    if name == "disc":
        assert len(region.polygon()) <= 40


@pytest.mark.parametrize("name", SHAPES)
def test_a_painted_region_is_its_pixels(name):
    pixels = shape(name)
    same = Region(pixels, (0.0, 0.0, SIDE, SIDE)).paint(SIDE, SIDE)
    assert (same == pixels).all()
    large = Region(pixels, (0.0, 0.0, 3.0 * SIDE, 2.0 * SIDE)).paint(3 * SIDE, 2 * SIDE)
    assert (large == pixels.repeat(2, axis=0).repeat(3, axis=1)).all()
    cropped = Region(pixels, (5.0, 1.0, 5.0 + SIDE, 1.0 + SIDE)).paint(SIDE + 9, SIDE + 2)
    assert (cropped[1 : SIDE + 1, 5 : SIDE + 5] == pixels).all()
    assert cropped.sum() == pixels.sum()
    for size in ((1, 1), (2, 1), (1, 3)):  # smaller than the region's own pixels
        assert Region(pixels, (0.0, 0.0, *map(float, size))).paint(*size).any()


@pytest.mark.parametrize("contours", ["largest", "outer", "all"])
def test_every_box_has_the_region_that_it_is_drawn_around(contours):
    noise = np.random.default_rng(0).random((9, 9)).astype(np.float32)
    heat = cv2.resize(noise, (64, 64)).clip(0, 1)
    boxes, regions = threshold_regions(heat, 0.6, contours)
    assert len(boxes) == len(regions) > (contours != "largest")
    for (x0, y0, x1, y1), pixels in zip(boxes, regions, strict=True):
        rows, columns = np.nonzero(pixels)
        around = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        inside = np.array([x0, y0, -x1, -y1]) >= np.array([*around[:2], *-np.array(around[2:])])
        assert inside.all() if contours == "all" else (x0, y0, x1, y1) == around
        assert cv2.connectedComponents(pixels.astype(np.uint8), connectivity=8)[0] == 2


@pytest.fixture(scope="module")
def drafts(tmp_path_factory):
    """Several boxes on each of six images, in all formats that have regions."""
    import torch

    home = tmp_path_factory.mktemp("drafts")
    fill(home / "in", 2)
    Image.new("RGB", (1, 1)).save(home / "in" / "tiny.png")
    torch.manual_seed(0)
    model = create_model("resnet18", num_classes=3)
    model.class_names = ("a", "b", "c")
    results = {}
    options = {"multi": True, "topk": 2, "threshold": 0.5, "on_result": results.__setitem__}
    kinds = ["coco", "coco-dataset", "masks", "yolo-seg", "labelstudio-polygons"]
    predict(model, home / "in", home / "out", formats=kinds, **options)
    predict(model, home / "in", home / "rle", formats=kinds[:2], rle=True, **options)
    return home, [result for result in results.values() if len(result.boxes)]


def test_a_localization_knows_its_regions(drafts):
    results = drafts[1]
    assert len(results) >= 6
    assert max(len(each.boxes) for each in results) > 1
    for each in (part for result in results for part in result.classes):
        regions = find_regions(each)
        for box, region in zip(each.boxes.tolist(), regions, strict=True):
            points = region.polygon()
            assert [*points.min(axis=0), *points.max(axis=0)] == box


def test_segments_are_read_by_pycocotools(drafts):
    home, results = drafts
    boxes = [box for each in results for part in each.classes for box in part.boxes.tolist()]
    for name in ("out", "rle"):
        data = COCO(home / name / "coco_dataset.json")
        loaded = COCO(home / name / "coco_images.json").loadRes(
            str(home / name / "coco_results.json")
        )
        assert len(data.anns) == len(loaded.anns) == len(boxes)
        for key, (x0, y0, x1, y1) in enumerate(boxes, start=1):
            one, other = data.anns[key], loaded.anns[key]
            assert one["segmentation"] == other["segmentation"]
            np.testing.assert_allclose(one["bbox"], [x0, y0, x1 - x0, y1 - y0])
            assert 0 < one["area"] <= (x1 - x0 + 1) * (y1 - y0 + 1)  # a mask has whole pixels
            if name == "rle":
                assert data.annToMask(one).sum() == one["area"]
    plain, packed = (COCO(home / name / "coco_dataset.json") for name in ("out", "rle"))
    large = [key for key, each in packed.anns.items() if each["area"] > 500]
    assert large
    for key in large:
        first, second = (data.annToMask(data.anns[key]) > 0 for data in (plain, packed))
        assert iou(first, second) > 0.9  # pycocotools rounds corners to fifths of a pixel


def test_masks_hold_class_numbers(drafts):
    home, results = drafts
    with (home / "out" / "masks_classes.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            *(["number", "name"], ["0", "background"], ["1", "a"], ["2", "b"], ["3", "c"])
        ]
    with (home / "out" / "masks.csv").open(newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    for each in results:
        image = Image.open(home / "out" / rows[str(each.path)]["mask"])
        assert (image.size, image.mode) == ((each.width, each.height), "L")
        mask = np.asarray(image)
        assert set(np.unique(mask)) <= {0, *(part.label + 1 for part in each.classes)}
        assert (mask[find_regions(each)[0].paint(each.width, each.height)] == each.label + 1).all()


def test_masks_of_many_classes_have_16_bits(tmp_path, spot):
    spot.save(tmp_path / "a.png")
    predict(create_model("resnet18"), tmp_path / "a.png", tmp_path / "out", formats="masks",
            class_name="600")  # fmt: skip
    mask = np.asarray(Image.open(tmp_path / "out" / "masks" / "a.png"))
    assert mask.dtype == np.uint16
    assert set(np.unique(mask)) == {0, 601}


def test_runs_of_other_programs_read_the_polygons(drafts):
    home, results = drafts
    check = pytest.importorskip("ultralytics.data.utils").verify_image_label
    sizes = {each.path.stem: (each.width, each.height) for each in results}
    labels = sorted((home / "out/yolo-seg/labels/train").glob("*.txt"))
    for label in labels:
        image = home / "out/yolo-seg/images/train" / f"{label.stem}.png"
        found = check((str(image), str(label), "", False, 3, 0, 0, False))
        lines = label.read_text().splitlines()
        if label.stem in sizes and sizes[label.stem] != (1, 1):
            assert found[5:9] == [0, 1, 0, 0] or found[5:9] == (0, 1, 0, 0), found
            assert len(found[3]) == len(lines)


def test_supervision_reads_the_data_set(drafts):
    home, results = drafts
    supervision = pytest.importorskip("supervision")
    root = json.loads((home / "out" / "coco_dataset.json").read_text())["info"]["image_root"]
    data = supervision.DetectionDataset.from_coco(
        root, str(home / "out" / "coco_dataset.json"), force_masks=True
    )
    assert data.classes == ["a", "b", "c"]
    by_path = {str(each.path): each for each in results}
    for path, _, found in data:
        if path in by_path:
            wanted = [box for part in by_path[path].classes for box in part.boxes.tolist()]
            np.testing.assert_allclose(found.xyxy, wanted, atol=1e-3)
            assert found.mask.shape == (len(wanted), by_path[path].height, by_path[path].width)


def test_label_studio_exports_what_it_was_given(drafts, tmp_path):
    """Its own converter makes a COCO data set of the polygons, as of a person's."""
    home, _ = drafts
    converter = pytest.importorskip("label_studio_converter").Converter
    tasks = json.loads((home / "out" / "labelstudio_polygons.json").read_text())
    for number, task in enumerate(tasks):
        task["id"] = number
        task["annotations"] = [{"id": number, "result": task["predictions"][0]["result"]}]
        task["data"]["image"] = f"/data/{number}.png"
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    made = converter((home / "out" / "labelstudio_polygons_config.xml").read_text(), str(tmp_path))
    made.convert_to_coco(str(tmp_path / "tasks.json"), str(tmp_path / "coco"), is_dir=False)
    found = json.loads((tmp_path / "coco" / "result.json").read_text())
    whole = COCO(home / "out" / "coco_dataset.json")
    wanted = list(whole.anns.values())
    assert len(found["annotations"]) == len(wanted)
    for one, other in zip(found["annotations"], wanted, strict=True):
        np.testing.assert_allclose(one["segmentation"], other["segmentation"], atol=1e-6)
        np.testing.assert_allclose(one["bbox"], other["bbox"], atol=1e-6)
        assert one["area"] == pytest.approx(other["area"], rel=1e-6, abs=1e-6)


@pytest.mark.slow
def test_polygons_on_photographs_of_birds(data, lite0):
    paths = sorted((data / "cub10/CUB_200_2011/images").glob("*/*.jpg"))[::30]
    with Localizer(lite0, contours="outer") as localizer:
        for path, result in localizer.stream(paths):
            size = (result.width, result.height)
            for box, region in zip(result.boxes.tolist(), find_regions(result), strict=True):
                points, painted = region.polygon(), region.paint(*size)
                assert [*points.min(axis=0), *points.max(axis=0)] == box, path
                large = tuple(4 * each for each in size)
                whole = Region(region.pixels, tuple(4 * each for each in region.frame))
                assert iou(fill_polygon(4 * points, large), whole.paint(*large)) >= 0.98, path
                if painted.sum() > 1000:
                    assert iou(fill_polygon(points, size), painted) >= 0.96, path


@pytest.mark.parametrize("tolerance", [0.15, 1.5, 6.0])
def test_simplified_lines_stay_close(tolerance):
    """Closed as before, with fewer points, none of those left out farther than it says."""
    rng = np.random.default_rng(0)
    left_out = 0
    for _ in range(8):
        raw = cv2.resize(rng.random((7, 7)), (96, 96), interpolation=cv2.INTER_CUBIC)
        for line in trace_contours(raw, float(np.median(raw))):
            short = simplify_line(line, tolerance)
            np.testing.assert_array_equal(short[0], short[-1])
            left_out += len(line) - len(short)
            first, second = short[:-1, None], short[1:, None]
            along = second - first
            length = np.maximum((along**2).sum(axis=2), 1e-12)
            share = (((line - first) * along).sum(axis=2) / length).clip(0, 1)
            distance = np.linalg.norm(first + share[..., None] * along - line, axis=2).min(axis=0)
            assert distance.max() <= 1.5 * tolerance
            assert simplify_line(line, 0) is line
    assert left_out > 0
