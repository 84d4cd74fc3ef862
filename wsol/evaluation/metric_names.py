"""What people call the scores and the kinds of errors, and which scores an evaluation has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wsol.text import count_things

if TYPE_CHECKING:
    from collections.abc import Mapping

OF_PIXELS = ("pxap", "peak_pixel_iou")
OF_MAPS = ("max_box_acc", "max_box_acc_v2")  # boxes that came without a map have none
_NAMES = {
    "pxap": "PxAP",
    "peak_pixel_iou": "peak pixel IoU",
    "max_box_acc": "MaxBoxAcc (one contour, oracle)",
    "max_box_acc_v2": "MaxBoxAccV2 (all contours, oracle)",
    "box_acc_30": "box accuracy at 30 (all contours, oracle)",
    "box_acc_50": "box accuracy at 50",
    "box_acc_70": "box accuracy at 70",
    "gt_known_loc": "GT-known Loc",
    "top1_loc": "Top-1 Loc",
    "top5_loc": "Top-5 Loc",
    "top1_cls": "top-1 accuracy (over all outputs)",
    "top5_cls": "top-5 accuracy",
    "centre_box": "baseline: centre box",
    "full_image": "baseline: full image",
}

# Why a box misses, by the name that the JSON output counts it under; in the order of the tests.
# Names are those of the literature; the words hold for every box that the rule puts there, also for
# one of kind `part` that is larger than the object.
ERROR_KINDS = {
    "blank": "there is no box",
    "multi": "the box covers more than 30 % of each of several objects",
    "part": "most of the box lies on one object, but the two overlap too little",
    "more": "the box covers most of an object, and at least as much around it",
    "miss": "at most half of the box lies on any object, of which it covers at most 70 %",
}


def list_scores(content: dict[str, Any]) -> dict[str, float | None]:
    """List the scores of an evaluation in the order in which they are told.

    Args:
        content: the JSON output

    Returns:
        percent by the name of a score; None for what was not asked or is not known
    """
    acc = {f"box_acc_{delta}": value for delta, value in (content["box_acc"] or {}).items()}
    flat = {**content, **acc, **(content["baselines"] or {})}
    names = [*dict.fromkeys([*_NAMES, *acc])]
    of_pixels = content["pxap"] is not None
    if not of_pixels and content["box_acc"] is None:  # classes alone
        names = [name for name in names if flat.get(name) is not None]
    return {name: flat.get(name) for name in names if (name in OF_PIXELS) == of_pixels}


def tell_missing_truth(content: Mapping[str, Any]) -> list[str]:
    """Say how many images have nothing to find, and how they count.

    Args:
        content: the JSON output

    >>> tell_missing_truth({"without_true_box": 1, "without_foreground": None})
    ['1 image has no true box and counts as missed']
    >>> tell_missing_truth({"without_foreground": 2})
    ['2 images have no true mask and count as background']
    """
    told = []
    for key, what, how in (
        ("without_true_box", "true box", "missed"),
        ("without_foreground", "true mask", "background"),
    ):
        if count := content.get(key):
            has, counts = ("has", "counts") if count == 1 else ("have", "count")
            told.append(f"{count_things(count, 'image')} {has} no {what} and {counts} as {how}")
    return told


def name_score(score: str, of_given_boxes: bool = False) -> str:
    """Return what people call a score, also one of boxes that came without a map.

    >>> name_score("box_acc_30"), name_score("box_acc_30", of_given_boxes=True)
    ('box accuracy at 30 (all contours, oracle)', 'box accuracy at 30 (any box)')
    """
    plain = score.replace("box_acc_", "box accuracy at ")
    if of_given_boxes and score.startswith("box_acc_30"):
        return f"{plain} (any box)"
    return _NAMES.get(score, plain)


def is_of_given_boxes(content: Mapping[str, Any]) -> bool:
    """Tell whether scores are of boxes that came without a map, and so without a threshold.

    Args:
        content: the JSON output
    """
    return content.get("box_acc") is not None and content["threshold"]["rule"] is None
