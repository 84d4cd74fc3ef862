"""An experiment: models, seeds, recipe and scoring as one frozen record."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from eval.protocols import find_protocol
from tdam.precision import PRECISIONS
from tdam.training.recipe import differing_keys
from wsol.evaluation.threshold_rules import ORACLE, OWN, UNLABELLED, VAL
from wsol.maps.names import check_method
from wsol.maps.smoothing import check_smooth

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from eval.protocols import Protocol
    from tdam.training.recipe import Recipe
    from wsol.benchmarking.expected import Expected

_RULES = (VAL, ORACLE, UNLABELLED, OWN)
WEIGHTS = "{weights}"  # in the path of a checkpoint: the folder that the user names


@dataclass(frozen=True)
class Scoring:
    """How weights are scored.

    Args:
        protocols: names, or paths of TOML files; the first one is what pages show pictures of
        methods: map methods; `auto` for the one stored with the weights
        thresholds: rules side by side: `val` for the best on the split `choose`, `oracle` for the
            best on the scored split itself, `unlabelled` for the one that its images ask for
            without a box, `own` for the protocol's own, or a number of the protocol's grid; the
            first one is what reports show and verdicts are about
        output_strides: input pixels a map pixel, of the same weights; 0 for their own
        size: side of the input, in pixels; 0 for the weights' own
        choose: split that thresholds are chosen on; where it does not exist, the share that a
            training held out, if it has boxes
        split: to report
        precision: that networks compute in, one of `tdam.precision.PRECISIONS`
        smooth: of the maps, one of `wsol.maps.smoothing.SMOOTH`
    """

    protocols: tuple[str, ...] = ("wsoleval",)
    methods: tuple[str, ...] = ("auto",)
    thresholds: tuple[str | float, ...] = (VAL, ORACLE)
    output_strides: tuple[int, ...] = (0,)
    size: int = 0
    choose: str = "val"
    split: str = "test"
    precision: str = "float32"
    smooth: str = "none"

    def __post_init__(self) -> None:
        for name, allowed in (("output_strides", (0, 8, 16, 32)), ("thresholds", None)):
            values: tuple[Any, ...] = getattr(self, name)
            if not all(isinstance(value, (str, int, float)) for value in values):
                raise ValueError(f"Expected {name} to be plain values but got {list(values)}")
            if not values or len(set(values)) < len(values):
                raise ValueError(f"Expected {name} to be different values but got {list(values)}")
            for value in values:
                if allowed is not None and value not in allowed:
                    raise ValueError(f"Expected {name} among {allowed} but got {value!r}")
                if allowed is None:
                    _check_rule(value)
        if OWN in self.thresholds[1:]:
            raise ValueError("Expected own to be the first of thresholds")
        for name in ("protocols", "methods"):
            _check_names(name, getattr(self, name))
        for method in self.methods:
            if method != "auto":
                check_method(method)
        if self.choose in self.split.split("+"):
            raise ValueError(f"Expected choose to be no part of split but both are {self.choose}")
        check_smooth(self.smooth)
        if self.precision not in PRECISIONS:
            known = ", ".join(PRECISIONS)
            raise ValueError(f"Expected precision to be one of {known} but got {self.precision!r}")
        if not 0 <= self.size <= 4096:
            raise ValueError(f"Expected size to be from 0 to 4096 but got {self.size}")

    @property
    def rules(self) -> tuple[Protocol, ...]:
        """The protocols themselves.

        Raises:
            ValueError: an unknown name, a file that describes none, or two of the same name
        """
        rules = tuple(map(find_protocol, self.protocols))
        names = [each.name for each in rules]
        if len(set(names)) < len(names):
            raise ValueError(f"Expected protocols of different names but got {', '.join(names)}")
        return rules

    @property
    def several(self) -> bool:
        """Whether there are several protocols, so that every score has to name its own."""
        return len(self.protocols) > 1


def _check_names(what: str, names: tuple[Any, ...]) -> None:
    if not all(isinstance(each, str) for each in names):
        raise ValueError(f"Expected {what} to be names but got {list(names)}")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"Expected {what} to be different but got {list(names)}")


def _check_rule(value: Any) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (value in _RULES if not number else 0 <= value <= 1):
        known = ", ".join(_RULES)
        raise ValueError(
            f"Expected thresholds among {known} or numbers from 0 to 1 but got {value!r}"
        )


@dataclass(frozen=True)
class Entry:
    """A model of an experiment.

    Args:
        name: in tables
        recipe: that it is trained with; of a checkpoint, which network it is
        seeds: of its runs
        checkpoint: weights to score as they are, one of `tdam.named_weights.NAMED_WEIGHTS` or a
            path in which `{seed}` stands for the seed and `{weights}` for the folder that the user
            names; None for a model that is trained
        reference: name of the model that it is compared with, its own to compare it with no
            other; empty for the experiment's first
        declared: which fields of the recipe the experiment names beside a checkpoint
        origin: where a checkpoint that the user has to name can be had, for people
        sha256: that the checkpoint's file has, or how it begins; empty where it is not known
    """

    name: str
    recipe: Recipe
    seeds: tuple[int, ...] = (0,)
    checkpoint: str | None = None
    reference: str = ""
    declared: tuple[str, ...] = ()
    origin: str = ""
    sha256: str = ""

    def run_name(self, seed: int) -> str:
        """Name the run with a seed, as its folder is called."""
        return f"{self.name}-{seed}"


@dataclass(frozen=True)
class Whole:
    """What an experiment is of, so that a run on a part of it, or on more, is told from it.

    Args:
        images: in the split to report; 0, here and below, where any number will do
        classes: of the images to report and of those to train on
        training_images: that each model learns from at least
        training_set: that there are to train on, those that a training holds out among them
    """

    images: int = 0
    classes: int = 0
    training_images: int = 0
    training_set: int = 0


@dataclass(frozen=True)
class Experiment:
    """Several models on one data set.

    Args:
        name: of the experiment
        models: the first is what the others are compared with, but for those with a reference
        scoring: of all of them
        description: in a sentence
        data: the data set it needs, in words
        expected: values to check against
        text: the TOML that it was read from
        record: file beside the TOML that holds the scores of its runs, if it is there; None for
            an experiment that was read from no file
        whole: numbers of images without which it is not the experiment as it stands
        changes: of the recipe, as `key=value`, which make another one of it
        allow_overlap: the data set's own splits share images, which every output then tells
    """

    name: str
    models: tuple[Entry, ...]
    scoring: Scoring = field(default_factory=Scoring)
    description: str = ""
    data: str = ""
    expected: tuple[Expected, ...] = ()
    text: str = ""
    record: Path | None = None
    whole: Whole = Whole()
    changes: tuple[str, ...] = ()
    allow_overlap: bool = False

    @property
    def references(self) -> dict[str, str]:
        """The model that each is compared with, the first where it names none."""
        return {entry.name: entry.reference or self.models[0].name for entry in self.models}

    @property
    def runs(self) -> list[tuple[Entry, int]]:
        """Every model with every seed, seeds first, so that all models have one seed early."""
        seeds = sorted({seed for entry in self.models for seed in entry.seeds})
        return [(entry, seed) for seed in seeds for entry in self.models if seed in entry.seeds]

    def change(self, changes: Sequence[str]) -> Experiment:
        """Change the recipe of all models that are trained, as for a run at reduced size.

        Args:
            changes: such as `epochs=1`

        Raises:
            ValueError: a key that does not exist, one in which the models differ, a value that does
                not fit, by itself or to the others, or no model that is trained
        """
        if not changes:
            return self
        trained = [entry.recipe for entry in self.models if entry.checkpoint is None]
        if not trained:
            raise ValueError(f"Expected a recipe to change but {self.name} trains no model")
        keys = {text.partition("=")[0].strip() for text in changes}
        own = {key for recipe in trained[1:] for key in differing_keys(trained[0], recipe)}
        if keys & {*own, "seed"}:
            raise ValueError(
                f"Expected choices that all models share but {min(keys & {*own, 'seed'})} is a "
                "model's or a run's own"
            )
        models = [
            entry
            if entry.checkpoint is not None
            else replace(entry, recipe=entry.recipe.change_by_text(list(changes)))
            for entry in self.models
        ]
        for entry in models:
            if entry.checkpoint is None:
                entry.recipe.check_together()
        return replace(self, models=tuple(models), changes=(*self.changes, *changes))

    def select(
        self,
        models: Collection[str] | None = None,
        seeds: Collection[int] | None = None,
        runs: Collection[str] | None = None,
    ) -> Experiment:
        """Take a part of the experiment.

        Args:
            models: names; all by default. The first one that is left is what those are compared
                with that name no reference
            seeds: all by default; models without any of them are left out
            runs: names of runs; all by default. Names of no run are ignored

        Returns:
            the part, with those expected values that are of its models and seeds, and of
            differences those that are from the same model as before

        Raises:
            ValueError: a name or a seed that does not occur, or nothing left
        """
        names = [entry.name for entry in self.models]
        every = sorted({seed for entry in self.models for seed in entry.seeds})
        for what, wanted, known in (("models", models, names), ("seeds", seeds, every)):
            unknown = [each for each in wanted or () if each not in known]
            if unknown:
                listed = ", ".join(map(str, known))
                raise ValueError(f"Expected {what} among {listed} but got {unknown[0]}")
        kept = [
            replace(
                entry,
                seeds=tuple(
                    seed
                    for seed in entry.seeds
                    if (seeds is None or seed in seeds)
                    and (runs is None or entry.run_name(seed) in runs)
                ),
            )
            for entry in self.models
            if models is None or entry.name in models
        ]
        kept = [entry for entry in kept if entry.seeds]
        if not kept:
            raise ValueError(f"Expected models with seeds but none of {self.name} has these")
        left = {entry.name: entry.seeds for entry in kept}
        part = replace(self, models=tuple(kept))
        before, after = self.references, part.references

        def is_left(each: Expected) -> bool:
            same = each.model in left and before[each.model] == after[each.model]
            paired = not each.difference or (same and after[each.model] in left)
            whole = each.any_seed or left.get(each.model) == each.seeds
            return paired and each.model in left and whole

        return replace(part, expected=tuple(filter(is_left, self.expected)))
