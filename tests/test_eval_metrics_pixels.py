import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eval.metrics.pixels import (
    PixelScores,
    best_pixel_iou,
    bin_edges,
    count_pixels,
    pixel_average_precision,
)
from eval.protocols import PROTOCOLS
from eval.statistics import image_weights

WSOLEVAL = PROTOCOLS["wsoleval"]


@pytest.mark.parametrize(("interval", "key"), [(0.001, "pxap_001"), (0.01, "pxap_01")])
def test_pxap_equals_the_standard_evaluation(vectors, interval, key):
    found = np.load(vectors / "pxap.npz")
    edges = bin_edges(np.arange(0, 1, interval))
    masks = np.where(found["masks"] == 255, 2, found["masks"])
    counts = sum(count_pixels(*pair, edges) for pair in zip(found["maps"], masks, strict=True))
    assert pixel_average_precision(counts) == pytest.approx(float(found[key]), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    scores=hnp.arrays(np.float64, (6, 7), elements=st.floats(0, 1)),
    mask=hnp.arrays(np.uint8, (6, 7), elements=st.integers(0, 2)),
    interval=st.sampled_from([0.001, 0.01, 0.07, 0.3, 0.5]),
)
def test_counts_equal_a_histogram(scores, mask, interval):
    edges = bin_edges(np.arange(0, 1, interval))
    on_edges = edges[:-3][:42].tolist()
    scores[5, 6], scores[5, 5] = 1, 0
    scores.reshape(-1)[: len(on_edges) // 2] = on_edges[: len(on_edges) // 2]
    found = count_pixels(scores, mask, edges)
    for row in (0, 1):
        assert np.array_equal(found[row], np.histogram(scores[mask == row], edges)[0])


def test_best_overlap_by_brute_force():
    random = np.random.default_rng(0)
    scores, mask = random.random((20, 20)), random.integers(0, 3, (20, 20)).astype(np.uint8)
    edges = bin_edges(WSOLEVAL.thresholds)
    best = 0.0
    for threshold in edges[:-1]:
        found = (scores >= threshold) & (mask < 2)
        best = max(best, (found & (mask == 1)).sum() / (found | (mask == 1)).sum())
    counts = count_pixels(scores, mask, edges)
    assert best_pixel_iou(counts) == pytest.approx(100 * best)


def images(count):
    random = np.random.default_rng(count)
    edges = bin_edges(WSOLEVAL.thresholds)
    for i in range(count):
        mask = random.integers(0, 3, (16, 16)).astype(np.uint8)
        yield f"{i}", count_pixels(random.random((16, 16)) ** (1 + (mask == 0)), mask, edges)


def test_replicates_equal_a_weighted_count():
    total = PixelScores(WSOLEVAL)
    every = list(images(70))  # more than one block
    for image in every:
        total.update(*image)
    result = total.compute()
    assert result.images == 70
    plain = sum(counts for _, counts in every)
    assert result.pxap == pytest.approx(float(pixel_average_precision(plain)), abs=1e-9)
    for replicate in (0, 500):
        weighted = sum(counts * image_weights(name)[replicate] for name, counts in every)
        assert np.array_equal(total.counts[replicate], weighted)
    low, high = result.intervals95["pxap"]
    assert low < result.pxap < high
    assert len(result.curve["recall"]) == 1000
    assert result.curve["recall"][0] == 100


def test_shards_add_up_exactly():
    whole, first, second = (PixelScores(WSOLEVAL) for _ in range(3))
    for i, image in enumerate(images(30)):
        whole.update(*image)
        (first if i % 3 else second).update(*image)
    first.merge(second)
    assert first.compute() == whole.compute()
    with pytest.raises(ValueError, match="under"):
        first.merge(PixelScores(PROTOCOLS["clean"]))


def test_wrong_use():
    with pytest.raises(ValueError, match="mask to be of shape"):
        count_pixels(np.zeros((2, 2)), np.zeros((3, 3), np.uint8), np.array([0, 1]))
    with pytest.raises(ValueError, match="foreground"):
        PixelScores(WSOLEVAL).compute()


@pytest.mark.parametrize("bad", [-1e-9, -0.5, 1.0000001, 7.0, np.nan, np.inf, -np.inf])
def test_scores_out_of_range_are_refused(bad):
    scores = np.full((30, 30), 0.5)
    scores[17, 3] = bad
    with pytest.raises(ValueError, match=r"scores in \[0, 1\]"):
        count_pixels(scores, np.zeros((30, 30), np.uint8), bin_edges(WSOLEVAL.thresholds))
