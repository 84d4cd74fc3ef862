"""The registry of map methods, which needs no torch until a method is asked for."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from wsol.maps.core import MapExtractor

METHODS: dict[str, str] = {
    "cam": "wsol.maps.activation:CAM",
    "gradcam": "wsol.maps.gradient:GradCAM",
    "gradcampp": "wsol.maps.gradient:GradCAMpp",
    "hirescam": "wsol.maps.gradient:HiResCAM",
    "xgradcam": "wsol.maps.gradient:XGradCAM",
    "layercam": "wsol.maps.gradient:LayerCAM",
    "scorecam": "wsol.maps.masking:ScoreCAM",
}

# Of other libraries, which the extra `cams` brings; with the class in `wsol.maps.others` that lets
# each of them see what the network does.
OTHER_METHODS: dict[str, str] = {
    "torchcam:CAM": "TorchcamPooled",
    "torchcam:FinerCAM": "TorchcamContrast",
    "torchcam:GradCAM": "TorchcamGradient",
    "torchcam:GradCAMpp": "TorchcamGradient",
    "torchcam:ISCAM": "TorchcamMasking",
    "torchcam:LayerCAM": "TorchcamGradient",
    "torchcam:SSCAM": "TorchcamMasking",
    "torchcam:ScoreCAM": "TorchcamMasking",
    "torchcam:SmoothGradCAMpp": "TorchcamNoise",
    "torchcam:XGradCAM": "TorchcamGradient",
    "grad-cam:AblationCAM": "GradcamAblation",
    "grad-cam:EigenCAM": "GradcamActivation",
    "grad-cam:EigenGradCAM": "GradcamGradient",
    "grad-cam:FEM": "GradcamActivation",
    "grad-cam:GradCAM": "GradcamGradient",
    "grad-cam:GradCAMElementWise": "GradcamGradient",
    "grad-cam:GradCAMPlusPlus": "GradcamGradient",
    "grad-cam:HiResCAM": "GradcamGradient",
    "grad-cam:KPCA_CAM": "GradcamActivation",
    "grad-cam:LayerCAM": "GradcamGradient",
    "grad-cam:RandomCAM": "GradcamActivation",
    "grad-cam:ScoreCAM": "GradcamMasking",
    "grad-cam:SegEigenCAM": "GradcamGradient",
    "grad-cam:ShapleyCAM": "GradcamHessian",
    "grad-cam:XGradCAM": "GradcamGradient",
}

LIBRARIES = {"torchcam": "torchcam", "grad-cam": "pytorch_grad_cam"}  # as pip and Python have it

GET_OTHERS = "pip install 'wsol-tdam[cams]'"

# Seconds to minutes an image.
SLOW_METHODS = frozenset(
    {
        "scorecam", "torchcam:ISCAM", "torchcam:SSCAM", "torchcam:ScoreCAM", "grad-cam:AblationCAM",
        "grad-cam:ScoreCAM",
    }
)  # fmt: skip


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
            `pp`; `torchcam:NAME` or `grad-cam:NAME` for one of another library, written so too; or
            a class, which need not be registered

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
    key = _plain(method)
    if key in METHODS:
        return key
    others = {_plain(name): name for name in OTHER_METHODS}
    if key in others:
        return others[key]
    library = next((name for name in LIBRARIES if key.startswith(f"{_plain(name)}:")), None)
    if library is not None:
        known = [name for name in OTHER_METHODS if name.startswith(f"{library}:")]
        raise ValueError(f"Expected method to be one of {', '.join(known)} but got {method!r}")
    same = [name for plain, name in others.items() if plain.partition(":")[2] == key]
    known = [*METHODS, *(same or (f"{name}:NAME" for name in LIBRARIES))]
    raise ValueError(f"Expected method to be one of {', '.join(known)} but got {method!r}")


def _plain(method: str) -> str:
    return method.lower().replace("-", "").replace("_", "").replace("++", "pp")


def check_installed(method: str) -> None:
    """See to it that the library is there that a method is of.

    Args:
        method: as `check_method` gives it

    Raises:
        ValueError: it is not; the message says how to get it
    """
    library = method.partition(":")[0]
    if method in OTHER_METHODS and find_spec(LIBRARIES[library]) is None:
        raise ValueError(
            f"Expected {library} to be installed for the method {method} but it is not: "
            f"{GET_OTHERS}"
        )


def _name_class(extractor: type[MapExtractor]) -> str:
    from wsol.maps.core import MapExtractor

    if not issubclass(extractor, MapExtractor):
        raise TypeError(
            "Expected method to be a name or a subclass of wsol.maps.MapExtractor but got "
            f"{extractor.__qualname__}"
        )
    if extractor.__name__ in OTHER_METHODS and extractor is find_method(extractor.__name__):
        return extractor.__name__
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
        ValueError: no method has this name, its library is not installed, or the network's head
            rules it out
    """
    spec: Any = getattr(model, "spec", None)
    if method == "auto" and spec is None:
        from tdam.describe import find_layers

        method = "cam" if find_layers(model).cam else "layercam"
    elif method == "auto":
        method = spec.method  # which a file may have told
    name = check_method(method)
    find_method(name).check_network(model)
    exact = spec is None or (spec.cam and (name == "cam" or not hasattr(model, "class_maps")))
    if name in ("cam", "torchcam:CAM") and not exact:
        raise ValueError(
            f"Expected method to be another than {name}, which asks for one linear layer behind "
            f"the pooling, as {spec.name} has none; use {spec.method}"
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
        ValueError: no method has this name, and the message lists those there are; or its library
            is not installed
    """
    name = check_method(method)
    if isinstance(name, OwnMethod):
        return name.extractor
    if name in OTHER_METHODS:
        check_installed(name)
        from wsol.maps.others import adapt

        return adapt(name)
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
