"""What a file of weights says of itself, held against what an experiment says of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tdam import create_model
from tdam.weights import find_file
from wsol.classes import class_names as number_classes

if TYPE_CHECKING:
    from tdam.backbones.base import Backbone
    from tdam.checkpoints import CheckpointInfo
    from wsol.benchmarking.experiment import Entry

_LOOKS = ("steps", "distance", "searchlight", "order", "pooling")  # of networks with attention
_SHOWN = 5


def check_own_word(
    entry: Entry,
    weights: str,
    model: Backbone,
    info: CheckpointInfo,
    class_names: tuple[str, ...] | None,
    ignored: tuple[str, ...] = (),
) -> None:
    """Refuse weights of another network, or of other classes, than a model of an experiment is.

    Of weights that an experiment names itself only that counts which it says beside their name.

    Args:
        entry: the model
        weights: a file, or the folder of a run
        model: the network that they make
        info: what they say, or what their tensors tell
        class_names: of the data that the model is trained on; None where they are not known
        ignored: settings that whoever built the network chose

    Raises:
        ValueError: it names the file, what it says and what the experiment says
    """
    told: dict[str, Any] = {"regularizer": "none", **info.settings}
    wanted = _describe(entry, told["num_classes"])
    if entry.checkpoint is None:
        if entry.recipe.size and info.source == "wsol-tdam":
            told["size"], wanted["size"] = model.spec.preprocessing.size, entry.recipe.size
        names = class_names if entry.recipe.targets == "labels" else None
        if names is not None and info.source == "wsol-tdam":
            wanted["num_classes"] = len(names)
            named = names != number_classes(len(names))  # else the data has no names
            if model.class_names is not None and named:
                told["class_names"], wanted["class_names"] = model.class_names, names
    alike = told["attention"] == wanted.get("attention", told["attention"]) == "none"
    unseen = {*ignored, *(_LOOKS if alike else ())}
    for name, value in wanted.items():
        if name not in unseen and told[name] != value:
            raise ValueError(
                f"{find_file(weights)}: expected {name} {_show(value)}, as the experiment has it "
                f"for model {entry.name}, but the file says {_show(told[name])}"
            )


def _describe(entry: Entry, classes: int) -> dict[str, Any]:
    """Tell the settings that the experiment gives a model."""
    recipe = entry.recipe
    if entry.checkpoint is not None:
        fields = {"model": "name"}
        return {fields.get(key, key): getattr(recipe, key) for key in entry.declared}
    network = create_model(recipe.model, num_classes=classes, **recipe.architecture)
    return {"regularizer": "none", **network.settings}


def _show(value: Any) -> str:
    if isinstance(value, tuple):
        dots = ", ..." if len(value) > _SHOWN else ""
        return f"{', '.join(map(repr, value[:_SHOWN]))}{dots}"
    return repr(value)
