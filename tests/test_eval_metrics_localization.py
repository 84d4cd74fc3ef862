import numpy as np
import pytest

from eval.metrics.failures import KINDS, failure_kinds
from eval.metrics.localization import LocalizationScores, Outcome, _add_up
from eval.metrics.overlaps import best_overlaps
from eval.metrics.true_boxes import true_boxes_in_square
from eval.protocols import PROTOCOLS
from eval.statistics import image_weights

WSOLEVAL = PROTOCOLS["wsoleval"]
CLEAN = PROTOCOLS["clean"]


def outcome(name, spans, rank=None, kind="miss", true_boxes=1, threshold=None, protocol=WSOLEVAL):
    """An image that is hit, at every delta and in both modes, in a range of thresholds."""
    count = len(protocol.thresholds) + (threshold is not None)
    hits = np.zeros((2, 3, count), bool)
    for start, stop in spans:
        hits[..., start:stop] = True
    kinds = np.where(hits[0, 1], KINDS.index("none"), KINDS.index(kind))
    return Outcome(name, hits, kinds, rank, true_boxes, (True, False))


IMAGES = [
    ("a", [(100, 300)], 0),
    ("b", [(200, 400), (900, 950)], 3),
    ("c", [], 0, "part"),
    ("d", [(0, 1000)], 7, "miss", 2),
]


def add(images, threshold=None):
    total = LocalizationScores(WSOLEVAL, threshold)
    for image in images:
        given = outcome(*image, **({"threshold": threshold} if threshold is not None else {}))
        total.update(given)
    return total


def test_scores_by_hand():
    result = add(IMAGES).compute()
    assert result.images == 4
    assert (result.max_box_acc, result.max_box_acc_threshold) == (75, 0.2)  # the first of equals
    assert result.threshold == 0.2
    assert result.gt_known_loc == 75
    assert (result.top1_loc, result.top5_loc) == (25, 50)
    assert (result.top1_cls, result.top5_cls) == (50, 75)
    assert result.box_acc == {"30": 75, "50": 75, "70": 75}
    assert result.max_box_acc_v2 == 75
    assert (result.several_true_boxes, result.without_true_box) == (0.25, 0)
    assert result.baselines == {"centre_box": 100, "full_image": 0}
    assert result.errors == {
        "blank": 0, "multi": 0, "part": 1, "more": 0, "miss": 0, "misclassified": 2
    }  # fmt: skip
    curve = result.curves["largest"]["50"]
    assert len(curve) == 1000
    assert [curve[i] for i in (0, 99, 100, 200, 300, 400, 900, 950, 999)] == [
        1, 1, 2, 3, 2, 1, 2, 1, 1
    ]  # fmt: skip


def test_one_more_threshold_beside_the_grid():
    total = LocalizationScores(WSOLEVAL, 0.05)
    total.update(outcome("a", [(100, 300)], 0, threshold=0.05))
    total.update(outcome("b", [(1000, 1001)], 0, threshold=0.05))
    result = total.compute()
    assert (result.threshold, result.gt_known_loc, result.top1_loc) == (0.05, 50, 50)
    assert (result.max_box_acc, result.errors["miss"]) == (50, 1)


def test_replicates_equal_a_weighted_count():
    """Every replicate is what counting each image as often as its weight would give."""
    found = add(IMAGES).replicates()
    weights = {name: image_weights(name) for name, *_ in IMAGES}
    for replicate in (0, 1, 17, 999):
        times = {name: int(weights[name][replicate]) for name in weights}
        total = sum(times.values())
        curve = np.zeros(1000)
        for name, spans, *_ in IMAGES:
            for start, stop in spans:
                curve[start:stop] += times[name]
        assert found["max_box_acc"][replicate] == pytest.approx(100 * curve.max() / total)
        at = int(curve.argmax())
        top1 = times["a"] * (100 <= at < 300)
        assert found["top1_loc"][replicate] == pytest.approx(100 * top1 / total)
        right = times["a"] + times["c"]
        assert found["top1_cls"][replicate] == pytest.approx(100 * right / total)


def test_intervals_hold_the_score_and_shrink():
    few, many = (
        add([(f"{i}", [(100, 300)] if i % 2 else [], 0) for i in range(count)]).compute()
        for count in (40, 640)
    )
    for result in (few, many):
        low, high = result.intervals95["gt_known_loc"]
        assert low < 50 < high
    (low, high), (lower, higher) = (r.intervals95["gt_known_loc"] for r in (many, few))
    assert 3 < (higher - lower) / (high - low) < 5.5  # the square root of 16
    assert high - low == pytest.approx(2 * 1.96 * 50 / np.sqrt(640), rel=0.15)


