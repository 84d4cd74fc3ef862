"""timm and torchvision, loaded without torch's compiler, which takes as long as both of them.

Both want it while they load only to mark functions that it should leave alone, and to ask later
whether it can run. Here they get stand-ins that turn to the compiler when they are called.
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
    from collections.abc import Callable, Iterator

_COMPILER = "torch._dynamo"
_UTILS = f"{_COMPILER}.utils"


@contextmanager
def without_compiler() -> Iterator[None]:
    """Load modules in the block without torch's compiler.

    Nothing is replaced where the compiler is there already, or where another thread might meet a
    stand-in.
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
    """Mark a function as `torch.compiler.disable` does, which is called where a compiler runs."""
    if not isfunction(fn):
        return torch._dynamo.disable(fn, recursive, reason=reason)

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        return disabled()(*args, **kwargs) if _COMPILER in sys.modules else fn(*args, **kwargs)

    @functools.cache
    def disabled() -> Callable:
        return torch._dynamo.disable(fn, recursive, reason=reason)

    vars(call).update(_torchdynamo_disable=True)
    return call


try:
    with without_compiler():
        import torchvision.models
        from timm.layers.grn import GlobalResponseNorm
except ImportError:  # a version of theirs that wants more of it: it loads as it does anywhere
    import torchvision.models  # noqa: F401
    from timm.layers.grn import GlobalResponseNorm

__all__ = ["GlobalResponseNorm", "without_compiler"]
