"""The sweep against OpenCV: at every level its contours' boxes, on maps of every kind."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wsol.boxes import sweep_boxes
from wsol.heatmap import to_heatmap
from wsol.sweep.map_sweep import MOST_BASINS, sweep_map
from wsol.sweep.outline import trace_area


def contour_boxes(levels, above):
    """Boxes of all contours above a level, outer edges, and the one with the largest area."""
    contours, _ = cv2.findContours(
        (levels > above).astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE
    )
    boxes = [cv2.boundingRect(contour) for contour in contours]
    boxes = [[x, y, x + w, y + h] for x, y, w, h in boxes]
    areas = [cv2.contourArea(contour) for contour in contours]
    return sorted(boxes), boxes[int(np.argmax(areas))]


def check(levels):
    """Compare every level of a map of levels (H, W), 0 to 255, with what lies between them."""
    sweep = sweep_map(levels.astype(np.float64))
    assert sweep.peak == int(levels.max())
    for above in range(sweep.peak):
        boxes, largest = contour_boxes(levels, above)
        start, stop = sweep.spans[above]
        assert sorted(sweep.boxes[start:stop].tolist()) == boxes, above
        assert sweep.largest[above].tolist() == largest, above
    assert not sweep.largest[sweep.peak :].any()
    assert (sweep.spans[sweep.peak :, 0] == sweep.spans[sweep.peak :, 1]).all()


sides = st.integers(1, 24)
shapes = st.tuples(sides, sides)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), steps=st.sampled_from([2, 3, 5, 17, 256]))
def test_random_maps_and_plateaus(data, steps):
    levels = data.draw(hnp.arrays(np.uint8, shapes, elements=st.integers(0, steps - 1)))
    check(levels * np.uint8(255 // (steps - 1)))


@settings(max_examples=100, deadline=None)
@given(shape=shapes, seed=st.integers(0, 2**32 - 1), steps=st.sampled_from([2, 4, 60, 256]))
def test_noise(shape, seed, steps):
    check(np.random.default_rng(seed).integers(0, steps, shape).astype(np.uint8))


@settings(max_examples=60, deadline=None)
@given(shape=shapes, seed=st.integers(0, 2**32 - 1), width=st.floats(0.5, 4))
def test_smooth_maps(shape, seed, width):
    noise = np.random.default_rng(seed).random(shape)
    smooth = cv2.GaussianBlur(noise, (0, 0), width).reshape(shape)
    smooth = (smooth - smooth.min()) / max(float(np.ptp(smooth)), 1e-9)
    check((smooth * 255).astype(np.uint8))
    fine = sweep_map(smooth * 255)  # what lies between levels breaks ties and changes nothing
    coarse = sweep_map(np.floor(smooth * 255))
    assert np.array_equal(fine.largest, coarse.largest)


@settings(max_examples=60, deadline=None)
@given(rings=st.integers(1, 6), thick=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
def test_holes_in_holes(rings, thick, seed):
    side = 2 * thick * (2 * rings + 1)
    y, x = np.mgrid[:side, :side]
    ring = np.minimum.reduce([y, x, side - 1 - y, side - 1 - x]) // thick
    random = np.random.default_rng(seed)
    heights = random.integers(1, 256, rings * 2 + 2)
    levels = np.where(ring % 2 == 0, heights[ring], random.integers(0, 3)).astype(np.uint8)
    check(levels)
    check(255 - levels)


def test_more_peaks_than_a_table_holds():
    levels = np.zeros((50, 60), np.uint8)
    levels[::2, ::2] = np.random.default_rng(0).integers(1, 256, (25, 30))
    assert MOST_BASINS < 25 * 30
    check(levels)
    check(255 - levels)


@pytest.mark.parametrize("name", ["imagenet10_cam", "cub10_cam"])
def test_real_maps(vectors, name):
    for cam in np.load(vectors / f"{name}.npz")["cams"][::5]:
        check((to_heatmap(cam, (224, 224)) * 255).astype(np.uint8))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_precision_of_the_map_is_kept(dtype):
    """A product just below a level in one precision can reach it in another."""
    heat = np.random.default_rng(1).random((40, 40)).astype(dtype)
    levels = (heat * 255).astype(np.uint8)
    thresholds = np.arange(0, 1, 0.001)
    by_threshold = sweep_boxes(heat, thresholds, "all")
    for threshold, boxes in list(zip(thresholds, by_threshold, strict=True))[::97]:
        expected, _ = contour_boxes(levels, int(threshold * int(levels.max())))
        assert sorted(boxes.tolist()) == np.minimum(expected, 39).tolist()


@settings(max_examples=150, deadline=None)
@given(mask=hnp.arrays(np.uint8, shapes, elements=st.integers(0, 1)))
def test_area_along_the_border(mask):
    padded = np.pad(mask.astype(np.int32), 1, constant_values=-1)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    for contour in contours:
        y, x = min((y, x) for x, y in contour[:, 0].tolist())
        first = (y + 1) * padded.shape[1] + x + 1
        area = trace_area(padded.reshape(-1), padded.shape[1], first, 0)
        assert area == 2 * cv2.contourArea(contour)
