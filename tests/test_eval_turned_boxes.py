"""COCO files of photographs that EXIF turns: boxes of the stored or of the upright ones."""

import json

import numpy as np
import pytest
from PIL import Image

from eval.coco import load_coco
from eval.geometry import pairwise_iou
from eval.image_paths import ImageFinder
from eval.manifest import ManifestError, load_split
from wsol.drawn_boxes import load_drawn_boxes
from wsol.evaluation.true_images import TrueImages

STUDIO = {"contributor": "Label Studio"}
BOX = (10, 30, 30, 70)  # outer edges, of an upright photograph of 40 x 80 as of one of 80 x 40
LOW = (10, 50, 30, 78)  # which 80 x 40 does not have
WIDE = (50, 10, 78, 30)  # which 40 x 80 does not have


def photo(folder, name, orientation, size=(80, 40)):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size).save(folder / name, exif=exif)


def coco(folder, boxes, info=None, sizes=None, polygons=()):
    """Boxes by image, whose sizes are the stored ones unless they are given."""
    images, annotations = [], []
    for i, (name, box) in enumerate(boxes.items()):
        width, height = (sizes or {}).get(name) or (80, 40)
        images.append({"id": i, "file_name": name, "width": width, "height": height})
        x0, y0, x1, y1 = box
        segments = [[x0, y0, x1, y0, x1, y1]] if name in polygons else []
        annotations.append({"id": i, "image_id": i, "category_id": 0, "segmentation": segments,
                            "bbox": [x0, y0, x1 - x0, y1 - y0]})  # fmt: skip
    content = {"images": images, "annotations": annotations, "categories": [{"id": 0, "name": "x"}]}
    path = folder / "found.json"
    path.write_text(json.dumps(content | ({} if info is None else {"info": info})))
    return path


def edges(split):
    return [np.add(each, [0, 0, 1, 1]).tolist()[0] for each in split.boxes]


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_label_studio_draws_on_upright_photographs(tmp_path, orientation):
    photo(tmp_path, "a.jpg", orientation)
    photo(tmp_path, "b.jpg", 3)
    photo(tmp_path, "c.jpg", orientation, (60, 60))
    box = (10, 5, 30, 39)  # it lies in either frame
    square = {"c.jpg": (60, 60)}
    path = coco(tmp_path, {"a.jpg": box, "b.jpg": box, "c.jpg": box}, STUDIO, square)
    split = load_split(path)
    assert split.sizes.tolist() == [[40, 80], [80, 40], [60, 60]]
    assert edges(split) == [list(box)] * 3
    read = TrueImages(split, tmp_path)
    assert [read.read(row).size for row in range(3)] == [(40, 80), (80, 40), (60, 60)]
    kept = load_split(coco(tmp_path, {"a.jpg": box}))  # of any other program
    assert kept.sizes.tolist() == [[80, 40]]
    as_read_before = np.array([box]) * [0.5, 2, 0.5, 2]  # in the upright photograph's pixels
    assert pairwise_iou([box], as_read_before, "edges")[0, 0] < 0.35


def test_polygons_of_label_studio_are_in_shares_of_the_stored_size(tmp_path):
    photo(tmp_path, "a.jpg", 6)
    photo(tmp_path, "b.jpg", 1)
    polygon = (20, 15, 60, 35)  # BOX's shares of 40 x 80, in 80 x 40
    path = coco(tmp_path, {"a.jpg": polygon, "b.jpg": polygon}, STUDIO, polygons=("a.jpg", "b.jpg"))
    split = load_split(path)
    assert edges(split) == [list(BOX), list(polygon)]


def test_sizes_that_are_upright_already_stay(tmp_path):
    photo(tmp_path, "a.jpg", 6)
    path = coco(tmp_path, {"a.jpg": LOW}, STUDIO, {"a.jpg": (40, 80)}, polygons=("a.jpg",))
    split = load_split(path)
    assert (split.sizes.tolist(), edges(split)) == ([[40, 80]], [list(LOW)])


def test_images_that_are_not_there_go_by_where_boxes_lie(tmp_path):
    split = load_split(coco(tmp_path, {"a.jpg": LOW, "b.jpg": WIDE}, STUDIO))
    assert split.sizes.tolist() == [[40, 80], [80, 40]]
    with pytest.raises(ManifestError, match=r"annotations\[0\] .*in an image of 80 x 40"):
        load_split(coco(tmp_path, {"a.jpg": LOW, "b.jpg": WIDE}))
    with pytest.raises(ManifestError, match=r"annotations\[0\] .*in an image of 80 x 40"):
        load_coco(coco(tmp_path, {"a.jpg": LOW}), "mine")


def test_one_box_tells_for_the_file(tmp_path):
    """A file that lost its `info` on the way, such as one that was merged."""
    for name in ("a.jpg", "b.jpg"):
        photo(tmp_path, name, 6)
    photo(tmp_path, "c.jpg", 1)
    boxes = {"a.jpg": LOW, "b.jpg": (10, 5, 30, 39), "c.jpg": WIDE}
    split = load_split(coco(tmp_path, boxes))
    assert split.sizes.tolist() == [[40, 80], [40, 80], [80, 40]]
    assert edges(split) == [list(box) for box in boxes.values()]
    for name in ("a.jpg", "b.jpg"):
        photo(tmp_path, name, 3)
    with pytest.raises(ManifestError, match=r"annotations\[0\] .*in an image of 80 x 40"):
        load_split(coco(tmp_path, boxes))  # nothing turns it: the box is wrong


@pytest.mark.parametrize("info", [None, [], "x", {"contributor": 3}, {"contributor": "me"}])
def test_files_that_may_be_either_are_told(tmp_path, listener, info):
    photo(tmp_path, "a.jpg", 6)
    photo(tmp_path, "b.jpg", 1)
    path = coco(tmp_path, {"a.jpg": (10, 5, 30, 39), "b.jpg": WIDE}, info)
    split, _ = load_drawn_boxes(path, "drawn", events=listener)
    assert split.sizes.tolist() == [[80, 40], [80, 40]]
    (line,) = listener.said
    assert line.startswith("1 photograph that EXIF turns, such as a.jpg: boxes are taken for those")
    assert '"contributor": "Label Studio"' in line
    for sure in (coco(tmp_path, {"a.jpg": WIDE}, info), coco(tmp_path, {"a.jpg": BOX}, STUDIO)):
        listener.said.clear()
        load_drawn_boxes(sure, "drawn", events=listener)
        assert listener.said == []


@pytest.fixture
def listener():
    from listeners import Counter

    return Counter()


def test_a_finder_of_another_root(tmp_path):
    (tmp_path / "photos").mkdir()
    photo(tmp_path / "photos", "a.jpg", 8)
    path = coco(tmp_path, {"1a2b3c4d-a.jpg": (10, 5, 30, 39)}, STUDIO)
    split = load_coco(path, "mine", finder=ImageFinder(tmp_path / "photos"))
    assert (split.ids, split.sizes.tolist()) == (("a.jpg",), [[40, 80]])
