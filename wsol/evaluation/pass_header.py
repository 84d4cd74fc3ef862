"""What the records of a pass over maps depend on: they count only where all of it is the same."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.image_files import MAX_PIXELS, get_max_pixels
from wsol.fingerprints import RULES, hash_states

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eval.protocols import Protocol
    from eval.splits import MaskPaths
    from wsol.evaluation.map_files import MapWriter
    from wsol.evaluation.map_source import MapSource


def describe_pass(
    source: MapSource,
    protocols: Sequence[Protocol],
    thresholds: Sequence[float | str | None],
    rule: str | None,
    mask_root: str | Path | None,
    save: MapWriter | None,
) -> dict[str, Any]:
    """Name everything that the records depend on.

    A kept record counts only where all of this is the same.
    """
    split = source.split
    digest = hashlib.sha256("\n".join(split.ids).encode("utf-8", "surrogateescape"))
    digest.update(split.labels.tobytes())
    if split.sizes is not None:
        digest.update(split.sizes.tobytes())
    for boxes in split.boxes or ():
        digest.update(f"{len(boxes)}\n".encode() + np.asarray(boxes, np.float64).tobytes())
    digest.update(repr(split.masks).encode("utf-8", "surrogateescape"))
    told = None if source.overlaps is None else list(source.overlaps)
    limit = get_max_pixels()
    masks = list_masks(split.masks or (), mask_root)
    return {
        **source.describe(),
        "split": split.name,
        "images": len(split),
        "truth": digest.hexdigest(),
        "protocols": [{**asdict(rules), "source": ""} for rules in protocols],
        "thresholds": list(thresholds),
        "rule": rule,
        "mask_root": None if split.masks is None else str(Path(mask_root or "").resolve()),
        "mask_files": None if split.masks is None else hash_states(masks),
        "save_maps": None if save is None else save.precision,
        **({} if told == [] else {"overlaps": told}),
        **({} if limit == MAX_PIXELS else {"max_pixels": limit}),
        "rules": RULES,
    }


def list_masks(masks: Sequence[MaskPaths], root: str | Path | None) -> Iterator[Path]:
    """List the files of masks below a root."""
    parts = (part for each in masks for part in (*each.instances, each.ignore))
    return (Path(root or "") / part for part in parts if part is not None)
