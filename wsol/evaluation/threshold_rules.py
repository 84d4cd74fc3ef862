"""The rules by which thresholds are chosen: their names, and what people are told of them."""

from __future__ import annotations

ORACLE, VAL, UNLABELLED = "oracle", "val", "unlabelled"
OWN = "own"  # of a protocol that has one
BEFOREHAND = (VAL, UNLABELLED)  # their thresholds are there before the images are scored
NO_BOXES = "no boxes used"
ENOUGH = 24  # images for the rule `unlabelled`; fewer say too little
_SAID = {
    ORACLE: "the best on {where} itself (oracle: it flatters the scores)",
    VAL: "the best on val",
    UNLABELLED: f"found on the images of {{where}}, {NO_BOXES}",
    "fixed": "fixed",
}


def explain_rule(rule: str, where: str | None) -> str:
    """Say in words where a threshold is from.

    Args:
        rule: of the JSON output
        where: name of the split that it was chosen on, or None

    >>> explain_rule("unlabelled", "test")
    'found on the images of test, no boxes used'
    """
    return _SAID[rule].format(where=where)
