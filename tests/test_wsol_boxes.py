import gzip
import json

import numpy as np
import pytest

from wsol.boxes import sweep_boxes, threshold_boxes
from wsol.heatmap import stretch_map, to_heatmap


def test_synthetic_boxes_equal_the_standard_evaluation(vectors):
    maps = np.load(vectors / "synthetic_boxes.npz")
    with gzip.open(vectors / "synthetic_boxes.json.gz", "rt") as file:
        expected = json.load(file)
    assert len(maps.files) == len(expected) == 26
    for index, case in enumerate(expected):
        for key, contours in (("single", "largest"), ("multi", "all")):
            by_threshold = sweep_boxes(maps[f"map{index}"], case["thresholds"], contours)
            assert [sorted(boxes.tolist()) for boxes in by_threshold] == case[key], (
                f"map {index} {key}"
            )


@pytest.mark.parametrize(
    ("contours", "expected"),
    [
        ("largest", [[1, 1, 8, 8]]),
        ("outer", [[1, 1, 8, 8], [9, 9, 10, 10]]),
        ("all", [[1, 1, 8, 8], [2, 2, 7, 7], [9, 9, 10, 10]]),  # the ring's hole, grown by one
    ],
)
def test_contours_of_a_ring(contours, expected):
    ring = np.zeros((12, 12))
    ring[1:8, 1:8] = 1
    ring[3:6, 3:6] = 0
    ring[9, 9] = 0.9
    assert sorted(threshold_boxes(ring, 0.5, contours).tolist()) == expected


def test_equal_areas_go_to_the_lower_one():
    two = np.zeros((20, 20))
    two[2:6, 2:6] = two[10:14, 10:14] = 1
    assert threshold_boxes(two, 0.5).tolist() == [[10, 10, 14, 14]]


def test_a_full_map_reaches_the_edges():
    assert threshold_boxes(np.ones((6, 9)), 0.2).tolist() == [[0, 0, 9, 6]]
    assert sweep_boxes(np.ones((6, 9)), [0.2])[0].tolist() == [[0, 0, 8, 5]]


def test_nothing_above_the_threshold():
    assert threshold_boxes(np.zeros((6, 9)), 0.2).shape == (0, 4)
    assert sweep_boxes(np.zeros((6, 9)), [0.0, 0.5])[1].tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("score_map", "message"),
    [
        (np.zeros(5), "shape"),
        (np.zeros((0, 5)), "shape"),
        (np.full((5, 5), 1.01), r"in \[0, 1\]"),
        (np.full((5, 5), -0.1), r"in \[0, 1\]"),
        (np.full((5, 5), np.nan), r"in \[0, 1\]"),
    ],
)
def test_bad_maps(score_map, message):
    for call in (threshold_boxes, lambda m, t: sweep_boxes(m, [t])):
        with pytest.raises(ValueError, match=message):
            call(score_map, 0.5)


def test_bad_arguments():
    with pytest.raises(ValueError, match="contours to be one of"):
        threshold_boxes(np.ones((3, 3)), 0.5, "smallest")
    with pytest.raises(ValueError, match="threshold"):
        threshold_boxes(np.ones((3, 3)), 1.5)


@pytest.mark.parametrize(
    "raw", [np.full((7, 7), 3.0), np.full((7, 7), np.nan), np.array([[np.inf, 1]])]
)
def test_heat_of_nothing_is_zero(raw):
    assert stretch_map(raw, (20, 10)).shape == (10, 20)
    assert not stretch_map(raw, (20, 10)).any()
    if np.isfinite(raw).all():
        assert not to_heatmap(raw, (20, 10)).any()


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (np.full((7, 7), np.nan), "49 of 49"),
        (np.array([[np.inf, 1, 2]]), "1 of 3"),
        (np.array([[-np.inf, np.nan], [1, 2]]), "2 of 4"),
    ],
)
def test_a_map_that_is_not_finite_has_no_heat_map(raw, said):
    for size in (None, (20, 10)):
        with pytest.raises(ValueError, match=f"finite in float32 but {said} values are not"):
            to_heatmap(raw, size)


def test_heat_spans_its_range():
    heat = to_heatmap(np.random.default_rng(0).normal(size=(7, 7)), (224, 224))
    assert (heat.min(), heat.max(), heat.dtype) == (0, 1, np.float64)
