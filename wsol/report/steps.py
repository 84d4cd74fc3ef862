"""The maps of every step of a network with top-down attention, for the images of a page."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from wsol.images import ImageError, read_image
from wsol.loading import read_ahead

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from tdam.preprocessing import Preprocessing
    from wsol.map_sources import NetworkMaps
    from wsol.report.collect import MapKeeper


def keep_steps(source: NetworkMaps, classes: Mapping[str, int | None], keeper: MapKeeper) -> int:
    """Run the network once more over the images of a page, for the maps of its steps.

    Args:
        source: of the maps that were scored
        classes: by image id, the class whose map was scored
        keeper: takes the maps

    Returns:
        the number of steps; 1 where there is nothing to keep
    """
    import torch

    from wsol.maps import find_method
    from wsol.runtime import evaluation_mode, find_device

    model: Any = source.model
    if not hasattr(model, "forward_steps"):
        return 1
    where = find_device(source.device)
    load = partial(_load, root=source.root, preprocessing=source.input)
    extractor = find_method(source.method)(model)
    tasks = [(image_id, label) for image_id, label in classes.items() if label is not None]
    steps = 1
    with evaluation_mode(model):
        for batch in read_ahead(tasks, load, source.batch_size, source.workers):
            good = [(task, x) for task, x in batch if not isinstance(x, ImageError)]
            if not good:
                continue
            with torch.no_grad():
                found = model.forward_steps(torch.stack([x for _, x in good]).to(where))
            steps = found.logits.shape[1]
            if steps == 1:
                break
            features, scores = found.features.flatten(0, 1), found.logits.flatten(0, 1)
            if extractor.needs_gradients:
                with torch.enable_grad():
                    features = features.detach().requires_grad_()
                    scores = model.classify(features)
            labels = torch.tensor([label for (_, label), _ in good], device=where)
            wanted = labels.repeat_interleave(steps)
            maps = extractor.maps_of([features], wanted, scores, normalized=False)[0]
            likely = scores.detach().softmax(dim=1).gather(1, wanted[:, None])[:, 0]
            notes = torch.stack([scores.detach().argmax(dim=1).double(), likely.double()], dim=1)
            for ((image_id, _), _), each, note in zip(
                good, _split(maps, steps), _split(notes, steps), strict=True
            ):
                keeper.write_steps(keeper.rows[image_id], each, note)
    return steps


def _split(tensor: Tensor, steps: int) -> np.ndarray:
    found: np.ndarray = tensor.detach().unflatten(0, (-1, steps)).cpu().numpy()
    return found


def _load(task: tuple[str, int], root: Path, preprocessing: Preprocessing) -> Tensor:
    return preprocessing(read_image(root / task[0]))