def test_shards_add_up_exactly():
    whole, part = add(IMAGES), add(IMAGES[:1])
    part.merge(add(IMAGES[1:]))
    assert part.compute() == whole.compute()
    with pytest.raises(ValueError, match="threshold"):
        part.merge(add(IMAGES[:1], threshold=0.5))


def test_what_is_not_known_is_none():
    result = add([("a", [(0, 5)])]).compute(true_class=False)
    assert result.gt_known_loc is result.top1_loc is result.top5_cls is None
    assert result.errors["misclassified"] is None
    assert "gt_known_loc" not in result.intervals95
    with pytest.raises(ValueError, match="at least one image"):
        LocalizationScores(WSOLEVAL).compute()


def brute_force(boxes, true_boxes, extra):
    """Overlap by counting, slow and literal."""
    best = 0.0
    for x0, y0, x1, y1 in boxes:
        for u0, v0, u1, v1 in true_boxes:
            across = min(x1, u1) - max(x0, u0) + extra
            down = min(y1, v1) - max(y0, v0) + extra
            shared = across * down if across > 0 and down > 0 else 0
            union = (x1 - x0 + extra) * (y1 - y0 + extra)
            union += (u1 - u0 + extra) * (v1 - v0 + extra) - shared
            best = max(best, shared / union if union else 0)
    return best


@pytest.mark.parametrize(("convention", "extra"), [("inclusive", 1), ("edges", 0)])
def test_best_overlaps_of_groups(convention, extra):
    random = np.random.default_rng(0)
    low = random.integers(0, 20, (30, 2))
    boxes = np.hstack([low, low + random.integers(0, 20, (30, 2))])
    true = boxes[[3, 7]] + [1, 0, 2, 1]
    spans = np.array([[0, 5], [5, 5], [5, 30], [5, 30], [29, 30]])
    found = best_overlaps(boxes, spans, true, convention)
    expected = [brute_force(boxes[a:b].tolist(), true.tolist(), extra) for a, b in spans]
    np.testing.assert_allclose(found, expected, rtol=1e-15)
    assert not best_overlaps(boxes, spans, np.zeros((0, 4)), convention).any()


@pytest.mark.parametrize(
    ("box", "true", "kind"),
    [
        ([0, 0, 10, 10], [[0, 0, 10, 11]], "none"),
        ([0, 0, 0, 0], [[0, 0, 10, 11]], "blank"),
        ([0, 0, 30, 30], [[0, 0, 10, 10], [20, 20, 30, 30]], "multi"),
        ([0, 0, 4, 4], [[0, 0, 10, 10]], "part"),
        ([0, 0, 30, 30], [[0, 0, 10, 10]], "more"),
        ([0, 0, 10, 10], [[8, 8, 20, 20]], "miss"),
        ([0, 0, 10, 10], [], "miss"),
    ],
)
def test_why_a_box_misses(box, true, kind):
    true = np.array(true).reshape(-1, 4)
    hit = brute_force([box], true.tolist(), 0) >= 0.5
    blank = np.array([box[2] == 0])
    found = failure_kinds(np.array([box]), blank, np.array([hit]), true, "edges")
    assert KINDS[found[0]] == kind


def test_true_boxes_in_the_square():
    boxes, size = np.array([[0, 0, 447, 335], [101, 50, 300, 200]]), (448, 336)
    assert true_boxes_in_square(boxes, size, WSOLEVAL).tolist() == [
        [0, 0, 223, 223],  # 447 * 224 / 448 and 335 * 224 / 336, cut to integers
        [50, 33, 150, 133],
    ]
    np.testing.assert_allclose(
        true_boxes_in_square(boxes, size, CLEAN)[0], [0, 0, 224, 224], rtol=1e-12
    )


def test_true_boxes_narrower_than_a_pixel_are_that_pixel():
    narrow = true_boxes_in_square(np.array([[2, 2, 1.5, 8]]), (10, 10), WSOLEVAL)
    assert narrow.tolist() == [[44, 44, 44, 179]]


def test_true_boxes_in_a_crop():
    boxes = np.array([[100, 50, 199, 149], [0, 0, 20, 20]])
    region = (100.0, 50.0, 324.0, 274.0)  # 224 pixels of a photograph, at their own size
    found = true_boxes_in_square(boxes, (500, 400), CLEAN, region)
    assert found.tolist() == [[0, 0, 100, 100], [0, 0, 0, 0]]  # the second lies outside


def test_counts_add_up_along_thresholds():
    """The compiled loop is numpy's cumsum."""
    rng = np.random.default_rng(0)
    for shape in ((3, 2, 1), (2, 12, 7), (8, 102, 1001)):
        changes = rng.integers(-3, 4, shape).astype(np.int32)
        np.testing.assert_array_equal(_add_up(changes), changes[:, :-1].cumsum(axis=1))
