"""Scoring a split under one protocol: from a network and images, or from maps on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from eval.protocols import ClassMap, find_protocol
from wsol.evaluation.folder_maps import FolderMaps
from wsol.evaluation.network_maps import NetworkMaps
from wsol.evaluation.result import Evaluation
from wsol.evaluation.score_maps import Threshold, score_maps
from wsol.maps.names import settle_method

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from torch import nn

    from eval.protocols import Protocol
    from eval.splits import Split
    from tdam.preprocessing import Preprocessing
    from wsol.evaluation.kept_maps import MapKeeper
    from wsol.maps.core import MapExtractor


def evaluate(
    model: nn.Module,
    split: Split,
    root: str | Path,
    *,
    method: str | type[MapExtractor] = "auto",
    layer: str | None = None,
    step: int | None = None,
    protocol: str | Protocol = "wsoleval",
    threshold: Threshold = None,
    rule: str | None = None,
    classes: Mapping[int, int] | None = None,
    class_map: ClassMap | None = None,
    preprocessing: Preprocessing | None = None,
    mask_root: str | Path | None = None,
    batch_size: int = 32,
    workers: int = 2,
    device: str = "auto",
    out: str | Path | None = None,
    keep: MapKeeper | None = None,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Score a network's localizations on a split.

    Args:
        model: a registered network, or any other with `preprocessing` given
        split: with true boxes or masks
        root: folder that the split's ids are relative to
        method: name of a map method, or `auto` for the one that the registered network names; or
            a class derived from `wsol.maps.MapExtractor`
        layer: module that the maps are made of; None for the registered network's own
        step: whose map and classes to score, 1 to T; None: the last
        protocol: name of a protocol, path of its TOML file, or the record itself
        threshold: share of the map's range, `oracle` for the best on this very split, or None for
            the protocol's own if it has one, else `oracle`
        rule: how a number was come by, for the record; `fixed` by default
        classes: index among the network's outputs by label; None means that they are the same
        class_map: whose map to score; with `predicted`, labels need not fit the network, and what
            needs the true class is None; None: as the protocol has it
        preprocessing: what the network wants as input; the protocol says how an image is cut
        mask_root: folder that the split's mask paths are relative to; None: `root`
        batch_size: images at once
        workers: threads that read images and score maps
        device: `auto`, `cpu`, `cuda`, or any name that torch knows
        out: folder for per-image results; a run that was cut off in it goes on
        keep: also keeps what a report shows of the maps
        progress: called with the number of images done since the last call

    Raises:
        ValueError: an unknown name, a split without boxes, labels that do not fit the network, a
            step that it has not
    """
    rules = find_protocol(protocol)
    source = NetworkMaps(
        model,
        split,
        Path(root),
        settle_method(method, model),
        classes,
        class_map or rules.class_map,
        rules.image,
        preprocessing,
        batch_size,
        workers,
        device,
        layer,
        step,
    )
    return score_maps(
        source,
        [rules],
        [threshold],
        rule=rule,
        mask_root=mask_root or root,
        workers=workers,
        out=out,
        keep=keep,
        progress=progress,
    )[0]


def evaluate_maps(
    split: Split,
    maps: str | Path,
    *,
    protocol: str | Protocol = "wsoleval",
    threshold: Threshold = None,
    rule: str | None = None,
    class_map: ClassMap | None = None,
    mask_root: str | Path | None = None,
    allow_missing: bool = False,
    others: Iterable[str] = (),
    workers: int = 2,
    out: str | Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Score maps that any program wrote.

    Args:
        split: with true boxes or masks
        maps: folder with `<image id>.npy` for every image (the id's suffix kept), each (S, S) with
            S the protocol's size, in [0, 1], or uint8 with 255 for 1
        protocol: name of a protocol, path of its TOML file, or the record itself
        threshold: as for `evaluate`
        rule: how a number was come by, for the record; `fixed` by default
        class_map: whose maps they are, for the record; None: as the protocol has it
        mask_root: folder that the split's mask paths are relative to; None: `maps`
        allow_missing: count maps that are missing or broken as missed, and pass over those of no
            image
        others: ids of other splits, whose maps may lie in the same folder
        workers: threads that read and score maps
        out: folder for per-image results; a run that was cut off in it goes on
        progress: called with the number of images done since the last call

    Raises:
        MapError: a map that is missing, has another shape or leaves [0, 1], or one of no image
        ValueError: an unknown name, or a split without boxes
    """
    rules = find_protocol(protocol)
    source = FolderMaps(
        split, Path(maps), class_map or rules.class_map, allow_missing, lambda: others
    )
    return score_maps(
        source,
        [rules],
        [threshold],
        rule=rule,
        mask_root=mask_root or maps,
        workers=workers,
        out=out,
        progress=progress,
    )[0]
