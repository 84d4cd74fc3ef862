"""The registry of map methods, which needs no torch until a method is asked for."""

from __future__ import annotations

from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from wsol.maps.core import MapExtractor

METHODS: dict[str, str] = {
    "cam": "wsol.maps.activation:CAM",
    "gradcam": "wsol.maps.gradient:GradCAM",
    "gradcampp": "wsol.maps.gradient:GradCAMpp",
    "xgradcam": "wsol.maps.gradient:XGradCAM",
    "layercam": "wsol.maps.gradient:LayerCAM",
    "scorecam": "wsol.maps.masking:ScoreCAM",
}


SLOW_METHODS = frozenset({"scorecam"})  # seconds to minutes an image


class OwnMethod(str):
    """The name of a map method that is not registered: its class's, in lower case.

    It is a plain name to tables and records, and brings its class along to `find_method`.

    Args:
        extractor: the class
    """

    __slots__ = ("extractor",)
    extractor: type[MapExtractor]

    def __new__(cls, extractor: type[MapExtractor]) -> OwnMethod:
        """Name a class."""
        name = super().__new__(cls, extractor.__name__.lower())
        name.extractor = extractor
        return name

    def __getnewargs__(self) -> tuple[type[MapExtractor]]:  # type: ignore[override]
        return (self.extractor,)


def check_method(method: str | type[MapExtractor]) -> str:
    """Return a method's name.

    Args:
        method: a registered name, in any case, with or without `-` and `_`, and with `++` for
            `pp`; or a class, which need not be registered

    Returns:
        the registered name, or the `OwnMethod` of a class that is not registered

    Raises:
        TypeError: a class of something else
        ValueError: no method has this name, and the message lists those there are; or a class has
            the name of a registered one
    """
    if isinstance(method, OwnMethod):
        return method
    if isinstance(method, type):
        return _name_class(method)
    if not isinstance(method, str):
        raise TypeError(
            "Expected method to be a name or a subclass of wsol.maps.MapExtractor but got "
            f"{method!r}"
        )
    key = method.lower().replace("-", "").replace("_", "").replace("++", "pp")
    if key not in METHODS:
        raise ValueError(f"Expected method to be one of {', '.join(METHODS)} but got {method!r}")
    return key


def _name_class(extractor: type[MapExtractor]) -> str:
    from wsol.maps.core import MapExtractor

    if not issubclass(extractor, MapExtractor):
        raise TypeError(
            "Expected method to be a name or a subclass of wsol.maps.MapExtractor but got "
            f"{extractor.__qualname__}"
        )
    name = OwnMethod(extractor)
    if name not in METHODS:
        return name
    if METHODS[name] != f"{extractor.__module__}:{extractor.__qualname__}":
        raise ValueError(
            f"Expected method to be a class with a name of its own but got {extractor.__name__}, "
            f"which is {METHODS[name]}; give yours another name"
        )
    return str(name)


def settle_method(method: str | type[MapExtractor], model: nn.Module) -> str:
    """Return the name of the method to use for a network.

    Args:
        method: as for `check_method`, or `auto` for the one that the network names; of one that is
            not registered CAM where that is exact, else LayerCAM
        model: the network

    Returns:
        as for `check_method`

    Raises:
        TypeError: a class of something else
        ValueError: no method has this name, or the network's head rules it out
    """
    spec: Any = getattr(model, "spec", None)
    if method == "auto" and spec is None:
        from tdam.describe import find_layers

        method = "cam" if find_layers(model).cam else "layercam"
    elif method == "auto":
        method = spec.method  # which a file may have told
    name = check_method(method)
    if name == "cam" and spec is not None and not spec.cam:
        raise ValueError(
            "Expected method to be another than cam, which asks for one linear layer behind the "
            f"pooling, as {spec.name} has none; use {spec.method}"
        )
    return name


def explain_method(asked: str | type[MapExtractor], model: nn.Module) -> str:
    """Say where the method is slow that weights name, and that nobody asked for.

    Args:
        asked: as for `settle_method`
        model: the network

    Returns:
        a line for people; nothing where there is nothing to say
    """
    if asked != "auto" or (name := settle_method(asked, model)) not in SLOW_METHODS:
        return ""
    return (
        f"the weights ask for maps by {name}, which takes a forward pass for every channel: slow; "
        "--method chooses another"
    )


def find_method(method: str | type[MapExtractor]) -> type[MapExtractor]:
    """Look a map method up.

    Args:
        method: as for `check_method`

    Returns:
        the extractor's class

    Raises:
        TypeError: a class of something else
        ValueError: no method has this name; the message lists those there are
    """
    name = check_method(method)
    if isinstance(name, OwnMethod):
        return name.extractor
    module, _, attribute = METHODS[name].partition(":")
    extractor: type[MapExtractor] = getattr(import_module(module), attribute)
    return extractor


def head_options(method: str | type[MapExtractor], fc_layer: Any) -> dict[str, Any]:
    """Give a method the classifier's linear layer, where it takes one.

    Args:
        method: as for `check_method`
        fc_layer: name or module; None where none was given

    Returns:
        further arguments of the extractor's class

    Raises:
        ValueError: a layer for a method that takes none

    >>> head_options("cam", "fc"), head_options("layercam", None)
    ({'fc_layer': 'fc'}, {})
    """
    if fc_layer is None:
        return {}
    if "fc_layer" not in signature(find_method(method)).parameters:
        raise ValueError(
            f"Expected fc_layer to be None for the method {check_method(method)}, which takes none"
        )
    return {"fc_layer": fc_layer}
