"""The results of a benchmark: means over seeds, and paired differences between models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eval.statistics import Difference, Spread, interval, measure_spread
from wsol.overlap import join_overlaps
from wsol.text import write_ends

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wsol.benchmarking.replicates import RunScores


@dataclass(frozen=True)
class Value:
    """One score of a row, in percent.

    Args:
        mean: over the seeds
        by_seed: the score of each seed, in their order
        interval95: of the mean, had other images of the same kind been scored
        difference: of the mean from the reference's over the same seeds, paired image by image;
            None for a model that is its own reference, and where they share no seed
        differences: the same of each seed
        spread: of the difference, from seed to seed and over images; None with one seed
    """

    mean: float
    by_seed: tuple[float, ...]
    interval95: tuple[float, float] | None
    difference: Difference | None = None
    differences: tuple[float, ...] = ()
    spread: Spread | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """Give the difference's 95 % interval over images, and over seeds if there are several."""
        gap = self.difference
        if gap is None:
            return np.nan, np.nan
        return (gap.low, gap.high) if self.spread is None else self.spread.interval(gap.difference)


@dataclass(frozen=True)
class Row:
    """A model in one variant of scoring.

    Args:
        model: name
        variant: map method and output stride as they were asked for
        method: of the maps
        output_stride: input pixels a map pixel; 0 for maps and boxes from elsewhere
        threshold: rule
        levels: the threshold of each seed; None for boxes that came without a map
        seeds: that the values are means over
        compared: seeds that the reference has too
        reference: name of the model that it is compared with, its own if with no other
        images: how many were scored
        values: by score
        protocol: name of the one that was scored under; empty where there was no other
        overlaps: what is told of images that were not only scored; None where it is not known
        unreadable: ids of images that could not be read with some seed; they count as missed
    """

    model: str
    variant: tuple[str, int]
    method: str
    output_stride: int
    threshold: str
    levels: tuple[float | None, ...]
    seeds: tuple[int, ...]
    compared: tuple[int, ...]
    reference: str
    images: int
    values: dict[str, Value]
    protocol: str = ""
    overlaps: tuple[str, ...] | None = ()
    unreadable: tuple[str, ...] = ()

    @property
    def scored_by(self) -> tuple[str, str, int]:
        """Name protocol, map method and output stride as they were asked for."""
        return (self.protocol, *self.variant)

    def value(self, score: str, difference: bool = False) -> float | None:
        """Give a mean, or a difference from the reference; None where it is not known."""
        value = self.values.get(score)
        if value is None or not difference:
            return None if value is None else value.mean
        return None if value.difference is None else value.difference.difference

    def describe(self) -> str:
        """Say in short which row it is."""
        seeds = ", ".join(map(str, self.seeds))
        named = f"protocol {self.protocol}, " if self.protocol else ""
        return (
            f"{named}threshold {self.threshold}, {self.method}, stride {self.output_stride}, "
            f"seed{'s' if len(self.seeds) > 1 else ''} {seeds}"
        )


def summarise(
    run_scores: Sequence[RunScores], first: str, references: Mapping[str, str] | None = None
) -> list[Row]:
    """Average over seeds image by image, and compare every model with its reference.

    A score is a sum over images, or such a sum at a threshold that is chosen anew in each
    bootstrap replicate. The mean of the seeds' replicates is therefore the replicate of each
    image's mean over the seeds. Since all models meet the same resampled images, the differences
    of these means are paired image by image. Only seeds that both have are compared.

    Args:
        run_scores: of the same images
        first: model to compare with
        references: by model, another one to compare it with

    Returns:
        rows in the order of the run scores
    """
    groups: dict[tuple[str, str, tuple[str, int], str], dict[int, RunScores]] = {}
    for each in run_scores:
        key = (each.model, each.protocol, each.variant, each.threshold)
        groups.setdefault(key, {})[each.seed] = each
    models = list(dict.fromkeys(each.model for each in run_scores))
    variants = list(dict.fromkeys(key[1:] for key in groups))
    rows = []
    for model in models:
        reference = (references or {}).get(model, first)
        for variant in variants:
            own = groups.get((model, *variant))
            if own is None:
                continue
            base = {} if model == reference else groups.get((reference, *variant), {})
            rows.append(_make_row(own, base, reference))
    return rows


def _make_row(own: dict[int, RunScores], base: dict[int, RunScores], reference: str) -> Row:
    seeds = tuple(sorted(own))
    compared = tuple(seed for seed in seeds if seed in base)
    one = own[seeds[0]]
    values = {}
    for name in one.replicates:
        if name == "threshold" or name.endswith("_threshold"):
            continue
        every = np.stack([own[seed].replicates[name] for seed in seeds])
        mean = every.mean(axis=0)
        ends = interval(mean[:-1])
        difference, differences, spread = None, (), None
        if compared and all(name in base[seed].replicates for seed in compared):
            ours = np.stack([own[seed].replicates[name] for seed in compared])
            theirs = np.stack([base[seed].replicates[name] for seed in compared])
            low, high = interval((ours - theirs).mean(axis=0)[:-1]) or (np.nan, np.nan)
            spread = measure_spread(ours - theirs)
            before, after = float(theirs[:, -1].mean()), float(ours[:, -1].mean())
            difference = Difference(before, after, low, high)
            differences = tuple((ours[:, -1] - theirs[:, -1]).tolist())
        values[name] = Value(
            mean=float(mean[-1]),
            by_seed=tuple(every[:, -1].tolist()),
            interval95=None if ends is None else (ends[0], ends[1]),
            difference=difference,
            differences=differences,
            spread=spread,
        )
    missed = dict.fromkeys(image_id for each in own.values() for image_id in each.unreadable)
    return Row(
        model=one.model,
        variant=one.variant,
        method=one.method,
        output_stride=one.output_stride,
        threshold=one.threshold,
        levels=tuple(own[seed].level for seed in seeds),
        seeds=seeds,
        compared=compared,
        reference=reference,
        images=one.images,
        values=values,
        protocol=one.protocol,
        overlaps=join_overlaps(own[seed].overlaps for seed in seeds),
        unreadable=tuple(missed),
    )


def judge(row: Row) -> str | None:
    """Say in a line whether a model has a better Top-1 Loc than its reference.

    Args:
        row: of the model

    Returns:
        the line, or None where there is no difference to judge
    """
    from wsol.evaluation.metric_names import name_score

    value = row.values.get("top1_loc")
    if value is None or value.difference is None:
        return None
    gap = value.difference
    low, high = value.ends
    verdict = "a gain" if low > 0 else "a loss" if high < 0 else "no gain shown"
    count = len(row.compared)
    named = f"protocol {row.protocol}, " if row.protocol else ""
    text = (
        f"{row.model} vs {row.reference}, {name_score('top1_loc')}, {named}threshold "
        f"{row.threshold}: "
        f"{gap.difference:+.1f} points (95 % {write_ends(low, high)}), {count} "
        f"seed{'' if count == 1 else 's'}, {row.images} images: {verdict}"
    )
    if (
        count > 1
        and verdict != "no gain shown"
        and min(value.differences) * max(value.differences) <= 0
    ):
        text += ", but not with every seed"
    return text
