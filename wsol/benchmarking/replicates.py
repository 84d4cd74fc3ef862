"""Scores of one model: bootstrap replicates of its scores under each threshold rule."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from wsol.evaluation.comparison import Results, add_up
from wsol.evaluation.threshold_rules import BEFOREHAND

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eval.protocols import Protocol
    from wsol.benchmarking.experiment import Scoring


@dataclass(frozen=True, eq=False)
class RunScores:
    """One model with one seed, one map method and one output stride, under one threshold rule.

    Args:
        model: name
        seed: of the run
        variant: map method and output stride as they were asked for
        method: of the maps
        output_stride: of the network as it was scored
        threshold: rule, as text
        level: the threshold that it gave; None for boxes that came without a map
        replicates: by score, (1001,) percent: bootstrap replicates, and last the score itself
        images: how many were scored
        protocol: name of the one that was scored under; empty where there was no other
        overlaps: what is told of images that were not only scored; None where it is not known
        unreadable: of these, why they could not be read, by id; they count as missed
        unreadable_chosen_on: the same of the images that a threshold was chosen on
    """

    model: str
    seed: int
    variant: tuple[str, int]
    method: str
    output_stride: int
    threshold: str
    level: float | None
    replicates: dict[str, np.ndarray]
    images: int
    protocol: str = ""
    overlaps: tuple[str, ...] | None = ()
    unreadable: dict[str, str] = field(default_factory=dict)
    unreadable_chosen_on: dict[str, str] = field(default_factory=dict)


def name_rule(rule: str | float) -> str:
    """Write a threshold rule as tables have it."""
    return rule if isinstance(rule, str) else f"{rule:g}"


def check_rules(scoring: Scoring) -> None:
    """Refuse thresholds that scores under a protocol do not tell of.

    Raises:
        ValueError: an unknown protocol, or a threshold between those of a protocol's grid
    """
    for rules in scoring.rules:
        for rule in scoring.thresholds:
            if not isinstance(rule, str):
                _find_on_grid(rules, rule)


def _find_nearest(rules: Protocol, threshold: float) -> int:
    return int(np.abs(rules.thresholds - threshold).argmin())


def _find_on_grid(rules: Protocol, threshold: float) -> int:
    grid = rules.thresholds
    at = _find_nearest(rules, threshold)
    if abs(grid[at] - threshold) > 1e-9:
        raise ValueError(
            f"Expected thresholds on the grid of {rules.interval} that protocol {rules.name} has "
            f"but got {threshold:g}; the nearest one is {grid[at]:g}"
        )
    return at


def round_to_grid(rules: Protocol, threshold: float) -> float:
    """Give the threshold of a protocol's grid that is nearest."""
    return float(rules.thresholds[_find_nearest(rules, threshold)])


def score_rules(
    results: Results, rules: Protocol, scoring: Scoring, levels: Mapping[str, float]
) -> list[tuple[str, float, dict[str, np.ndarray]]]:
    """Take the scores of one pass over the images under every threshold rule.

    Args:
        results: of the pass
        rules: protocol that they were scored under
        scoring: names the threshold rules
        levels: thresholds that rules gave beforehand: for `val` the best on other images, for
            `unlabelled` the one that these images ask for, rounded to the grid; rules without one
            are left out

    Returns:
        by rule: its text, the threshold, and `RunScores.replicates`

    Raises:
        ValueError: a threshold between those of the protocol's grid, or scores that were taken at
            another one than the protocol's own
    """
    scores = add_up(results)
    curves, by_rule = scores.curves(), []
    for rule in scoring.thresholds:
        if rule in BEFOREHAND and rule not in levels:
            continue
        told = scoring.several and "oracle" in scoring.thresholds
        if rule == "own" and rules.threshold is None and told:
            continue  # a protocol without a threshold of its own has nothing else to tell
        own = "best" if rules.threshold is None else None
        at: Any = {"oracle": "best", "own": own}.get(str(rule), -1)
        if at == -1:
            at = _find_on_grid(rules, levels[rule] if isinstance(rule, str) else rule)
        every = scores.replicates(at, curves)
        index = int(every["threshold"][-1])
        if at is None and abs(scores.thresholds[index] - float(rules.threshold or 0)) > 1e-9:
            raise ValueError(
                f"Expected scores at the protocol's threshold {rules.threshold:g} but they were "
                f"taken at {scores.thresholds[index]:g}"
            )
        kept = {n: v for n, v in every.items() if results.scores.get(n) is not None}
        by_rule.append((name_rule(rule), float(scores.thresholds[index]), kept))
    return by_rule
