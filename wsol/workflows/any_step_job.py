"""What the any-step rule needs beside an evaluation: steps' thresholds, and a partner's guesses."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from tdam.steps import count_steps
from wsol.errors import ArgumentError
from wsol.evaluation.any_step import AnyStepPass, GuessScorer
from wsol.evaluation.image_results import CHOSEN
from wsol.evaluation.paired_maps import PairedMaps
from wsol.evaluation.score_maps import settle_threshold

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wsol.evaluation.map_source import MapSource
    from wsol.evaluation.network_maps import NetworkMaps
    from wsol.workflows.evaluation_job import EvaluationJob
    from wsol.workflows.evaluation_options import Wanted

StepsRule = Literal["last", "any"]


def check_steps_rule(rule: str, partner: Any, step: int | None, layer: str | None) -> None:
    """See to it that a rule for steps is one, and goes with what is asked for beside it.

    Raises:
        ArgumentError: it is none, or does not
    """
    if rule not in get_args(StepsRule):
        names = " or ".join(get_args(StepsRule))
        raise ArgumentError("steps_rule", f"Expected steps_rule to be {names} but got {rule!r}")
    if partner is not None and rule != "any":
        raise ArgumentError("partner", "goes with the steps rule any, whose guesses it has too")
    if rule == "any" and (step is not None or layer is not None):
        told = "step" if step is not None else "layer"
        raise ArgumentError(told, "cannot go with the steps rule any, which takes every step")


def check_levels(wanted: Wanted, protocols: Sequence[Any]) -> None:
    """Refuse thresholds that are chosen on the scored images themselves.

    Raises:
        ArgumentError: an oracle, asked for or by default
    """
    for rules in protocols:
        chosen = wanted.threshold != "val"
        if chosen and settle_threshold(rules, wanted.threshold) is None:
            raise ArgumentError(
                "threshold",
                "Expected val or a number, since with the steps rule any every step has a "
                f"threshold that is not chosen on the scored images, but got oracle ({rules.name})",
            )


@dataclass(frozen=True, eq=False)
class AnyStepJob:
    """The part of an evaluation that judges the guesses of every step.

    Args:
        source: of the maps to score, with guesses
        steps: sources of the maps of each step but the last on the split to choose on; None where
            nothing is chosen
        partner: the partner's on that split; None where nothing is chosen, or where the partner is
            the network's own last step
        count: T, of the steps
        name: of the partner; None for the network's own last step
    """

    source: MapSource
    steps: Sequence[MapSource] | None
    partner: MapSource | None
    count: int
    name: str | None

    def list_choosers(self) -> list[MapSource]:
        """List the sources of maps that thresholds are chosen by, beside the last step's."""
        return [*(self.steps or ()), *([] if self.partner is None else [self.partner])]

    def kind(self, job: EvaluationJob, levels: Sequence[Any]) -> Callable[..., AnyStepPass]:
        """Settle a threshold for every step and for the partner, and give the pass that judges.

        Args:
            job: the evaluation
            levels: one a protocol, of the last step
        """
        protocols = job.protocols
        last = [settle_threshold(each, at) for each, at in zip(protocols, levels, strict=True)]
        by_step: list[Sequence[Any]] = [last] * self.count
        partner: Sequence[Any] = last
        if self.steps is not None:
            names = (f"{CHOSEN}-step-{step + 1}" for step in range(self.count - 1))
            pairs = zip(self.steps, names, strict=True)
            by_step = [*(job.choose(source, name)[0] for source, name in pairs), last]
        if self.partner is not None:
            partner = job.choose(self.partner, f"{CHOSEN}-partner")[0]
        guessing = [
            GuessScorer(
                job.scored,
                rules,
                job.class_map,
                [float(each[number]) for each in by_step],
                self.name,
                float(partner[number]),
            )
            for number, rules in enumerate(protocols)
        ]
        return partial(AnyStepPass, guessing=guessing)


def plan_any_step(
    job: EvaluationJob,
    make: Callable[..., NetworkMaps],
    make_partner: Callable[..., NetworkMaps] | None,
    name: str | None,
) -> AnyStepJob:
    """Plan how the guesses of every step are judged.

    Args:
        job: the evaluation
        make: gives the network's maps of a `split`, and further settings
        make_partner: gives the partner's; None where the network's own last step is the partner
        name: of the partner
    """
    count = count_steps(job.network)
    steps = partner = None
    if job.chooser is not None:
        steps = [make(split=job.chooser, step=step + 1) for step in range(count - 1)]
    if make_partner is None:
        source: Any = make(split=job.scored, guesses=count)
    else:
        other = make_partner(split=job.scored, guesses=count)
        source = PairedMaps(make(split=job.scored, guesses=1), other)
        partner = None if job.chooser is None else make_partner(split=job.chooser)
    return AnyStepJob(source, steps, partner, count, name)
