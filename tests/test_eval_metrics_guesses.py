"""The any-step rule against a twin written from its words, and counts that add up."""

import numpy as np
import pytest

from eval.metrics.guesses import (
    SCORES,
    GuessScores,
    judge_classes,
    judge_steps,
    merge_steps,
)

BLANK = (0, 0, 0, 0)
BOX, HALF, MORE, AWAY = (0, 0, 10, 10), (0, 0, 10, 5), (0, 0, 10, 6), (50, 50, 60, 60)


def overlap(one, other):
    """Intersection over union, pixel by pixel."""
    first, second = (
        {(x, y) for x in range(b[0], b[2]) for y in range(b[1], b[3])} for b in (one, other)
    )
    union = first | second
    return len(first & second) / len(union) if union else 0


def brute_force(boxes, probabilities):
    """What a list of places holds after every step was compared with all before it."""
    held = []
    for number, (box, chance) in enumerate(zip(boxes, probabilities, strict=True)):
        new = {"step": number, "box": box, "chance": chance}
        for at in range(len(held)):
            old = held[at]
            if overlap(old["box"], new["box"]) > 0.5:
                winner = new if new["chance"] > old["chance"] else old
                held[at], new = winner, winner
        held.append(new)
    return [each["step"] for each in held]


def merge(boxes, probabilities):
    boxes = np.array(boxes)
    return merge_steps(boxes, boxes[:, 2] == 0, np.array(probabilities), "edges").tolist()


@pytest.mark.parametrize(
    ("boxes", "probabilities", "places"),
    [
        ([BOX], [0.2], [0]),
        ([BOX, MORE], [0.2, 0.3], [1, 1]),
        ([BOX, MORE], [0.3, 0.2], [0, 0]),
        ([BOX, MORE], [0.3, 0.3], [0, 0]),  # the earlier of equals
        ([BOX, HALF], [0.2, 0.3], [0, 1]),  # exactly one half is another object
        ([BLANK, BLANK], [0.2, 0.3], [0, 1]),  # no object
        ([BLANK, BOX, BOX], [0.9, 0.3, 0.2], [0, 1, 1]),
        ([BOX, AWAY, MORE], [0.2, 0.9, 0.3], [2, 1, 2]),
        ([(0, 0, 10, 10), (4, 0, 14, 10), (6, 0, 16, 10)], [0.1, 0.2, 0.3], [0, 2, 2]),
        # The third is far from the first, but not from the second, which has taken its place.
        ([(0, 0, 10, 10), (3, 0, 13, 10), (6, 0, 16, 10)], [0.1, 0.2, 0.3], [2, 2, 2]),
        ([(0, 0, 10, 10), (3, 0, 13, 10), (6, 0, 16, 10)], [0.3, 0.2, 0.1], [0, 0, 2]),
    ],
)
def test_boxes_of_one_object_leave_the_more_probable(boxes, probabilities, places):
    assert merge(boxes, probabilities) == places == brute_force(boxes, probabilities)


def test_places_are_those_of_the_twin():
    random = np.random.default_rng(0)
    merged = 0
    for _ in range(300):
        count = int(random.integers(1, 5))
        corners = random.integers(0, 3, (count, 2))
        boxes = np.concatenate([corners, corners + random.integers(5, 9, (count, 2))], axis=1)
        boxes[random.random(count) < 0.15] = 0
        probabilities = random.integers(1, 4, count) / 4  # often equal
        places = merge(boxes, probabilities)
        assert places == brute_force(boxes.tolist(), probabilities.tolist())
        merged += len(set(places)) < count
    assert merged > 50


def test_blank_boxes_overlap_nothing_where_a_pixel_would():
    boxes = np.zeros((2, 4), int)
    places = merge_steps(boxes, np.array([True, True]), np.array([0.1, 0.2]), "inclusive")
    assert places.tolist() == [0, 1]


def test_any_step_that_has_a_place_may_be_right():
    random = np.random.default_rng(1)
    for _ in range(200):
        count = int(random.integers(1, 4))
        ranks = random.choice([0, 0, 3, 5, 7], count)
        hits, known_hits = random.random((2, count)) < 0.5
        places, known_places = random.integers(0, count, (2, count))
        right = judge_steps(ranks, hits, known_hits, places, known_places)
        assert right.shape == (count + 2, 5)
        wanted = [
            any(known_hits[t] for t in known_places),
            any(ranks[t] == 0 and hits[t] for t in places),
            any(ranks[t] < 5 and hits[t] for t in places),
            any(ranks[t] == 0 for t in places),
            any(ranks[t] < 5 for t in places),
        ]
        assert right[-2].tolist() == wanted
        assert right[-1].tolist() == right[:-2].any(0).tolist()
        if count == 1:
            assert (right == right[0]).all()


@pytest.mark.parametrize(
    ("rank", "hit", "class_hits", "scores"),
    [
        (1, True, [True, False], [1, 1, 1, 1, 1]),
        (2, True, [True, False], [1, 0, 1, 0, 1]),
        (9, True, [False, True], [1, 0, 1, 0, 1]),
        (10, True, [False, False], [0, 0, 0, 0, 0]),
        (0, False, [False, False], [0, 0, 0, 1, 1]),
        (2, True, [False, False, True], [1, 1, 1, 1, 1]),
    ],
)
def test_a_partner_has_as_many_classes(rank, hit, class_hits, scores):
    assert judge_classes(rank, hit, class_hits)[1].tolist() == [bool(each) for each in scores]


def test_counts_of_shards_add_up_and_pairs_are_paired():
    random = np.random.default_rng(2)
    names, pairs = ("one", "any", "partner"), (("partner", "any"),)
    whole, *parts = (GuessScores(names, pairs) for _ in range(3))
    every = random.random((40, 3, 5)) < 0.5
    guesses = np.array([1, 2, 2])
    for number, right in enumerate(every):
        for scores in (whole, parts[number % 2]):
            scores.update(f"image {number}", right, guesses)
    parts[0].merge(parts[1])
    for row, one, other in zip(range(3), whole.compute(), parts[0].compute(), strict=True):
        assert one == other
        assert one.guesses == guesses[row]
        means = dict(zip(SCORES, 100 * every[:, row].mean(0), strict=True))
        assert one.scores == pytest.approx(means)
        for name, (low, high) in one.intervals95.items():
            assert low < one.scores[name] < high
    (gaps,) = whole.differences()
    for at, name in enumerate(SCORES):
        assert gaps[name].gained == (every[:, 1, at] & ~every[:, 2, at]).sum()
        assert gaps[name].lost == (every[:, 2, at] & ~every[:, 1, at]).sum()
        assert gaps[name].low <= gaps[name].difference <= gaps[name].high
    assert whole.compute(known=False)[0].scores["gt_known_loc"] is None
    assert "gt_known_loc" not in whole.differences(known=False)[0]
    with pytest.raises(ValueError, match="Expected scores of"):
        whole.merge(GuessScores(("other",)))
    with pytest.raises(ValueError, match="at least one image"):
        GuessScores(names).compute()
