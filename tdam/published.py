"""The tensor names of published TDAM checkpoints, and what we call them.

A published TDAM checkpoint adds to torchvision's names `RA_block.*` for a block's searchlight and
`bn<conv>_<t>` for the norms of step t, counted from 0; step 0 uses the plain norm.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

LIGHT = re.compile(r"(?P<block>.+\.)RA_block\.(?P<layer>\w+\.\d)\.weight")
NORM = re.compile(r"(?P<block>layer\d\.\d+\.)(?P<norm>bn\d)_(?P<step>\d+)\.(?P<tensor>\w+)")


def rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of a published TDAM checkpoint this project's names; others keep theirs.

    Args:
        state: tensors by name
    """
    renamed: dict[str, Tensor] = {}
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
