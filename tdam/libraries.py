"""timm and torchvision, loaded without torch's compiler: to load it takes as long as to load both.

They want it, while they load, only to mark functions that it should leave alone, and for a function
that asks later whether it can run. Here they get stand-ins, which turn to the compiler when they
are called.
"""

from __future__ import annotations

import functools
import sys
import threading
from contextlib import contextmanager
from inspect import isfunction
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMPILER = "torch._dynamo"
_UTILS = f"{_COMPILER}.utils"


@contextmanager
def without_compiler() -> Iterator[None]:
    """Load modules in the block without torch's compiler.

    Nothing is replaced where the compiler is there already, or where another thread runs when the
    block begins: it might meet a stand-in.
    """
    if _COMPILER in sys.modules or threading.active_count() > 1:
        yield
        return
    disable = torch.compiler.disable
    package, utils = ModuleType(_COMPILER), ModuleType(_UTILS)
    package.__path__ = []
    vars(utils).update(is_compile_supported=_is_compile_supported)
    sys.modules |= {_COMPILER: package, _UTILS: utils}
    torch.compiler.disable = _disable_when_called
    try:
        yield
    finally:
        torch.compiler.disable = disable
        for name in (_COMPILER, _UTILS):
            sys.modules.pop(name)


def _is_compile_supported(device_type: Any) -> Any:
    from torch._dynamo.utils import is_compile_supported

    return is_compile_supported(device_type)


def _disable_when_called(
    fn: Any = None, recursive: bool = True, *, reason: str | None = None
) -> Any:
    """Stand in for `torch.compiler.disable`, which is called once the compiler is there."""
    if not isfunction(fn):
        return torch._dynamo.disable(fn, recursive, reason=reason)
    disabled: Any = None

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal disabled
        if _COMPILER not in sys.modules:
            return fn(*args, **kwargs)
        if disabled is None:
            disabled = torch._dynamo.disable(fn, recursive, reason=reason)
        return disabled(*args, **kwargs)

    vars(call).update(  # as the compiler marks what it leaves alone
        _torchdynamo_disable=True,
        _torchdynamo_disable_msg=reason,
        _torchdynamo_disable_recursive=recursive,
        _torchdynamo_orig_callable=fn,
    )
    return call


try:
    with without_compiler():
        import torchvision.models
        from timm.layers.grn import GlobalResponseNorm
except (ImportError, AttributeError, ValueError):  # a version of theirs that wants more of it
    import torchvision.models  # noqa: F401
    from timm.layers.grn import GlobalResponseNorm

__all__ = ["GlobalResponseNorm", "without_compiler"]
