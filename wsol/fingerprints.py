"""Whether files and networks are still those that something was made of."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor

    from eval.splits import Split


def hash_files(split: Split, find: Callable[[str], Path], times: bool = False) -> str:
    """Hash ids, labels and file sizes, in hexadecimal; contents would take too long to read.

    Args:
        split: ids and labels
        find: gives the file of an id
        times: also hash when each file was last changed
    """
    digest = hashlib.sha256()
    for image_id, label in zip(split.ids, split.labels.tolist(), strict=True):
        path = find(image_id)
        stat = path.stat() if path.is_file() else None
        size = -1 if stat is None else stat.st_size
        time = stat.st_mtime_ns if stat is not None and times else 0
        digest.update(f"{image_id}\t{label}\t{size}\t{time}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def hash_weights(state: Mapping[str, Tensor]) -> str:
    """Hash tensors, in hexadecimal: their names, kinds of numbers, shapes and values.

    The same weights have the same hash, whatever file or device they lie in.

    Args:
        state: tensors by name
    """
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name}\t{tensor.dtype}\t{tuple(tensor.shape)}\n".encode())
        numbers = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(numbers.view(torch.uint8).numpy().data)
    return digest.hexdigest()
