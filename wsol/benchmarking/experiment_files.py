"""Reading experiments: TOML files that the package carries, or that somebody wrote."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from tdam.named_weights import is_named
from tdam.registry import find_attention, find_spec
from tdam.regularizers import find_regularizer
from tdam.shipped_weights import list_shipped, shipped_path
from tdam.toml_records import check_keys, fit_fields, read_toml
from tdam.training.recipe import Recipe, load_recipe
from wsol.benchmarking.expected import read_expected
from wsol.benchmarking.experiment import WEIGHTS, Entry, Experiment, Scoring, Whole
from wsol.benchmarking.experiment_names import list_experiments

_KEYS = (
    "name", "description", "data", "base", "seeds", "recipe", "scoring", "models", "whole",
    "expected", "allow_overlap",
)  # fmt: skip
_ARCHITECTURE = ("model", "attention", "steps", "distance", "searchlight", "dilated")


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
    content, text = read_toml(path, "an experiment")
    try:
        return replace(_parse(content, text, path.parent), record=path.with_suffix(".zip"))
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def _parse(content: dict[str, Any], text: str, home: Path) -> Experiment:
    check_keys("an experiment", content, _KEYS)
    for key in ("name", "base"):
        if not isinstance(content.get(key), str) or not content[key]:
            raise ValueError(f"Expected {key} to be a text but got {content.get(key)!r}")
    seeds = _read_seeds(content.get("seeds", [0]))
    base = load_recipe(content["base"]).change(**_without_seed(content.get("recipe", {})))
    entries = content.get("models", [])
    if not isinstance(entries, list):
        raise ValueError(f"Expected [[models]] tables but got {entries!r}")
    models = tuple(_read_entry(each, base, seeds, home) for each in entries)
    names = [entry.name for entry in models]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"Expected models with names of their own but got {names}")
    for entry in models:
        if entry.reference not in ("", *names):
            raise ValueError(
                f"model {entry.name}: Expected reference among {', '.join(names)} but got "
                f"{entry.reference!r}"
            )
    every = {entry.name: entry.seeds for entry in models}
    expected = []
    for each in read_expected(content.get("expected", [])):
        if each.model not in every:
            raise ValueError(f"Expected values of {', '.join(names)} but got {each.model!r}")
        seeds = () if each.any_seed else each.seeds or every[each.model]
        expected.append(replace(each, seeds=seeds))
    allow_overlap = content.get("allow_overlap", False)
    if not isinstance(allow_overlap, bool):
        raise ValueError(f"Expected allow_overlap to be true or false but got {allow_overlap!r}")
    return Experiment(
        name=content["name"],
        models=models,
        scoring=read_scoring(content.get("scoring", {})),
        description=str(content.get("description", "")),
        data=str(content.get("data", "")),
        expected=tuple(expected),
        text=text,
        whole=Whole(**fit_fields("whole", Whole, content.get("whole", {}))),
        allow_overlap=allow_overlap,
    )


def read_scoring(content: dict[str, Any]) -> Scoring:
    """Settle how is scored, from plain values; `protocol` stands for one in `protocols`.

    Raises:
        ValueError: an unknown key, or a value out of range
    """
    if isinstance(content, dict) and "protocol" in content:
        if "protocols" in content:
            raise ValueError("Expected protocol or protocols in scoring but got both")
        content = {**content, "protocols": [content["protocol"]]}
        del content["protocol"]
    return Scoring(**fit_fields("scoring", Scoring, content))


def _read_entry(content: Any, base: Recipe, seeds: tuple[int, ...], home: Path) -> Entry:
    if not isinstance(content, dict) or not isinstance(content.get("name"), str):
        raise ValueError(f"Expected a model to be a table with a name but got {content!r}")
    name = content["name"]
    if not name or name != Path(name).name or name.startswith("."):
        raise ValueError(f"Expected the name of a model to be one of a folder but got {name!r}")
    own = {key: value for key, value in content.items() if key not in ("name", "seeds")}
    checkpoint = own.pop("checkpoint", None)
    reference = own.pop("reference", "")
    origin, sha256 = own.pop("origin", ""), own.pop("sha256", "")
    try:
        if not isinstance(origin, str) or not isinstance(sha256, str):
            raise ValueError(
                f"Expected origin and sha256 to be texts but got {origin!r}, {sha256!r}"
            )
        if (origin or sha256) and checkpoint is None:
            raise ValueError("Expected origin and sha256 beside a checkpoint alone")
        if checkpoint is not None:
            if not isinstance(checkpoint, str):
                raise ValueError(f"Expected checkpoint to be a text but got {checkpoint!r}")
            check_keys("a checkpoint", own, _ARCHITECTURE)
            if checkpoint in list_shipped():
                checkpoint = str(shipped_path(checkpoint))
            elif not is_named(checkpoint) and not checkpoint.startswith(f"{WEIGHTS}/"):
                checkpoint = str(home / Path(checkpoint).expanduser())
        recipe = base.change(**_without_seed(own))
        find_spec(recipe.model)
        find_attention(recipe.attention)
        find_regularizer(recipe.regularizer)
        default = seeds if checkpoint is None or "{seed}" in checkpoint else (0,)
        return Entry(
            name=name,
            recipe=recipe,
            seeds=_read_seeds(content["seeds"]) if "seeds" in content else default,
            checkpoint=checkpoint,
            reference=reference,
            declared=() if checkpoint is None else tuple(own),
            origin=origin,
            sha256=sha256.lower(),
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
