"""Several guesses an image: which steps' boxes are one object, and whether any guess is right.

The rule is that of TDAM's published validation, which takes an image for right if any step is.
Before, boxes that overlap by more than one half are taken for one object, of which the more
probable prediction alone is left. A network of T steps has up to T guesses this way, so that its
scores belong beside those of a network that may name T classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.geometry import pairwise_iou
from eval.statistics import REPLICATES, Difference, image_columns, interval, mcnemar, to_percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eval.geometry import Convention

SAME = 0.5  # overlap above which two steps' boxes are one object
SCORES = ("gt_known_loc", "top1_loc", "top5_loc", "top1_cls", "top5_cls")


def merge_steps(
    boxes: np.ndarray, blank: np.ndarray, probabilities: np.ndarray, convention: Convention
) -> np.ndarray:
    """Tell which step's guess is left in the place of each step.

    Every step has a place. In the order of the steps, each one is held against the places before
    its own, the first one first. Where its box and the box in a place overlap by more than one
    half, the more probable of the two, the one in the place if both are equally so, stays in that
    place and is what the step goes on with to the next place; what it ends with takes its own.

    Args:
        boxes: (T, 4), x0 y0 x1 y1, one a step
        blank: (T,), bool, where a map gave no box, which is no object and overlaps nothing
        probabilities: (T,), of what each step says
        convention: what the four numbers mean, as in `eval.geometry`

    Returns:
        (T,), int64, numbers of steps from 0; one that was dropped has no place

    >>> boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 6], [20, 0, 30, 10]])
    >>> merge_steps(boxes, np.zeros(3, bool), np.array([0.3, 0.9, 0.4]), "edges")
    array([1, 1, 2])
    """
    overlaps = pairwise_iou(boxes, boxes, convention)
    same = (overlaps > SAME) & ~blank[:, None] & ~blank[None]
    places: list[int] = []
    for step in range(len(boxes)):
        held = step
        for place, other in enumerate(places):
            if same[held, other] and probabilities[held] > probabilities[other]:
                places[place] = held
            elif same[held, other]:
                held = other
        places.append(held)
    return np.array(places, np.int64)


def judge_steps(
    ranks: np.ndarray,
    hits: np.ndarray,
    known_hits: np.ndarray,
    places: np.ndarray,
    known_places: np.ndarray,
) -> np.ndarray:
    """Tell which scores count an image: by each step alone, and by any.

    Args:
        ranks: (T,), position of the true class among each step's predictions, from 0
        hits: (T,), bool, whether the box that Top-1 and Top-5 Loc ask for overlaps a true one
        known_hits: (T,), bool, the same of the true class's box, which GT-known asks for
        places: (T,), by `merge_steps`, of the boxes of each step's most probable class
        known_places: (T,), the same of the true class's boxes and probabilities

    Returns:
        (T + 2, 5), bool, by `SCORES`: each step, any after merging, any without merging

    >>> one, two = np.array([0, 0]), np.array([0, 1])
    >>> judge_steps(np.array([1, 0]), np.array([True, True]), np.array([True, True]), one, two)[2:]
    array([[ True, False,  True, False,  True],
           [ True,  True,  True,  True,  True]])
    """
    first, five = ranks < 1, ranks < 5
    steps = np.stack([known_hits, first & hits, five & hits, first, five], axis=1)
    merged = steps[places].any(axis=0)
    merged[0] = steps[known_places, 0].any()
    return np.concatenate([steps, [merged, steps.any(axis=0)]])


def judge_classes(rank: int, hit: bool, class_hits: Sequence[bool] | np.ndarray) -> np.ndarray:
    """Tell which scores count an image if a network may name several classes, each with its box.

    Args:
        rank: position of the true class among the predictions, from 0
        hit: whether the box that Top-1 and Top-5 Loc ask for overlaps a true one
        class_hits: one bool a guess: of the true class's box, and of those of the most probable
            other classes; its length is the number of guesses, G

    Returns:
        (2, 5), bool, by `SCORES`: with one guess, and with G, where GT-known takes any of the
        boxes, and the class must be among the first G, or for the top-5 scores the first 5 G

    >>> judge_classes(1, True, [True, False])
    array([[ True, False,  True, False,  True],
           [ True,  True,  True,  True,  True]])
    """
    rows = []
    for count in (1, len(class_hits)):
        first, five = rank < count, rank < 5 * count
        rows.append([any(class_hits[:count]), first and hit, five and hit, first, five])
    return np.array(rows, bool)


@dataclass(frozen=True)
class GuessRow:
    """The scores of one way to guess, in percent.

    Args:
        name: of the way
        guesses: that it has an image, on average
        scores: by name; None for one that is not defined
        intervals95: bootstrap intervals by the name of a score
    """

    name: str
    guesses: float
    scores: dict[str, float | None]
    intervals95: dict[str, list[float] | None]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        head = {"name": self.name, "guesses": self.guesses}
        return {**head, **self.scores, "intervals95": self.intervals95}


@dataclass
class GuessScores:
    """Counts of several ways to guess on the same images, which grow image by image.

    The last column of every table is the plain count, the ones before are bootstrap replicates.

    Args:
        names: of the ways, one a row
        pairs: rows that are compared, (first, second)
    """

    names: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...] = ()
    tables: dict[str, np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        rows, columns = len(self.names), REPLICATES + 1
        self.tables = {
            "right": np.zeros((rows, len(SCORES), columns), np.int32),
            "images": np.zeros(columns, np.int32),
            "guesses": np.zeros(rows, np.int64),
            "only": np.zeros((len(self.pairs), 2, len(SCORES)), np.int64),
        }

    def update(self, image_id: str, right: np.ndarray, guesses: np.ndarray) -> None:
        """Add one image.

        Args:
            image_id: names the image
            right: (rows, 5), bool, by `SCORES`
            guesses: (rows,), how many different ones each way has
        """
        weights = image_columns(image_id)
        self.tables["right"][right] += weights
        self.tables["images"] += weights
        self.tables["guesses"] += guesses
        for number, pair in enumerate(self.pairs):
            one, other = (right[self.names.index(name)] for name in pair)
            self.tables["only"][number] += np.stack([one & ~other, other & ~one])

    def merge(self, other: GuessScores) -> None:
        """Add the counts of another shard.

        Raises:
            ValueError: the other shard counts other ways
        """
        if (self.names, self.pairs) != (other.names, other.pairs):
            raise ValueError(f"Expected scores of {self.names} but got {other.names}")
        for name, table in self.tables.items():
            table += other.tables[name]

    def compute(self, known: bool = True) -> list[GuessRow]:
        """Turn the counts into scores.

        Args:
            known: whether GT-known is defined

        Raises:
            ValueError: no image was added
        """
        shares = self._percent()
        count = int(self.tables["images"][-1])
        rows = []
        for row, name in enumerate(self.names):
            each = dict(zip(SCORES, shares[row], strict=True))
            defined = {key: values for key, values in each.items() if known or key != SCORES[0]}
            rows.append(
                GuessRow(
                    name=name,
                    guesses=float(self.tables["guesses"][row]) / count,
                    scores={
                        key: float(each[key][-1]) if key in defined else None for key in SCORES
                    },
                    intervals95={key: interval(values[:-1]) for key, values in defined.items()},
                )
            )
        return rows

    def differences(self, known: bool = True) -> list[dict[str, Difference]]:
        """Compare every pair, second minus first, by the name of a score.

        Args:
            known: whether GT-known is defined
        """
        shares = self._percent()
        told = []
        for number, pair in enumerate(self.pairs):
            one, other = (shares[self.names.index(name)] for name in pair)
            gaps = {}
            for at, name in enumerate(SCORES):
                if name == SCORES[0] and not known:
                    continue
                ends = interval(other[at, :-1] - one[at, :-1]) or (np.nan, np.nan)
                lost, gained = self.tables["only"][number, :, at].tolist()
                gaps[name] = Difference(
                    first=float(one[at, -1]),
                    second=float(other[at, -1]),
                    low=float(ends[0]),
                    high=float(ends[1]),
                    gained=gained,
                    lost=lost,
                    p_value=mcnemar(gained, lost),
                )
            told.append(gaps)
        return told

    def _percent(self) -> np.ndarray:
        """Give every score, (rows, 5, 1001), NaN in replicates without an image."""
        images = self.tables["images"]
        if not images[-1]:
            raise ValueError("Expected at least one image but got none")
        return to_percent(self.tables["right"], images)
