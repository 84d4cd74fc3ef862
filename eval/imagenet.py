"""The order of the networks that know ImageNet's 1000 classes."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=1)
def imagenet_outputs() -> dict[str, int]:
    """Give the output that those networks have for each class, by WordNet id."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    return {info.index_to_label_name(index): index for index in range(info.num_classes())}
