"""A norm for every step: what a later step has of its own, and what it shares with the first."""

from __future__ import annotations

import copy

from torch import nn

from tdam.libraries import GlobalResponseNorm

NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, GlobalResponseNorm)


def copy_norms(module: nn.Module) -> nn.Module | None:
    """Copy a module for another step: its norms are copied, every other parameter is shared.

    Args:
        module: a norm, or anything that may hold norms

    Returns:
        the copy, or None where there is no norm and the module itself can run again
    """
    norms = [part for part in module.modules() if isinstance(part, NORMS)]
    if not norms:
        return None
    own = {id(p) for norm in norms for p in norm.parameters()}
    shared = {id(p): p for p in module.parameters() if id(p) not in own}
    return copy.deepcopy(module, shared)
