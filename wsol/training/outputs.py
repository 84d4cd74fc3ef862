"""What a network puts out for every image of a split, computed once, in a file."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from tdam.events import SILENT, Events
from tdam.modes import evaluation_mode
from wsol.images import read_image
from wsol.loading import read_images
from wsol.runtime import find_device
from wsol.sharing import deal_rows, share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from eval.splits import Split
    from tdam.backbones.base import Backbone

    Compute = Callable[[Backbone, torch.Tensor], torch.Tensor]


def write_outputs(
    path: Path,
    model: Backbone,
    compute: Compute,
    empty: np.ndarray,
    split: Split,
    root: Path,
    device: str = "cpu",
    batch_size: int = 32,
    workers: int = 2,
    events: Events = SILENT,
) -> dict[str, str]:
    """Write down what a network says of every image.

    Args:
        path: of the file, (N, ...), `.npy`. It is there once it is complete
        model: the network
        compute: what is wanted of it for images, (B, 3, S, S): (B, ...)
        empty: what stands for an image that cannot be read; gives the type of the numbers too
        split: ids of the images
        root: folder that the ids are relative to
        device: that the network runs on
        batch_size: images at once
        workers: threads that read images
        events: told of every image within a task that the caller has begun

    Returns:
        reason by id of the images that cannot be read
    """
    unreadable: dict[str, str] = {}
    unfinished = path.with_name(f".{path.name}.part")
    file = np.lib.format.open_memmap(unfinished, "w+", empty.dtype, (len(split), *empty.shape))
    file[:] = empty
    ask = partial(_ask, model, compute, split, root, device, batch_size, workers)
    with closing(share(ask)) as batches:
        for rows, said, faults in batches:
            unreadable |= faults
            if rows:
                file[rows] = said
            events.advance(len(rows) + len(faults))
    file.flush()
    unfinished.replace(path)
    return unreadable


def _ask(
    model: Backbone,
    compute: Compute,
    split: Split,
    root: Path,
    device: str,
    batch_size: int,
    workers: int,
    rank: int,
    count: int,
) -> Iterator[tuple[list[int], np.ndarray, dict[str, str]]]:
    """Give a process's images a batch at a time: rows, what is said of them, reasons by id."""
    wanted, where = model.spec.preprocessing, find_device(device)

    def read(row: int) -> tuple[torch.Tensor, None]:
        return wanted(read_image(root / split.ids[row])), None

    dealt = deal_rows(range(len(split)), batch_size, rank, count)
    model.to(where)
    with evaluation_mode(model), torch.inference_mode():
        for batch in read_images(dealt, read, batch_size, workers, where):
            faults = {split.ids[row]: str(error) for row, error in batch.unreadable}
            said = np.zeros((0, 0))
            if batch.images is not None:
                said = compute(model, batch.images).cpu().numpy()
            yield [row for row, _ in batch.readable], said, faults
