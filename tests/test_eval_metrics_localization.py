import numpy as np
import pytest

from eval.metrics.localization import (
    LocalizationScores,
    best_ious,
    true_boxes_in_square,
)
from eval.protocols import PROTOCOLS, find_protocol
from wsol.boxes import sweep_boxes
from wsol.heatmap import to_heatmap

WSOLEVAL = PROTOCOLS["wsoleval"]


@pytest.mark.parametrize("name", ["imagenet10_cam", "cub10_cam"])
@pytest.mark.parametrize(
    ("mode", "key"), [("largest", "best_iou_single"), ("all", "best_iou_multi")]
)
def test_overlaps_equal_the_standard_evaluation(vectors, name, mode, key):
    found = np.load(vectors / f"{name}.npz")
    for row, cam in enumerate(found["cams"]):
        true = found["gt_boxes"][found["gt_owner"] == row]
        true = true_boxes_in_square(true, tuple(found["sizes_wh"][row].tolist()), WSOLEVAL)
        boxes = sweep_boxes(to_heatmap(cam, (224, 224)), WSOLEVAL.thresholds, mode)
        overlaps = best_ious(boxes, true, WSOLEVAL.convention).astype(np.float32)
        np.testing.assert_array_equal(overlaps, found[key][row])


def scores(images, threshold=None):
    """Add images given as (box of every threshold, true boxes, rank)."""
    total = LocalizationScores(WSOLEVAL, threshold)
    for box, true, rank in images:
        boxes = [np.array([box])] * len(total.thresholds)
        total.update({"largest": boxes, "all": boxes}, np.array(true).reshape(-1, 4), rank)
    return total


BOX = [0, 0, 9, 9]
IMAGES = [
    (BOX, [BOX], 0),  # hit, right at once
    (BOX, [[50, 50, 60, 60], BOX], 3),  # hit by the second true box, right among five
    (BOX, [[100, 100, 120, 120]], 0),  # miss
    (BOX, [], 7),  # no true box: never a hit
]


def test_scores_by_hand():
    result = scores(IMAGES, threshold=0.2).compute()
    assert result.max_box_acc == result.gt_known_loc == 50
    assert result.max_box_acc_threshold == 0  # the first of equals
    assert result.threshold == 0.2
    assert (result.top1_loc, result.top5_loc) == (25, 50)
    assert (result.top1_cls, result.top5_cls) == (50, 75)
    assert result.box_acc == {"30": 50, "50": 50, "70": 50}
    assert result.max_box_acc_v2 == 50
    assert (result.several_true_boxes, result.without_true_box) == (0.25, 1)
    assert len(result.curves["largest"]["50"]) == 1000


def test_shards_add_up():
    whole = scores(IMAGES)
    part = scores(IMAGES[:1])
    part.merge(scores(IMAGES[1:]))
    assert part.compute() == whole.compute()
    with pytest.raises(ValueError, match="threshold"):
        part.merge(scores(IMAGES, threshold=0.5))


def test_what_is_not_known_is_none():
    result = scores([(BOX, [BOX], None)]).compute(true_class=False)
    assert result.gt_known_loc is result.top1_loc is result.top5_cls is None
    with pytest.raises(ValueError, match="at least one image"):
        LocalizationScores(WSOLEVAL).compute()


def test_half_overlap_is_a_hit():
    result = scores([([0, 0, 9, 9], [[0, 0, 9, 4]], 0)]).compute()
    assert result.max_box_acc == 100


def test_unknown_protocols_list_the_known():
    with pytest.raises(ValueError, match="one of wsoleval"):
        find_protocol("wsol")


def test_thresholds_without_boxes_overlap_nothing():
    some, none = np.array([[0, 0, 9, 9], [0, 0, 9, 4]]), np.zeros((0, 4))
    found = best_ious([none, some, none, some], np.array([[0, 0, 9, 4]]), "inclusive")
    assert found.tolist() == [0, 1, 0, 1]
    assert best_ious([some], np.zeros((0, 4)), "inclusive").tolist() == [0]
    assert best_ious([], np.zeros((0, 4)), "inclusive").shape == (0,)
