"""Whether files and networks are still those that something was made of."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import nn

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


def hash_weights(model: nn.Module) -> str:
    """Hash the names and values of all parameters and buffers, in hexadecimal."""
    import numpy as np
    import torch

    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name}\t{tensor.dtype}\t{tuple(tensor.shape)}\n".encode())
        values = tensor.detach().cpu().contiguous().view(-1)
        if values.numel():
            digest.update(np.ascontiguousarray(values.view(torch.uint8).numpy()))
    return digest.hexdigest()
