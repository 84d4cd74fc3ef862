"""An experiment: models, seeds, recipe and scoring as one frozen record, read from TOML."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdam.training.recipe import Recipe, load_recipe
from wsol.benchmark.expected import Expected, read_expected

if TYPE_CHECKING:
    from collections.abc import Collection

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PRETRAINED = "pretrained"  # as a checkpoint: the network with the weights that come with it
_KEYS = (
    "name", "description", "data", "base", "seeds", "recipe", "scoring", "models", "expected"
)  # fmt: skip
_ARCHITECTURE = ("model", "attention", "steps", "distance", "searchlight")


@dataclass(frozen=True)
class Scoring:
    """How weights are scored.

    Args:
        protocol: name of a protocol, or path of its TOML file
        methods: map methods; `auto` for the one stored with the weights
        thresholds: rules side by side: `val` for the best on the split `choose`, `oracle` for the
            best on the scored split itself, `own` for the protocol's own, or a number of the
            protocol's grid; the first one is what reports show and verdicts are about
        output_strides: input pixels a map pixel, of the same weights; 0 for their own
        size: side of the input, in pixels; 0 for the weights' own
        choose: split that thresholds are chosen on; where it does not exist, the share that a
            training held out, if it has boxes
        split: to report
    """

    protocol: str = "wsoleval"
    methods: tuple[str, ...] = ("auto",)
    thresholds: tuple[str | float, ...] = ("val", "oracle")
    output_strides: tuple[int, ...] = (0,)
    size: int = 0
    choose: str = "val"
    split: str = "test"

    def __post_init__(self) -> None:
        for name, allowed in (("output_strides", (0, 8, 16, 32)), ("thresholds", None)):
            values: tuple[Any, ...] = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"Expected {name} to be different values but got {list(values)}")
            for value in values:
                if allowed is not None and value not in allowed:
                    raise ValueError(f"Expected {name} among {allowed} but got {value!r}")
                if allowed is None:
                    _check_rule(value)
        if "own" in self.thresholds[1:]:
            raise ValueError("Expected own to be the first of thresholds")
        if not self.methods or len(set(self.methods)) < len(self.methods):
            raise ValueError(f"Expected methods to be different but got {list(self.methods)}")
        for method in self.methods:
            if method != "auto":
                from wsol.maps.names import check_method

                check_method(method)
        if self.choose in self.split.split("+"):
            raise ValueError(f"Expected choose to be no part of split but both are {self.choose}")
        if not 0 <= self.size <= 4096:
            raise ValueError(f"Expected size to be from 0 to 4096 but got {self.size}")


def _check_rule(value: Any) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (value in ("val", "oracle", "own") if not number else 0 <= value <= 1):
        raise ValueError(
            f"Expected thresholds among val, oracle, own or numbers from 0 to 1 but got {value!r}"
        )


@dataclass(frozen=True)
class Entry:
    """A model of an experiment.

    Args:
        name: in tables
        recipe: that it is trained with; of a checkpoint, which network it is
        seeds: of its runs
        checkpoint: weights to score as they are, `pretrained` or a path in which `{seed}` stands
            for the seed; None for a model that is trained
    """

    name: str
    recipe: Recipe
    seeds: tuple[int, ...] = (0,)
    checkpoint: str | None = None


@dataclass(frozen=True)
class Experiment:
    """Several models on one data set.

    Args:
        name: of the experiment
        models: the first is what the others are compared with
        scoring: of all of them
        description: in a sentence
        data: what data set it asks for, for people
        expected: values to check against
        text: the TOML that it was read from
    """

    name: str
    models: tuple[Entry, ...]
    scoring: Scoring = field(default_factory=Scoring)
    description: str = ""
    data: str = ""
    expected: tuple[Expected, ...] = ()
    text: str = ""

    @property
    def runs(self) -> list[tuple[Entry, int]]:
        """Every model with every seed, seeds first, so that all models have one seed early."""
        seeds = sorted({seed for entry in self.models for seed in entry.seeds})
        return [(entry, seed) for seed in seeds for entry in self.models if seed in entry.seeds]

    def select(
        self, models: Collection[str] | None = None, seeds: Collection[int] | None = None
    ) -> Experiment:
        """Take a part of the experiment.

        Args:
            models: names; all by default. The first one that is left is what the others are
                compared with
            seeds: all by default; models without any of them are left out

        Returns:
            the part, with those expected values that are of its models and seeds

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
            replace(entry, seeds=tuple(s for s in entry.seeds if seeds is None or s in seeds))
            for entry in self.models
            if models is None or entry.name in models
        ]
        kept = [entry for entry in kept if entry.seeds]
        if not kept:
            raise ValueError(f"Expected models with seeds but none of {self.name} has these")
        left = {entry.name: entry.seeds for entry in kept}
        expected = [each for each in self.expected if left.get(each.model) == each.seeds]
        return replace(self, models=tuple(kept), expected=tuple(expected))


