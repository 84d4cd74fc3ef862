"""The threshold that the images of a prediction ask for by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tdam.events import Events
    from wsol.localizer import Localizer

AUTO = "auto"
MOST = 100  # images that are looked at


def find_own_threshold(
    localizer: Localizer,
    paths: Sequence[Path],
    outputs: Sequence[int] | None,
    options: dict[str, Any],
    events: Events,
) -> float | None:
    """Find the threshold that photographs ask for without a box.

    Args:
        localizer: whose network and method it is for
        paths: of the photographs; of many, some are looked at
        outputs: the network's class of each, where it is known
        options: that the localizer was made with
        events: told the threshold, and how sure it is; or why there is none

    Returns:
        a share of the map's range; None where the images say too little
    """
    from eval.splits import Split, spread_rows
    from wsol.evaluation.network_maps import NetworkMaps
    from wsol.evaluation.unlabelled import choose_unlabelled, of_outputs

    labels = np.array([0] * len(paths) if outputs is None else outputs, dtype=np.int64)
    split = spread_rows(Split("given", tuple(map(str, paths)), labels), MOST)
    source = NetworkMaps(
        localizer.model, split, Path(), options["method"], class_map="predicted",
        preprocessing=localizer.preprocessing, batch_size=localizer.batch_size,
        workers=localizer.workers, device=str(localizer.device), layer=options["target_layer"],
        fc_layer=options["fc_layer"], precision=options["precision"],
        channels_last=options["channels_last"], smooth=options["smooth"],
    )  # fmt: skip
    try:
        known = source if outputs is None else of_outputs(source)
        return choose_unlabelled(known, events).threshold
    except ValueError as error:
        events.say(f"no threshold found on these images: {error}")
        return None
