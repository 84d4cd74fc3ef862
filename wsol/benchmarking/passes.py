"""Which protocols one pass over the images serves: those that show a network the same of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eval.protocols import Protocol

_CLASSES = {"ground_truth": "true class's map", "predicted": "predicted class's map"}


def group_protocols(protocols: Sequence[Protocol]) -> list[list[Protocol]]:
    """Group protocols by what a network sees of an image, and by whose map makes the boxes.

    Args:
        protocols: in the order in which they were asked for

    Returns:
        one list a pass; neither the lists nor what is in them changes its order

    >>> from eval.protocols import PROTOCOLS
    >>> [[each.name for each in group] for group in group_protocols(list(PROTOCOLS.values()))]
    [['wsoleval', 'clean'], ['tdam']]
    """
    groups: dict[str, list[Protocol]] = {}
    for protocol in protocols:
        groups.setdefault(name_view(protocol), []).append(protocol)
    return list(groups.values())


def name_view(protocol: Protocol) -> str:
    """Name what the maps of a pass show and whose they are, as a folder can be called."""
    return f"{protocol.image}-{protocol.class_map}"


def describe_protocols(protocols: Sequence[Protocol]) -> str:
    """Say in a line which protocols are scored, and which of them share a pass."""
    if len(protocols) == 1:
        return f"protocol {protocols[0].name}, class map {protocols[0].class_map}"
    groups = group_protocols(protocols)
    told = [
        f"{' and '.join(each.name for each in group)} ({group[0].image}, "
        f"{_CLASSES[group[0].class_map]})"
        for group in groups
    ]
    passes = "one pass" if len(groups) == 1 else f"{len(groups)} passes"
    return f"protocols {'; '.join(told)}: {passes} over the images"