def list_experiments() -> list[str]:
    """Name the experiments that the package carries."""
    folder = resources.files("wsol") / "experiments"
    return sorted(Path(each.name).stem for each in folder.iterdir() if each.name.endswith(".toml"))


def load_experiment(name: str) -> Experiment:
    """Read an experiment.

    Args:
        name: of one that the package carries, or the path of a TOML file; paths of checkpoints in
            it are relative to that file

    Raises:
        ValueError: no such experiment, or one that breaks a rule

    >>> load_experiment("imagenet10_lite0").models[0].name
    'none'
    """
    if name in list_experiments():
        path = Path(str(resources.files("wsol") / "experiments" / f"{name}.toml"))
    elif name.endswith(".toml"):
        path = Path(name)
    else:
        raise ValueError(
            f"Expected an experiment, {', '.join(list_experiments())}, or a .toml file but got "
            f"{name!r}"
        )
    try:
        text = path.read_text(encoding="utf-8")
        return _parse(tomllib.loads(text), text, path.parent)
    except OSError as error:
        raise ValueError(f"Expected an experiment but {path}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def _parse(content: dict[str, Any], text: str, home: Path) -> Experiment:
    _check_keys("an experiment", content, _KEYS)
    for key in ("name", "base"):
        if not isinstance(content.get(key), str) or not content[key]:
            raise ValueError(f"Expected {key} to be a text but got {content.get(key)!r}")
    seeds = _read_seeds(content.get("seeds", [0]))
    base = load_recipe(content["base"]).change(**_without_seed(content.get("recipe", {})))
    models = tuple(_read_entry(each, base, seeds, home) for each in content.get("models", []))
    names = [entry.name for entry in models]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"Expected models with names of their own but got {names}")
    every = {entry.name: entry.seeds for entry in models}
    expected = []
    for each in read_expected(content.get("expected", [])):
        if each.model not in every:
            raise ValueError(f"Expected values of {', '.join(names)} but got {each.model!r}")
        expected.append(replace(each, seeds=each.seeds or every[each.model]))
    return Experiment(
        name=content["name"],
        models=models,
        scoring=read_scoring(content.get("scoring", {})),
        description=str(content.get("description", "")),
        data=str(content.get("data", "")),
        expected=tuple(expected),
        text=text,
    )


def read_scoring(content: dict[str, Any]) -> Scoring:
    """Settle how is scored, from plain values.

    Raises:
        ValueError: an unknown key, or a value out of range
    """
    known = asdict(Scoring())
    _check_keys("scoring", content, known)
    values: dict[str, Any] = {}
    for key, value in content.items():
        values[key] = tuple(value) if isinstance(value, list) else value
        if type(values[key]) is not type(known[key]):
            raise ValueError(f"Expected {key} to be like {known[key]!r} but got {value!r}")
    return Scoring(**values)


def _read_entry(content: Any, base: Recipe, seeds: tuple[int, ...], home: Path) -> Entry:
    if not isinstance(content, dict) or not isinstance(content.get("name"), str):
        raise ValueError(f"Expected a model to be a table with a name but got {content!r}")
    name = content["name"]
    if not name or name != Path(name).name or name.startswith("."):
        raise ValueError(f"Expected the name of a model to be one of a folder but got {name!r}")
    own = {key: value for key, value in content.items() if key not in ("name", "seeds")}
    checkpoint = own.pop("checkpoint", None)
    try:
        if checkpoint is not None:
            if not isinstance(checkpoint, str):
                raise ValueError(f"Expected checkpoint to be a text but got {checkpoint!r}")
            _check_keys("a checkpoint", own, _ARCHITECTURE)
            if checkpoint != PRETRAINED:
                checkpoint = str(home / Path(checkpoint).expanduser())
        default = seeds if checkpoint is None or "{seed}" in checkpoint else (0,)
        return Entry(
            name=name,
            recipe=base.change(**_without_seed(own)),
            seeds=_read_seeds(content["seeds"]) if "seeds" in content else default,
            checkpoint=checkpoint,
        )
    except ValueError as error:
        raise ValueError(f"model {name}: {error}") from error


def _without_seed(changes: Any) -> dict[str, Any]:
    if not isinstance(changes, dict) or "seed" in changes:
        raise ValueError(f"Expected changes of a recipe, seeds apart, but got {changes!r}")
    return changes


def _read_seeds(value: Any) -> tuple[int, ...]:
    good = isinstance(value, list) and value and all(type(s) is int and s >= 0 for s in value)
    if not good or len(set(value)) < len(value):
        raise ValueError(f"Expected seeds to be different whole numbers but got {value!r}")
    return tuple(value)


def _check_keys(what: str, content: Any, known: Collection[str]) -> None:
    if not isinstance(content, dict):
        raise ValueError(f"Expected {what} to be a table but got {content!r}")
    unknown = sorted(set(content) - set(known))
    if unknown:
        raise ValueError(
            f"Expected {what} to have keys among {', '.join(known)} but got {unknown[0]!r}"
        )
