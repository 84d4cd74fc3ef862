"""Networks of timm and torchvision by their names there: `timm:NAME`, `torchvision:NAME`.

The class of a network stays its origin's, with what every network of ours can do besides. Its
record is told from one run of it with random weights. Blocks that take top-down attention are those
that have a plan, and the blocks of a stage are those within one module.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from tdam.backbones.base import Backbone, adopt
from tdam.describe import read_config, spec_of
from tdam.outline import outlining
from tdam.preprocessing import Preprocessing
from tdam.spec import FROM_TORCHVISION, ModelSpec
from tdam.torchvision_files import torchvision_weights
from tdam.weights import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

TIMM, TORCHVISION = "timm:", "torchvision:"
_WITH_HEADS_BESIDE = ("googlenet", "inception_v3")  # that only training uses
_NEAR = 6  # names that a message offers


class Outside(Backbone):
    """A network of another library."""

    def stage_blocks(self) -> list[list[str]]:
        """Name the blocks with a plan, those of a module together."""
        from tdam.attach import list_residual_blocks

        stages: dict[str, list[str]] = {}
        for name in list_residual_blocks(self):
            stages.setdefault(name.rpartition(".")[0], []).append(name)
        return list(stages.values())

    def top_down_blocks(self) -> list[str]:
        """Name the blocks with a plan of the last two stages.

        Raises:
            ValueError: there is none
        """
        stages = self.stage_blocks()
        if not stages:
            raise ValueError(
                f"Expected attention to be none for {self.spec.name}, which has no blocks that "
                "take it"
            )
        return [name for stage in stages[-2:] for name in stage]

    def shrinking_stages(self) -> list[nn.Module]:
        """Say that the stride of such a network is its own.

        Raises:
            ValueError: always
        """
        raise ValueError(f"Expected output_stride to be 32 for {self.spec.name}, whose own it is")


def build(name: str, num_classes: int) -> Backbone:
    """Build a network with random weights.

    Raises:
        ValueError: no such network; the message names some that are near
    """
    network = _make(name, num_classes)
    kind = type(type(network).__name__, (Outside, type(network)), {})
    return adopt(network, kind)


def _make(name: str, num_classes: int) -> nn.Module:
    library, _, own = name.partition(":")
    if library == "timm":
        return _make_of_timm(own, num_classes)
    from torchvision import models

    if own not in models.list_models(module=models):
        raise ValueError(_offer(name, own, models.list_models(module=models)))
    options = {"aux_logits": False, "init_weights": True} if own in _WITH_HEADS_BESIDE else {}
    network: nn.Module = models.get_model(own, weights=None, num_classes=num_classes, **options)
    return network


def _make_of_timm(own: str, num_classes: int) -> nn.Module:
    import timm

    if not own.startswith("hf-hub:") and not timm.is_model(own):
        raise ValueError(_offer(f"{TIMM}{own}", own.partition(".")[0], timm.list_models()))
    try:
        with _quiet_hub():
            network: nn.Module = timm.create_model(own, pretrained=False, num_classes=num_classes)
    except (RuntimeError, OSError) as error:
        raise ValueError(f"{TIMM}{own} cannot be built: {_first_line(error)}") from error
    return network


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """Keep the hub's client from telling of every try; what it ends with is told once."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _offer(name: str, own: str, known: list[str]) -> str:
    from difflib import get_close_matches

    near = [each for each in known if own and own in each][:_NEAR]
    near = near or get_close_matches(own, known, _NEAR, 0.5)
    hint = f"; near are {', '.join(near)}" if near else ""
    return f"Expected the name of one of {name.partition(':')[0]}'s networks but got {name!r}{hint}"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def draw_outline(name: str, num_classes: int) -> nn.Module:
    """Build a network that has shapes and takes no memory, for a name that a file gives.

    Raises:
        ValueError: no such network, or one whose description would have to be downloaded
    """
    if "hf-hub:" in name or "local-dir:" in name:
        raise ValueError(f"Expected a network whose description is at hand but got {name}")
    with outlining():
        return _make(name, num_classes)


@lru_cache(maxsize=32)
def describe(name: str) -> ModelSpec:
    """Tell the record of a network from one run of it, with random weights.

    Raises:
        ValueError: no such network, or one of which something cannot be told
    """
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        network = _make(name, 1000)
        shown = _find_input(name, network)
        spec = spec_of(network.eval(), shown)
    told = FROM_TORCHVISION if name.startswith(TORCHVISION) else _tell_licence(network)
    family = "tdam.backbones.outside"
    return replace(spec, name=name, family=family, pretrained=told, preprocessing=shown)


def _find_input(name: str, network: nn.Module) -> Preprocessing:
    if name.startswith(TIMM):
        return read_config(dict(network.pretrained_cfg))  # type: ignore[arg-type]
    from torchvision import models

    own = name.removeprefix(TORCHVISION)
    shown: Any = models.get_model_weights(own).DEFAULT.transforms()
    return Preprocessing(
        shown.crop_size[0],
        tuple(shown.mean),
        tuple(shown.std),
        resize=max(shown.resize_size[0], shown.crop_size[0]),
        interpolation="bicubic" if shown.interpolation.value == "bicubic" else "bilinear",
    )


def _tell_licence(network: nn.Module) -> str:
    told: Any = getattr(network, "pretrained_cfg", None) or {}
    licence = told.get("license")
    return f"timm (downloaded{f', licence {licence}' if licence else ''})"


def pretrained(name: str) -> dict[str, Tensor]:
    """Fetch a network's default weights from its library's cache or server.

    Raises:
        WeightsError: they are not cached and could not be downloaded, or there are none
    """
    if name.startswith(TORCHVISION):
        return torchvision_weights(name.removeprefix(TORCHVISION))
    import timm

    own = name.removeprefix(TIMM)
    try:
        with _quiet_hub():
            return dict(timm.create_model(own, pretrained=True).state_dict())
    except Exception as error:  # the hub's client has errors of many kinds
        raise WeightsError(
            f"no weights for {name}: {_first_line(error)}; a file of them goes with --weights FILE"
        ) from error
