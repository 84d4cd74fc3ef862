"""A network with its maps as an ONNX file, and what a program without torch needs to read it."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdam.events import SILENT, working
from tdam.spec import name_network
from tdam.strict_json import dumps
from wsol.errors import ArgumentError, EngineError, about
from wsol.maps.names import settle_method
from wsol.networks import get_network
from wsol.out_files import write_file
from wsol.out_folders import free_file, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, nn

    from tdam.events import Events
    from tdam.preprocessing import Preprocessing
    from wsol.exporting.graph import MapNetwork
    from wsol.localizer import Localizer
    from wsol.maps.core import MapExtractor

READER = "wsol_reader.py"  # written beside the network
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_LARGEST = 2**31 - 1  # bytes
_LOOSE = 0.01  # of the largest value; another rounding is a thousandth of it


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Args:
        path: of the network, `.onnx`
        told: of the JSON file beside it, which says what the network wants and gives
        reader: of the program beside it, which draws boxes without torch
        method: of the maps in the file
        threshold: share of a map's range that boxes are cut at
        apart: how far its scores and maps are from torch's on noise, as a share of the largest
    """

    path: Path
    told: Path
    reader: Path
    method: str
    threshold: float
    apart: float


def export_network(
    model: nn.Module | str | Path | Callable[[], nn.Module],
    out: str | Path,
    *,
    topk: int = 5,
    every_step: bool = False,
    method: str | type[MapExtractor] = "auto",
    layer: str | None = None,
    threshold: float | None = None,
    names: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    force: bool = False,
    events: Events = SILENT,
) -> Exported:
    """Write a network and its maps as ONNX, with all that boxes take beside it.

    The maps in the file are those of `Localizer`, by whatever method that reads activations and
    gradients: the backward pass becomes operations like the others. onnxruntime runs the file
    once beside torch, and a file with other numbers is refused. What the file puts out
    is listed at `wsol.exporting.graph.MapNetwork`; the images may be any number.

    Args:
        model: any network, or what `wsol.networks.get_network` makes one of; left as it is
        out: file to write, ends in `.onnx`; a JSON file of its name and `wsol_reader.py` come to
            lie beside it
        topk: k, how many of the most probable classes have a map
        every_step: also put out the maps of these classes after every step
        method: as `Localizer` takes it
        layer: module of the network to make the maps of; None for the network's own
        threshold: as `Localizer` takes it
        names: of the classes; None for those stored with the weights, or ImageNet's
        preprocessing: what the network wants as input; None for what it tells
        force: overwrite the three files
        events: told of what is done

    Returns:
        where the files are, and how near to torch

    Raises:
        wsol.errors.ArgumentError: a ValueError that says which argument cannot be used, and why:
            a file that exists, or a method or network of which no graph can be made
        wsol.errors.EngineError: the extra `export` is not installed
        tdam.weights.WeightsError: weights that cannot be had or read
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise EngineError(f'export needs {" and ".join(missing)}: pip install "wsol-tdam[export]"')
    path = Path(out)
    if path.suffix != ".onnx":
        raise ArgumentError("out", f"expected .onnx, got {path}")
    told, reader = path.with_suffix(".json"), path.parent / READER
    program = (Path(__file__).parent.parent / "exporting" / "reader.py").read_bytes()
    with about("out"):
        for each in (path, told):
            free_file(each, force)
        free_file(reader, force or (reader.is_file() and reader.read_bytes() == program))
    network = deepcopy(get_network(model)).float().requires_grad_(False).eval()
    localizer = _localize(
        network, every_step, method=method, threshold=threshold, topk=topk, target_layer=layer,
        names=names, preprocessing=preprocessing,
    )  # fmt: skip
    with working(events, "export"):
        content, apart, told_of = _make(localizer, every_step)
    method = settle_method(method, network)
    text = dumps(
        {
            "network": name_network(network),
            "version": f"wsol-tdam {version('wsol-tdam')}",
            "file": path.name,
            "sha256": hashlib.sha256(content).hexdigest(),
            "method": method,
            "threshold": localizer.threshold,
            "threshold_origin": localizer.origin,
            **told_of,
        },
        indent=1,
        ensure_ascii=False,
    )
    with about("out"):
        for where, data in ((path, content), (told, text + "\n"), (reader, program)):
            with writing(where):
                write_file(where, data)
    return Exported(path, told, reader, method, localizer.threshold, apart)


def _localize(network: nn.Module, every_step: bool, **options: Any) -> Localizer:
    """Settle what the maps are made by and of, and see to it that they can be exported."""
    from tdam.steps import count_steps
    from wsol.localizer import Localizer

    localizer = Localizer(network, device="cpu", **options)
    if localizer.extractor.needs_images:
        raise ArgumentError(
            "method",
            f"{settle_method(options['method'], network)} cannot be exported: it runs the network "
            "once for every channel; choose another, such as layercam",
        )
    if every_step and options["target_layer"] is not None:
        raise ArgumentError(
            "every_step", "cannot be combined with a layer: the network's own has steps"
        )
    if every_step and count_steps(network) == 1:
        raise ArgumentError(
            "every_step", "expected a network of several steps, got one of one step"
        )
    return localizer


def _make(localizer: Localizer, every_step: bool) -> tuple[bytes, float, dict[str, Any]]:
    """Make an ONNX file and hold it against torch.

    Returns:
        the file's content, how far it is apart, and what the JSON file says of the localizer
    """
    import torch

    from tdam.steps import count_steps
    from wsol.classes import check_names, class_names
    from wsol.exporting.graph import MapNetwork, to_onnx, trace
    from wsol.maps.passes import run_pass

    extractor, shown = localizer.extractor, localizer.preprocessing
    images = torch.randn(3, 3, shown.size, shown.size, generator=torch.Generator().manual_seed(1))
    with about("method"):  # what only numbers tell is checked once, here
        seen = run_pass(extractor, images)
        seen.maps(seen.scores.argmax(dim=1))
    count = seen.scores.shape[1]
    names = class_names(count) if localizer.names is None else check_names(localizer.names, count)
    network = MapNetwork(extractor, min(localizer.topk, count), every_step)
    try:
        content = to_onnx(trace(network, shown.size), every_step)
    except Exception as error:  # whatever layers and exporter have to say, in errors of many kinds
        raise ArgumentError(
            "model",
            f"{name_network(extractor.model)} cannot be written as ONNX: {_first_cause(error)}",
        ) from error
    if len(content) > _LARGEST:
        raise ArgumentError(
            "model", f"{name_network(extractor.model)} is larger than an ONNX file can be"
        )
    apart = _compare(content, network, images)
    return (
        content,
        apart,
        {
            "layer": extractor.layer_names[0],
            "input": {**asdict(shown), "share": shown.share},
            "topk": network.topk,
            "steps": count_steps(extractor.model) if every_step else 1,
            "classes": names,
        },
    )


def _compare(content: bytes, network: MapNetwork, images: Tensor) -> float:
    """Run an ONNX file beside its network: the largest difference, as a share of the largest value.

    Raises:
        wsol.errors.ArgumentError: they are not the same
    """
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found = session.run(None, {"images": images.numpy()})
    wanted = [each.numpy() for each in network(images)]
    alike = (found[2] == wanted[2]).all(
        axis=1
    )  # of classes that score the same either may be first
    apart = 0.0
    for one, other in zip(found, wanted, strict=True):
        if one.dtype == np.float32 and alike.any():
            gap = np.abs(one - other)[alike].max()
            apart = max(apart, float(gap / max(np.abs(other).max(), np.finfo(np.float32).tiny)))
    if not apart < _LOOSE:
        raise ArgumentError(
            "model",
            f"{name_network(network.network)} gives other numbers as ONNX, {apart:.2g} apart",
        )
    return apart


def _first_cause(error: BaseException) -> str:
    """Say in one line what an error goes back to."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).splitlines() or [type(error).__name__])[0]
