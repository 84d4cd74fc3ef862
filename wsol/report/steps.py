"""The maps of every step of a network with top-down attention, for the images of a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tdam.steps import count_steps
from wsol.images import ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wsol.evaluation.kept_maps import MapKeeper
    from wsol.evaluation.network_maps import NetworkMaps


def keep_steps(source: NetworkMaps, classes: Mapping[str, int | None], keeper: MapKeeper) -> int:
    """Run the network once more over the images of a page, for the maps of its steps.

    Args:
        source: of the maps that were scored
        classes: by image id, the class whose map was scored
        keeper: takes the maps

    Returns:
        the number of steps; 1 where there is nothing to keep, as of a layer that is not the
        network's own
    """
    from wsol.localizer import Localizer

    if source.layer is not None or count_steps(source.model) == 1:
        return 1
    known = {image_id: label for image_id, label in classes.items() if label is not None}
    steps = 1
    with Localizer(
        source.model,
        source.method,
        preprocessing=source.input,
        device=source.device,
        batch_size=source.batch_size,
        workers=source.workers,
        precision=source.precision,
        channels_last=source.channels_last,
        smooth=source.smooth,
    ) as localizer:
        stream = localizer.stream([source.root / image_id for image_id in known], known.values())
        for image_id, (_, localization) in zip(known, stream, strict=True):
            if isinstance(localization, ImageError):
                continue
            steps = len(localization.steps)
            if steps == 1:
                break
            notes = [
                (each.top.label if each.top else -1, each.score) for each in localization.steps
            ]
            maps = np.stack([each.raw for each in localization.steps if each.raw is not None])
            keeper.write_steps(keeper.rows[image_id], maps, np.array(notes))
    return steps
