"""How good a network is on validation images: loss, accuracy, and MaxBoxAcc where boxes exist."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import cross_entropy

from eval.metrics.localization import LocalizationResult
from eval.protocols import find_protocol
from tdam.modes import evaluation_mode
from wsol.evaluation.network_maps import NetworkMaps
from wsol.evaluation.score_maps import score_maps
from wsol.evaluation.true_images import TrueImages
from wsol.loading import read_images
from wsol.runtime import find_device
from wsol.sharing import deal_rows, share

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from eval.splits import Split
    from tdam.backbones.base import Backbone


@dataclass(frozen=True)
class ClassifiedBatch:
    """How some images were classified.

    Args:
        right: how many of them with the right class
        seen: how many could be read
        losses: sum of their losses
        unreadable: reason by id of the others
    """

    right: int
    seen: int
    losses: float
    unreadable: dict[str, str]


class Validator:
    """Measures networks on the same images.

    An image that cannot be read counts as misclassified and missed.

    Args:
        split: ids, labels, and boxes where there are any
        root: folder that the ids are relative to
        device: that the network is on
        batch_size: images at once
        workers: threads that read images
        classes: index among the network's outputs by label; None where they are the same
    """

    def __init__(
        self,
        split: Split,
        root: Path,
        device: str = "cpu",
        batch_size: int = 32,
        workers: int = 2,
        classes: dict[int, int] | None = None,
    ) -> None:
        self.split, self.root, self.device = split, root, device
        self.batch_size, self.workers = batch_size, workers
        self.classes = classes or {label: label for label in set(split.labels.tolist())}
        self.boxes = split.boxes is not None
        self.unreadable: dict[str, str] = {}

    def __call__(self, model: Backbone) -> dict[str, float]:
        """Measure a network.

        Args:
            model: that knows the split's classes; unchanged afterwards

        Returns:
            `accuracy` in percent and mean `loss`; with boxes also `max_box_acc` and
            `max_box_acc_v2` in percent, of the true class's map, at the best threshold of these
            very images

        Raises:
            ValueError: no image that can be read
        """
        right, seen, losses = 0, 0, 0.0
        with closing(share(partial(self.classify, model))) as batches:
            for batch in batches:
                right, seen, losses = right + batch.right, seen + batch.seen, losses + batch.losses
                self.unreadable |= batch.unreadable
        if not seen:
            raise ValueError(
                f"none of the {len(self.split)} validation images can be read, such as "
                f"{next(iter(self.unreadable.items()))}"
            )
        measured = {"loss": losses / max(seen, 1), "accuracy": 100 * right / len(self.split)}
        if self.boxes:
            maps = NetworkMaps(
                model,
                self.split,
                self.root,
                model.spec.method,
                self.classes,
                batch_size=self.batch_size,
                workers=self.workers,
                device=self.device,
            )
            rules = find_protocol("wsoleval")
            scores = score_maps(maps, [rules], ["oracle"], workers=self.workers)[0].result
            if isinstance(scores, LocalizationResult):
                both = {"max_box_acc": scores.max_box_acc, "max_box_acc_v2": scores.max_box_acc_v2}
                measured |= {name: value for name, value in both.items() if value is not None}
        return measured

    def classify(self, model: Backbone, rank: int, count: int) -> Iterator[ClassifiedBatch]:
        """Classify a process's images, a batch at a time.

        Args:
            model: that knows the split's classes
            rank: of the process, from 0
            count: of processes
        """
        wanted, device = model.spec.preprocessing, find_device(self.device)
        images = TrueImages(self.split, self.root)

        def read(row: int) -> tuple[torch.Tensor, None]:
            return wanted(images.read(row)), None

        rows = deal_rows(range(len(self.split)), self.batch_size, rank, count)
        model.to(device)
        with evaluation_mode(model), torch.inference_mode():
            for batch in read_images(rows, read, self.batch_size, self.workers, device):
                unreadable = {self.split.ids[row]: str(error) for row, error in batch.unreadable}
                if batch.images is None:
                    yield ClassifiedBatch(0, 0, 0.0, unreadable)
                    continue
                rights = [self.classes[int(self.split.labels[row])] for row, _ in batch.readable]
                labels = torch.tensor(rights, device=device)
                logits = model(batch.images).float()
                loss = float(cross_entropy(logits, labels, reduction="sum"))
                right = int((logits.argmax(dim=1) == labels).sum())
                yield ClassifiedBatch(right, len(rights), loss, unreadable)
