"""What the record of an image says twice, held against itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eval.geometry import clip_to_last_pixel
from eval.metrics.baselines import hit_baselines
from eval.metrics.failures import KINDS, failure_kinds
from eval.metrics.localization import MODES
from eval.metrics.overlaps import best_overlaps
from eval.metrics.true_boxes import count_shown, true_boxes_in_square
from wsol.evaluation.given_box_scores import judge_boxes

if TYPE_CHECKING:
    from collections.abc import Collection

    from eval.protocols import Protocol

_NEAR = 1e-6  # as far as processors may round otherwise
_LARGEST = 2.0**31  # pixels


def find_contradiction(
    rows: Collection[dict[str, Any]], protocol: Protocol, class_map: str, threshold: float | None
) -> str | None:
    """Find an image whose record cannot be true.

    Where the whole image was the network's input, overlap and error follow from the predicted and
    the true boxes, and so do the baselines' hits.

    Args:
        rows: one record an image, with the hits at every threshold
        protocol: that they were scored under
        class_map: the class whose maps they are of
        threshold: at which box, overlap and error were taken; None for boxes without a map

    Returns:
        the image and the key that is wrong, or None

    Raises:
        ValueError, KeyError, TypeError, IndexError: records of something else
    """
    outputs: dict[int, int] = {}  # of the network, by label
    for row in rows:
        key = _check_class(row, outputs, class_map)
        if threshold is None:
            key = key or _check_given(row, protocol)
        else:
            key = key or _check_hits(row, protocol, threshold)
            if key is None and protocol.image == "squash":
                key = _check_box(row, protocol)
        if key is not None:
            return f"{row['id']} has another {key} than the rest of its record says"
    for row in rows:  # once all that tells of the classes is known
        known = None not in (row["rank"], row["predicted"])
        if known and row["rank"] > 0 and outputs.get(row["label"]) == row["predicted"]:
            return f"{row['id']} has another rank than its predicted class says"
    return None


def count_boxes_shown(row: dict[str, Any]) -> int:
    """Read how many true boxes lay in what the map covered.

    Raises:
        TypeError, ValueError: it is no number of these
    """
    boxes = len(row["true_boxes"])
    shown = row.get("true_boxes_shown", boxes)  # of squashed images all are shown
    if type(shown) is not int or not 0 <= shown <= boxes:
        raise ValueError(f"true_boxes_shown to be from 0 to {boxes} but got {shown!r}")
    return shown


def _check_class(row: dict[str, Any], outputs: dict[int, int], class_map: str) -> str | None:
    """Hold ranks, predicted classes and those of the maps against each other."""
    rank, predicted, shown = row["rank"], row["predicted"], row["map_class"]
    if type(row["label"]) is not int:
        return "label"
    for key in ("rank", "predicted", "map_class"):
        if row[key] is not None and (type(row[key]) is not int or row[key] < 0):
            return key
    if row["unreadable"]:
        return next((key for key in ("rank", "map_class", "score", "box") if row[key] is not None),
                    None if row["error"] == "blank" else "error")  # fmt: skip
    if predicted is None:
        return None
    if class_map == "predicted" and shown != predicted:
        return "map_class"
    if class_map == "ground_truth" and outputs.setdefault(row["label"], shown) != shown:
        return "map_class"
    if rank == 0 and outputs.setdefault(row["label"], predicted) != predicted:
        return "predicted"
    return None


def _check_given(row: dict[str, Any], protocol: Protocol) -> str | None:
    """Compute overlaps, hits, error and baselines from boxes that came without a map."""
    size = row["width"], row["height"]
    if not all(type(side) is int and 0 < side < _LARGEST for side in size):
        return "width and height"
    edges, boxes = _read_boxes(row["true_boxes"]), _read_boxes(row["boxes"])
    if edges is None or boxes is None:
        return "boxes" if edges is not None else "true_boxes"
    if row["box"] != (row["boxes"][0] if row["boxes"] else None):
        return "box"
    true = true_boxes_in_square(edges - [0, 0, 1, 1], size, protocol)
    if count_boxes_shown(row) != count_shown(true, protocol):
        return "true_boxes_shown"
    overlaps, kind = judge_boxes(boxes, true, size, protocol)
    if any(abs(float(overlaps[0]) - row[key]) > _NEAR for key in ("iou", "best_iou")):
        return "iou"
    if (row["error"] or "none") != KINDS[kind]:
        return "error"
    whole = [[0, len(protocol.thresholds)]]
    for mode, overlap in zip(MODES, overlaps, strict=True):
        for delta in protocol.deltas:
            if row["hits"][mode][str(delta)] != (whole if protocol.hits(overlap, delta) else []):
                return "hits"
    told = tuple(row["baselines"][name] for name in protocol.baselines)
    return None if told == hit_baselines(true, protocol) else "baselines"


def _check_hits(row: dict[str, Any], protocol: Protocol, threshold: float) -> str | None:
    """Hold overlap and error against the hits at the thresholds that they were taken at."""
    grid = protocol.thresholds
    iou, best = (float(row[key]) for key in ("iou", "best_iou"))
    if not 0 <= iou <= 1 + _NEAR:
        return "iou"
    for key, overlap, level in (
        ("iou", iou, threshold), ("best_iou", best, float(row["best_threshold"])),
    ):  # fmt: skip
        at = int(np.abs(grid - level).argmin())
        if grid[at] != level:
            if key == "best_iou":
                return "best_threshold"
            continue  # between two of the grid
        if overlap > best + _NEAR:
            return "best_iou"
        for delta in protocol.deltas:
            spans = row["hits"]["largest"][str(delta)]
            hit = any(start <= at < stop for start, stop in spans)
            sure = {bool(protocol.hits(np.array(overlap + d), delta)) for d in (-_NEAR, _NEAR)}
            if sure == {not hit}:
                return key
            if key == "iou" and delta == 50 and hit != (row["error"] is None):
                return "error"
    return None


def _check_box(row: dict[str, Any], protocol: Protocol) -> str | None:
    """Compute overlap, error and baselines from the boxes."""
    width, height = row["width"], row["height"]
    if not all(type(side) is int and 0 < side < _LARGEST for side in (width, height)):
        return "width and height"
    size, side = np.array([width, height] * 2), protocol.size
    edges = _read_boxes(row["true_boxes"])
    if edges is None:
        return "true_boxes"
    boxes = _read_boxes([[0, 0, 0, 0] if row["box"] is None else row["box"]])
    if boxes is None:
        return "box"
    exact = boxes * side / size
    inside = exact.round().astype(np.int64)
    if (abs(exact - inside) > 1e-3).any() or (inside < 0).any() or (inside > side).any():
        return "box"
    if protocol.convention == "inclusive":
        inside = clip_to_last_pixel(inside, (side, side))
    blank = inside[:, 2] == 0 if row["box"] is not None else np.array([True])
    true = true_boxes_in_square(edges - [0, 0, 1, 1], (width, height), protocol)
    if count_boxes_shown(row) != count_shown(true, protocol):
        return "true_boxes_shown"
    overlaps = best_overlaps(inside, np.array([[0, 1]]), true, protocol.convention)
    if abs(float(overlaps[0]) - row["iou"]) > _NEAR:
        return "iou"
    hits = protocol.hits(overlaps, 50)
    kind = KINDS[failure_kinds(inside, blank, hits, true, protocol.convention)[0]]
    if (row["error"] or "none") != kind or (row["box"] is None) != (kind == "blank"):
        return "error"
    told = tuple(row["baselines"][name] for name in protocol.baselines)
    return None if told == hit_baselines(true, protocol) else "baselines"


def _read_boxes(values: Any) -> np.ndarray | None:
    """Take boxes as (k, 4), float64; None where they are no numbers of pixels."""
    if not all(type(each) in (int, float) for box in values for each in box):
        return None
    boxes = np.array(values, np.float64).reshape(-1, 4)
    return boxes if (abs(boxes) < _LARGEST).all() else None
