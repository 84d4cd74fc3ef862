"""What every step of a network says of an image, and the maps that its guesses' boxes come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsol.evaluation.network_maps import rank_classes

if TYPE_CHECKING:
    from torch import Tensor

    from wsol.maps.passes import Pass


@dataclass(frozen=True, eq=False)
class GuessMaps:
    """The guesses of one image: a class a step, and several classes at the last step.

    Args:
        labels: (T,), int, each step's most probable class among the network's outputs
        scores: (T,), its probability
        maps: (T, h, w), its map at this step
        ranks: (T,), int, position of the true class among each step's predictions, from 0
        true_scores: (T,), probability of the true class
        true_maps: (T, h, w), its map at every step
        other_maps: (G - 1, h, w), maps at the last step of its most probable classes but the true
            one
    """

    labels: np.ndarray
    scores: np.ndarray
    maps: np.ndarray
    ranks: np.ndarray
    true_scores: np.ndarray
    true_maps: np.ndarray
    other_maps: np.ndarray


def collect_guesses(
    seen: Pass, true: np.ndarray, true_maps: Tensor, count: int
) -> list[GuessMaps | None]:
    """Take the guesses out of a forward pass.

    Args:
        seen: of N images
        true: (N,), the output that stands for each image's true class
        true_maps: (N, T, h, w), its maps
        count: G, of the classes at the last step, at least 1

    Returns:
        one record an image; None for one whose maps or probabilities are not finite
    """
    import torch

    scores = seen.scores.detach().unflatten(0, (seen.steps, -1))  # (T, N, K)
    device = scores.device
    wanted = torch.as_tensor(true, device=device).long()
    own = scores.argmax(dim=2)
    likely = seen.probabilities.transpose(0, 1)
    ranks = [rank_classes(each, true) for each in scores]
    others = scores[-1].float().scatter(1, wanted[:, None], -torch.inf)
    ranked = others.topk(min(count, others.shape[1]) - 1, dim=1).indices
    other_maps = [seen.maps(labels)[:, -1] for labels in ranked.T]
    parts: list[Tensor] = [
        own.T,
        likely.gather(2, own[..., None])[..., 0].T,
        seen.maps(own),
        torch.as_tensor(np.array(ranks)).T,
        likely.gather(2, wanted.expand(len(own), -1)[..., None])[..., 0].T,
        true_maps,
        torch.stack(other_maps, dim=1) if other_maps else true_maps[:, :0],
    ]
    arrays = [part.detach().cpu().numpy() for part in parts]
    return [
        GuessMaps(*each) if all(np.isfinite(part).all() for part in each) else None
        for each in zip(*arrays, strict=True)
    ]
