"""The tensor names of published checkpoints, and what we call them.

A published TDAM checkpoint adds to torchvision's names `RA_block.*` for a block's searchlight and
`bn<conv>_<t>` for the norms of step t, counted from 0; step 0 uses the plain norm. The standard
evaluation of localization numbers VGG-16's convolutions without the poolings that it lacks, and
them and ResNet-50's blocks with layers between them that have no tensors; its InceptionV3 ends with
a convolution of one pixel, `SPG_A4`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

LIGHT = re.compile(r"(?P<block>.+\.)RA_block\.(?P<layer>\w+\.\d)\.weight")
NORM = re.compile(r"(?P<block>layer\d\.\d+\.)(?P<norm>bn\d)_(?P<step>\d+)\.(?P<tensor>\w+)")

_PART = re.compile(r"(?P<start>\w+\.)(?P<number>\d+)(?=\.)")
_CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # torchvision's, of VGG-16


def rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of a published checkpoint this project's names; others keep theirs.

    Args:
        state: tensors by name
    """
    renamed: dict[str, Tensor] = {}
    state = _rename_evaluated(state)
    for key, tensor in state.items():
        if light := LIGHT.fullmatch(key):
            block, layer = light["block"], light["layer"]
            names = {
                "Ug_top_mlp.0": "from_top",
                "Ug_bottom_mlp.0": "from_bottom",
                "Ug_mlp.0": "to_bottom",
                "Ug_mlp.2": "to_bottom",
            }
            if f"{block}RA_block.Ug_mlp.2.weight" in state:  # `top` numbers its two layers
                names["Ug_mlp.0"] = "from_top"
            if layer in names:
                renamed[f"{block}top_down.attention.{names[layer]}.weight"] = tensor
                renamed[f"{block}top_down.attention.gain"] = tensor.new_ones(())
                continue
        elif norm := NORM.fullmatch(key):
            tensor_name = f"top_down.norms.{int(norm['step']) - 1}.{norm['norm']}.{norm['tensor']}"
            renamed[norm["block"] + tensor_name] = tensor
            continue
        renamed[key] = tensor
    return renamed


def _rename_evaluated(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Give the tensors of the standard evaluation's networks this project's names."""
    if "conv6.weight" in state:
        return _renumber(state, {"features.": _CONVOLUTIONS})
    if "SPG_A4.weight" in state and "SPG_A3_2b.0.weight" in state:
        classifier = {f"SPG_A4.{name}": f"fc.{name}" for name in ("weight", "bias")}
        return {
            classifier.get(key, key): tensor.flatten(1) if key == "SPG_A4.weight" else tensor
            for key, tensor in state.items()
        }
    return _renumber(state, {"layer3.": range(6), "layer4.": range(3)})


def _renumber(
    state: Mapping[str, Tensor], wanted: Mapping[str, Sequence[int]]
) -> Mapping[str, Tensor]:
    """Number the parts of sequences as without the layers that stand between them.

    Args:
        state: tensors by name
        wanted: numbers by what stands before them; only where there are as many is anything renamed
    """
    found: dict[str, set[int]] = {start: set() for start in wanted}
    matches = {key: match for key in state if (match := _PART.match(key))}
    for match in matches.values():
        if match["start"] in wanted:
            found[match["start"]].add(int(match["number"]))
    if any(len(found[start]) != len(numbers) for start, numbers in wanted.items()):
        return state
    places = {s: dict(zip(sorted(found[s]), numbers, strict=True)) for s, numbers in wanted.items()}
    return {
        f"{match['start']}{places[match['start']][int(match['number'])]}{key[match.end() :]}"
        if (match := matches.get(key)) and match["start"] in wanted
        else key: tensor
        for key, tensor in state.items()
    }
