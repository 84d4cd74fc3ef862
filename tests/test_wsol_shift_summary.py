"""How far maps move over the steps, and how many objects they find."""

from itertools import permutations

import numpy as np
import pytest
from small_shifts import SQUARE, blob, localized

from eval.geometry import pairwise_iou
from wsol.attention_shift.summary import ShiftCounter, count_found
from wsol.attention_shift.trace import trace_shift


def around(x, y, width, height):
    """A true box around a hill of `blob`, as large as the hill is at one half."""
    reach = 0.083
    return [(x - reach) * width, (y - reach) * height, (x + reach) * width, (y + reach) * height]


def add(counter, *raws, true_boxes=None, size=(100, 100)):
    seen = localized(*raws, width=size[0], height=size[1])
    shift = trace_shift(seen, 0.5, SQUARE, None if true_boxes is None else np.array(true_boxes))
    counter.add(shift)
    return shift


def test_centres_move_as_far_as_the_hills():
    counter = ShiftCounter()
    add(counter, blob(0.2, 0.5), blob(0.8, 0.5))
    add(counter, blob(0.5, 0.5), blob(0.5, 0.5))
    told = counter.summarize()
    assert (told.images, told.steps, told.others) == (2, 2, 1)
    assert told.moved == pytest.approx(100 * (0.6 + 0) / 2 / 2**0.5, abs=0.5)
    assert told.apart == pytest.approx(100 * 0.3 / 2**0.5, abs=0.5)  # second's last, first's first


def test_distances_are_shares_of_each_images_own_diagonal():
    counter = ShiftCounter()
    add(counter, blob(0.2, 0.5), blob(0.8, 0.5), size=(400, 100))
    assert counter.summarize().moved == pytest.approx(100 * 240 / np.hypot(400, 100), abs=0.6)


def test_objects_that_steps_find_together():
    places = [(0.2, 0.2), (0.8, 0.2), (0.2, 0.8)]
    true_boxes = [around(*place, 100, 100) for place in places]
    counter = ShiftCounter()
    add(counter, blob(0.2, 0.2), blob(0.8, 0.2), true_boxes=true_boxes)
    add(counter, blob(0.2, 0.2), blob(0.2, 0.2), true_boxes=true_boxes)
    add(counter, blob(0.2, 0.2), blob(0.2, 0.2), true_boxes=true_boxes[:1])  # one object alone
    add(counter, blob(0.2, 0.2), blob(0.2, 0.2))
    told = counter.summarize()
    assert (told.images, told.crowded, told.objects) == (4, 2, 6)
    assert (told.found_by_step, told.found_by_all) == ((2, 2), 3)
    assert told.found_by_regions == (2, 2, 2)
    assert told.describe()[-1] == (
        "of 6 true objects on 2 images with several, boxes find: step 1 2, step 2 2, all steps "
        "together 3, the 2 largest regions of the last map 2, the 3 largest regions of the last "
        "map 2"
    )


def test_regions_of_one_map_are_the_fair_partner():
    both = np.maximum(blob(0.2, 0.2, peak=0.9), blob(0.8, 0.8))
    true_boxes = [around(0.2, 0.2, 100, 100), around(0.8, 0.8, 100, 100)]
    counter = ShiftCounter()
    shift = add(counter, both, true_boxes=true_boxes)
    assert len(shift.regions) == 2
    areas = (shift.regions[:, 2:] - shift.regions[:, :2]).prod(axis=1)
    assert areas[0] >= areas[1]
    told = counter.summarize()
    assert (told.found_by_all, told.found_by_regions) == (1, (1, 2, 2))
    assert told.moved == 0
    (line,) = told.describe()  # one step: nothing moves
    assert line.endswith("boxes find: the largest region 1, the 2 largest regions of the last map "
                         "2, the 3 largest regions of the last map 2")  # fmt: skip


def test_maps_without_a_region_move_nowhere_and_find_nothing():
    counter = ShiftCounter()
    flat = np.zeros((16, 16), np.float32)
    add(counter, flat, flat, true_boxes=[[0, 0, 50, 50], [50, 50, 99, 99]])
    told = counter.summarize()
    assert (told.moved, told.apart, told.found_by_step, told.found_by_all) == (
        None,
        None,
        (0, 0),
        0,
    )
    assert ShiftCounter().summarize().describe() == []


def test_each_object_needs_a_box_of_its_own():
    """Against all ways to pair them."""
    random = np.random.default_rng(3)
    several = 0
    for _ in range(200):
        corners = random.integers(0, 6, (7, 2))
        boxes = np.concatenate([corners, corners + random.integers(3, 7, (7, 2))], axis=1)
        found, true = boxes[:3], boxes[3:]
        enough = pairwise_iou(found, true) >= 0.5
        best = max(
            sum(enough[i, j] for i, j in enumerate(order)) for order in permutations(range(4), 3)
        )
        assert count_found(list(found), true) == best
        several += best > 1
    assert several > 20
    assert count_found([None], true) == 0
