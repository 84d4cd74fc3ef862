"""Checkpoints: networks from files, whoever wrote them, and our own files from networks."""

from __future__ import annotations

import sys
import warnings
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import save

from tdam.atomic import write_atomic
from tdam.attentions import ATTENTIONS
from tdam.averaged import AveragedWeightsWarning
from tdam.identify import check_classifier, list_classifiers, tell_settings
from tdam.map_layer import check_map_layer
from tdam.metadata import LEARNED, read_metadata
from tdam.preprocessing import Preprocessing
from tdam.published import rename
from tdam.registry import create_model
from tdam.regularizers import REGULARIZERS
from tdam.shipped_weights import list_shipped, shipped_path
from tdam.strict_json import dumps
from tdam.weights import (
    SETTINGS,
    WeightsError,
    check_tensors,
    fill,
    find_weights,
    read_file,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from tdam.backbones.base import Backbone


@dataclass(frozen=True)
class CheckpointInfo:
    """What a file of weights says, and what its tensors tell.

    Args:
        source: `wsol-tdam` for our own files, `published` for TDAM's, else `plain`
        settings: arguments of `create_model` that build the network
        epoch: of its training, where the file gives it
        metric: score by which its trainer chose it, in that trainer's unit, where the file gives it
    """

    source: str
    settings: dict[str, Any]
    epoch: int | None = None
    metric: float | None = None


def load_checkpoint(
    path: str | Path, *, num_classes: int | None = None, **settings: Any
) -> tuple[Backbone, CheckpointInfo]:
    """Build the network that a file of weights belongs to, and fill it.

    Our own files name their network. For others it is told from names and shapes: published TDAM
    checkpoints, and torchvision's or timm's plain networks. What those do not tell (the order of
    the modulations; T with m = 0; m with T = 1) has to be given where it differs
    from the published networks.

    Args:
        path: as for `read_file`: `.safetensors`, a file that torch saved, as trainers wrap it, the
            index of several files, the folder of a training run, or a name of `list_shipped()`
        num_classes: that the file must have; None takes what it has
        settings: arguments of `create_model` to set or correct. A file only names an attention
            module or a regularizing layer from outside the package: pass its class, as
            `attention=...` or `regularizer=...`; `regularizer=None` does without the layer

    Returns:
        the network, in evaluation mode, and what is known of it; a network of our own training
        also has its `class_names`, its input, map method and layer in `spec`, and a `threshold`
        for these maps where one was picked

    Raises:
        ValueError: tensors of no registered network (the message names the nearest one), another
            number of classes, settings that cannot be told, or a module that is not passed
        WeightsError: a file that cannot be read
    """
    state, rest, where = read_file(path, list_classifiers(settings.get("name")))
    learned = None
    if SETTINGS in rest:
        source, (told, learned) = "wsol-tdam", _read_metadata(path, rest)
    else:
        with _naming(where):
            source, told = tell_settings(state, settings)
    wanted = {**told, **settings}
    classes = wanted["num_classes"]
    if num_classes is not None and num_classes != classes:
        raise ValueError(
            f"Expected a classifier of {num_classes} classes but {path} has {classes}; pass "
            f"num_classes={classes}"
        )
    _check_given(path, "attention", told, settings, ATTENTIONS)
    _check_given(path, "regularizer", told, settings, ("none", *REGULARIZERS))
    if wanted.get("regularizer") is None:
        wanted.pop("regularized", None)
    with _naming(where):
        check_classifier(wanted["name"], classes, state, wanted.get("head", "own"))
    model = create_model(**wanted)
    fill(model, rename(state), where)
    model.weights_file = find_weights(path).absolute()
    if learned is not None:
        with _naming(path, WeightsError):
            _recall(model, learned)
    metric = _find_number(rest, "metric")
    epoch = _find_number(rest, "epoch")
    return model, CheckpointInfo(
        source=source,
        settings=model.settings,
        epoch=epoch if isinstance(epoch, int) else None,
        metric=None if metric is None else float(metric),
    )


def save_checkpoint(model: Backbone, path: str | Path, half: bool = False) -> Path:
    """Write a network's weights and settings, so that `load_checkpoint` needs nothing else.

    Args:
        model: from `create_model`
        path: ends in `.safetensors`; replaced as a whole once the new file is on the disk
        half: round weights to float16, in half the space; statistics and gains, of one number per
            channel, stay as they are

    Returns:
        the path

    Raises:
        OSError: it cannot be written; what was there is unchanged
        ValueError: another suffix, weights that are not finite, also by rounding, or settings
            that `load_checkpoint` would not take
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"Expected a path that ends in .safetensors but got {path}")
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if half:
        state = {name: t.half() if t.squeeze().ndim > 1 else t for name, t in state.items()}
    check_tensors(state)
    learned = {
        "class_names": model.class_names,
        "threshold": model.threshold,
        "method": model.spec.method,
        "map_layer": model.spec.map_layer,
        "preprocessing": {
            name: value
            for name, value in asdict(model.spec.preprocessing).items()
            if (name, value) != ("interpolation", "bilinear")  # as files have it that lack it
        },
    }
    # One key alone: several would be written in any order, and equal files would differ.
    settings = {k: v for k, v in model.settings.items() if (k, v) != ("head", "own")}
    text = dumps({**settings, LEARNED: learned})
    read_metadata(text)
    write_atomic(path, save(state, {SETTINGS: text}))
    return path


def read_settings(path: str | Path) -> dict[str, Any]:
    """Read the arguments of `create_model` that one of our own files names.

    Raises:
        ValueError: another program wrote it
        WeightsError: a file that cannot be read
    """
    _, rest, _ = read_file(path)
    if SETTINGS not in rest:
        raise ValueError(f"Expected one of our own files but got {path}")
    return _read_metadata(path, rest)[0]


def read_class_names(path: str | Path) -> tuple[str, ...] | None:
    """Read the names of the classes that one of our own files knows; None where it has none."""
    learned = _read_learned(path)
    return None if learned is None else learned["class_names"]


def is_made_of_images(path: str | Path) -> bool:
    """Tell whether one of our own files was trained, or calibrated, after it left the package.

    Training names classes. A threshold is of the package where all that is learned is as in one of
    the files that come along.

    Args:
        path: as for `load_checkpoint`

    Raises:
        ValueError: metadata that breaks a rule
        WeightsError: a file that cannot be read
    """
    learned = _read_learned(path)
    if learned is None or (learned["class_names"] is None and learned["threshold"] is None):
        return False
    return learned not in (_read_learned(shipped_path(name)) for name in list_shipped())


def _read_learned(path: str | Path) -> dict[str, Any] | None:
    with warnings.catch_warnings():  # of weights, which are not taken here
        warnings.simplefilter("ignore", AveragedWeightsWarning)
        _, rest, _ = read_file(path)
    return _read_metadata(path, rest)[1] if SETTINGS in rest else None


def _read_metadata(
    path: str | Path, rest: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Read what a file says of its network, with the file's name in every complaint."""
    try:
        if len(rest) > 1:
            raise ValueError(f"Expected no metadata beside {SETTINGS} but got {len(rest) - 1} more")
        return read_metadata(rest[SETTINGS])
    except ValueError as error:
        raise WeightsError(f"{path}: not a file of weights ({error})") from error


@contextmanager
def _naming(path: str | Path, kind: type[Exception] = ValueError) -> Iterator[None]:
    """Begin what is wrong with a file's content with the file's name."""
    try:
        yield
    except ValueError as error:
        raise kind(f"{path}: {error}") from error


def _find_number(rest: Mapping[str, Any], key: str) -> float | None:
    """Give a number that a trainer may have left beside the weights, if it is one."""
    value: Any = rest.get(key)
    usual = type(value) in (int, float) and abs(value) <= sys.float_info.max  # and no NaN
    return value if usual else None


def _check_given(
    path: str | Path,
    what: str,
    told: Mapping[str, Any],
    settings: Mapping[str, Any],
    known: Collection[str],
) -> None:
    """Refuse a module that a file names but nobody provides: what a file names is not imported."""
    name = told.get(what, "none")
    if what not in settings and name not in known:
        raise ValueError(
            f"Expected {what} to be one of {', '.join(known)} but {path} has {name!r}, which is "
            f"not of this package; pass {what}={name}, the class or function itself"
        )


def _recall(model: Backbone, learned: dict[str, Any]) -> None:
    """Give a network what its training added.

    Raises:
        ValueError: a module that no maps can be made of
    """
    if learned["map_layer"] != model.spec.map_layer:
        check_map_layer(model, learned["map_layer"], learned["preprocessing"]["size"])
    model.class_names = learned["class_names"]
    model.threshold = learned["threshold"]
    model.spec = replace(
        model.spec,
        method=learned["method"],
        map_layer=learned["map_layer"],
        preprocessing=Preprocessing(**learned["preprocessing"]),
    )
