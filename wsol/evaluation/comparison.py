"""Two runs on the same images, compared image by image."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.geometry import to_edges
from eval.metrics.failures import KINDS
from eval.metrics.localization import MODES, LocalizationScores, Outcome
from eval.protocols import Protocol
from eval.statistics import Difference, interval, mcnemar
from tdam.strict_json import dumps, loads
from wsol.errors import ArgumentError, OutputError
from wsol.evaluation.image_results import CHOSEN, LINES, SCORES
from wsol.evaluation.map_source import NO_RANK
from wsol.evaluation.metric_names import is_of_given_boxes
from wsol.evaluation.row_checks import count_boxes_shown, find_contradiction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from eval.splits import Split


# Scores that count images one by one, and when an image counts.
COUNTED: dict[str, Callable[[dict[str, Any]], bool]] = {
    "gt_known_loc": lambda row: row["error"] is None,
    "top1_loc": lambda row: row["error"] is None and _within(row, 1),
    "top5_loc": lambda row: row["error"] is None and _within(row, 5),
    "top1_cls": lambda row: _within(row, 1),
    "top5_cls": lambda row: _within(row, 5),
}


def _within(row: dict[str, Any], k: int) -> bool:
    return row["rank"] is not None and row["rank"] < k


class ResultError(ValueError):
    """Results that cannot be read or compared; the message names the folder."""


@dataclass(frozen=True, eq=False)
class Results:
    """What an evaluation left in a folder.

    Args:
        folder: where it lies
        scores: the JSON output
        rows: one record an image, by id
    """

    folder: Path
    scores: dict[str, Any]
    rows: dict[str, dict[str, Any]]

    def __repr__(self) -> str:
        return f"Results(folder={str(self.folder)!r}, images={len(self.rows)})"


def read_results(path: str | Path, slim: bool = False) -> Results:
    """Read the results of an evaluation.

    Args:
        path: its folder, or one of the files in it
        slim: whether to leave out the hits at every threshold, which take the most memory

    Raises:
        ResultError: no results here, or results of an evaluation that did not end
    """
    folder = Path(path)
    if folder.is_file():
        folder = folder.parent
    try:
        scores = loads((folder / SCORES).read_text(encoding="utf-8"))
        with (folder / LINES).open(encoding="utf-8") as lines:
            every = [_without_hits(line) if slim else loads(line) for line in lines]
        rows = {row["id"]: row for row in every}
        if not isinstance(scores, dict) or not all(isinstance(key, str) for key in rows):
            raise ValueError(f"{SCORES} and {LINES} have records of something else")
        if len(rows) < len(every):
            raise ValueError(f"{LINES} has images more than once")
        if len(rows) != scores["images"]:
            raise ValueError(f"{LINES} has {len(rows)} images, {SCORES} {scores['images']}")
    except OSError as error:
        below = {path.parent.name for path in folder.glob(f"*/{SCORES}")}
        inside = sorted(name for name in below if not name.startswith(CHOSEN))
        hint = f"; there are those of {', '.join(inside)} in folders below" if inside else ""
        raise ResultError(
            f"{folder}: expected {SCORES} and {LINES} of a finished evaluation "
            f"({error.strerror}){hint}"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultError(f"{folder}: expected results of an evaluation but {error}") from error
    return Results(folder, scores, rows)


@contextmanager
def trusting(what: object) -> Iterator[None]:
    """Turn what records of something else lead to into one sentence.

    Args:
        what: folder or folders of the results that the block works with

    Raises:
        ResultError: a key that is missing, or a value of another type or size
    """
    try:
        yield
    except (ArgumentError, OutputError, ResultError):
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        raise ResultError(f"{what}: expected results of an evaluation but {reason}") from error


def _without_hits(line: str) -> dict[str, Any]:
    row: dict[str, Any] = loads(line)
    row.pop("hits", None)
    return row


def compare_results(first: Results, second: Results) -> dict[str, Difference]:
    """Compare two runs, score by score.

    Both are resampled with the same images; a threshold that a run chose on this very split is
    chosen anew in every replicate.

    Args:
        first: the run to compare with
        second: the run in question

    Returns:
        by the name of a score, those that both runs have; of maps and boxes that came without,
        not the box accuracies, whose thresholds maps choose on the true boxes

    Raises:
        ResultError: other images, another protocol or grid, scores of masks, or scores that are
            not those of their images
    """
    check_comparable(first, second)
    for run in (first, second):
        check_sums(run)
    try:
        replicates = [add_up(run).replicates() for run in (first, second)]
    except (KeyError, TypeError, IndexError) as error:
        raise ResultError(
            f"{second.folder}: expected results of an evaluation but {error}"
        ) from error
    differences = {}
    # Boxes without maps have one operating point each: the box accuracies of maps are the best of
    # all thresholds, which it would be unfair to hold against them.
    alone = is_of_given_boxes(first.scores) != is_of_given_boxes(second.scores)
    for name in replicates[0]:
        if name.endswith("threshold") or (alone and name.startswith("box_acc_")):
            continue
        before, after = (_value(run.scores, name) for run in (first, second))
        if before is None or after is None:
            continue
        low, high = interval(replicates[1][name][:-1] - replicates[0][name][:-1]) or (
            np.nan,
            np.nan,
        )
        gained = lost = p_value = None
        if name in COUNTED:
            gained, lost = count_changes(find_right(first, second, name, list(first.rows)))
            p_value = mcnemar(gained, lost)
        differences[name] = Difference(before, after, low, high, gained, lost, p_value)
    return differences


def find_right(first: Results, second: Results, score: str, ids: Sequence[str]) -> np.ndarray:
    """Tell which images two runs have right.

    Args:
        first: a run
        second: another one of the same images
        score: of `COUNTED`
        ids: of images

    Returns:
        (2, N), bool
    """
    right = COUNTED[score]
    return np.array([[right(run.rows[i]) for i in ids] for run in (first, second)], dtype=bool)


def count_changes(right: np.ndarray) -> tuple[int, int]:
    """Count the images that only the second run has right, and those that only the first has."""
    before, after = right
    return int((after & ~before).sum()), int((before & ~after).sum())


def check_comparable(first: Results, second: Results) -> None:
    """Refuse to compare boxes on other images, or under other rules.

    Raises:
        ResultError: other images, another protocol or grid, or scores of masks
    """
    pairs = [
        (name, first.scores.get(name), second.scores.get(name))
        for name in ("protocol", "split", "class_map", "image")
    ]
    one, other = (each.scores.get("choices") or {} for each in (first, second))
    names = sorted({*one, *other} - {"source"})  # a file of one's own may have many paths
    pairs += [(f"the protocol's {name}", one.get(name), other.get(name)) for name in names]
    for name, before, after in pairs:
        if before != after:
            raise ResultError(
                f"{second.folder}: expected {name} {before!r}, as {first.folder} has it, but got "
                f"{after!r}"
            )
    if first.rows.keys() != second.rows.keys():
        odd = min(first.rows.keys() ^ second.rows.keys())
        raise ResultError(
            f"{second.folder}: expected the same images as {first.folder} but only one has {odd!r}"
        )
    for key, what in (("images_sha256", "sizes"), ("contents_sha256", "contents")):
        states = [each.scores.get(key) for each in (first, second)]
        if None not in states and states[0] != states[1]:  # of before it was kept, or of maps
            raise ResultError(
                f"{second.folder}: expected the same image files as {first.folder} but their "
                f"{what} differ ({key}): evaluate again what was of other images"
            )
    if first.scores.get("box_acc") is None:
        raise ResultError(f"{first.folder}: expected scores of boxes")
    for image_id, row in first.rows.items():
        if row.get("true_boxes") != second.rows[image_id].get("true_boxes"):
            raise ResultError(f"{second.folder}: expected the same true boxes of {image_id}")


def check_truth(results: Results, split: Split) -> None:
    """Refuse results of other images, labels, sizes or true boxes than a split has.

    Args:
        results: of an evaluation; their true boxes have outer edges
        split: with boxes

    Raises:
        ResultError: they differ
    """
    if set(results.rows) != set(split.ids):
        odd = min(set(results.rows) ^ set(split.ids))
        raise ResultError(
            f"{results.folder}: expected the images of {split.name} but only one has {odd!r}"
        )
    for number, (image_id, boxes) in enumerate(zip(split.ids, split.boxes or (), strict=True)):
        row = results.rows[image_id]
        wanted = {
            "true boxes": (row.get("true_boxes"), to_edges(boxes).tolist()),
            "label": (row.get("label"), int(split.labels[number])),
            "size": ((row.get("width"), row.get("height")), split.size(number)),
        }
        for what, (told, true) in wanted.items():
            if true is not None and told != true:
                raise ResultError(
                    f"{results.folder}: expected the {what} of {image_id} as in the data"
                )


def _value(scores: dict[str, Any], name: str) -> float | None:
    if name.startswith("box_acc_"):
        name, delta = "box_acc", name.removeprefix("box_acc_")
        value = None if scores[name] is None else scores[name].get(delta)
    else:
        value = scores.get(name)
    if name != "threshold" and type(value) not in (int, float, NoneType):
        raise TypeError(f"Expected {name} to be a number but got {value!r}")
    return value


def check_sums(results: Results) -> None:
    """Refuse scores that images do not add up to, and images that contradict themselves.

    Args:
        results: of boxes, with the hits at every threshold

    Raises:
        ResultError: it names the scores, or the image and its key, that differ
    """
    scores = results.scores
    fault = None
    try:
        true_class = scores["class_map"] == "ground_truth"
        places = 1 if scores["top5_cls"] is None else 5
        sweeps = not is_of_given_boxes(scores)
        sums = loads(dumps(add_up(results).compute(true_class, places, sweeps).to_dict()))
        missed = [row["unreadable"] for row in results.rows.values() if row["unreadable"]]
        choices = scores["choices"]
        sums |= {"unreadable": missed, "protocol": choices["name"], "interval": choices["interval"]}
        wrong = [name for name, value in sums.items() if not _is_near(value, scores[name])]
        if not wrong:
            level, rules = scores["threshold"]["value"], read_protocol(scores)
            fault = find_contradiction(results.rows.values(), rules, scores["class_map"], level)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, ArithmeticError) as error:
        raise ResultError(
            f"{results.folder}: expected results of an evaluation but {error!r}"
        ) from error
    if wrong:
        raise ResultError(
            f"{results.folder}: expected the scores that {LINES} adds up to but {SCORES} has other "
            f"{', '.join(wrong)}"
        )
    if fault is not None:
        raise ResultError(f"{results.folder}: expected records of images in {LINES} but {fault}")


def _is_near(first: Any, second: Any) -> bool:
    """Compare plain values; fractions may differ as processors round."""
    if isinstance(first, float) or isinstance(second, float):
        plain = all(type(each) in (int, float) for each in (first, second))
        return plain and abs(first - second) <= 1e-6
    if isinstance(first, dict) and isinstance(second, dict):
        same = first.keys() == second.keys()
        return same and all(_is_near(first[key], second[key]) for key in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(_is_near, first, second))
    return type(first) is type(second) and first == second


def read_protocol(scores: dict[str, Any]) -> Protocol:
    """Read the rules that scores of boxes were taken under.

    Raises:
        ValueError, KeyError, TypeError: records of something else
    """
    choices = scores["choices"]
    lists = {name: tuple(choices[name]) for name in ("deltas", "centre_box")}
    return Protocol(**{**choices, **lists})


def add_up(run: Results) -> LocalizationScores:
    """Add the images of a run up again, so that other thresholds of the grid can be asked for.

    Raises:
        KeyError, TypeError, IndexError: records of something else
    """
    protocol = read_protocol(run.scores)
    best = run.scores["threshold"]["rule"] == "oracle" or is_of_given_boxes(run.scores)
    scores = LocalizationScores(protocol, None if best else run.scores["threshold"]["value"])
    count, grid = len(scores.thresholds), len(protocol.thresholds)
    knows_classes = run.scores["top1_cls"] is not None
    for image_id, row in run.rows.items():
        hits = np.zeros((len(MODES), len(protocol.deltas), count), bool)
        for i, mode in enumerate(MODES):
            for j, delta in enumerate(protocol.deltas):
                for start, stop in row["hits"][mode][str(delta)]:
                    hits[i, j, start:stop] = True
        if not best:
            hits[0, protocol.deltas.index(50), grid] = row["error"] is None
        kinds = np.full(count, KINDS.index(row["error"] or "none"))
        boxes = count_boxes_shown(row)
        baselines = tuple(row["baselines"].values())
        rank = NO_RANK if row["unreadable"] and knows_classes else row["rank"]
        scores.update(Outcome(image_id, hits, kinds, rank, boxes, baselines))
    return scores
