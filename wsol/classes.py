"""Class names of the networks that know ImageNet's 1000 classes, and back from a name."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=1)
def imagenet_names() -> tuple[str, ...]:
    """Return the short names of ImageNet's 1000 classes, in order, each unique."""
    from torchvision.models import ResNet50_Weights

    return tuple(ResNet50_Weights.DEFAULT.meta["categories"])


@lru_cache(maxsize=1)
def _imagenet_wnids() -> dict[str, int]:
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    return {info.index_to_label_name(index): index for index in range(info.num_classes())}


def class_names(count: int) -> tuple[str, ...]:
    """Name the classes of a network that brings no names of its own.

    Args:
        count: of the network's classes

    Returns:
        ImageNet's names for 1000 classes, else `class 0`, `class 1` and so on
    """
    return imagenet_names() if count == 1000 else tuple(f"class {i}" for i in range(count))


def find_class(text: str, names: tuple[str, ...]) -> int:
    """Tell which class is meant.

    Args:
        text: a class's name (any case, `_` for spaces), number, or WordNet id such as `n01440764`
        names: of all classes

    Returns:
        the class's index

    Raises:
        ValueError: no class is meant, or several are; the message lists near names
    """
    wanted = text.strip().replace("_", " ").casefold()
    exact = [index for index, name in enumerate(names) if name == text.strip().replace("_", " ")]
    alike = [index for index, name in enumerate(names) if name.casefold() == wanted]
    for found in (exact, alike):  # `cardigan` is a garment, `Cardigan` a dog
        if len(found) == 1:
            return found[0]
    if wanted.isdigit() and int(wanted) < len(names):
        return int(wanted)
    if len(names) == 1000 and (index := _imagenet_wnids().get(wanted)) is not None:
        return index
    near = [name for name in names if wanted and wanted in name.casefold()][:8]
    hint = f"; near it: {', '.join(near)}" if near else ""
    raise ValueError(f"Expected the name or number of a class but got {text!r}{hint}")
