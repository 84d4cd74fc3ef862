"""A network with its maps as one graph of plain operations, and that as an ONNX file."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from wsol.exporting.backward import decompositions
from wsol.maps.passes import run_pass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from wsol.maps.core import MapExtractor

INPUT = "images"
OUTPUTS = ("logits", "features", "classes", "probabilities", "maps")
STEP_OUTPUTS = ("step_probabilities", "step_maps")


class MapNetwork(nn.Module):
    """A network that puts out the maps of its most probable classes beside its scores.

    Args:
        extractor: of the network, in evaluation mode
        topk: k, how many classes
        every_step: whether to put out what the network says after each of its T steps
    """

    def __init__(self, extractor: MapExtractor, topk: int, every_step: bool) -> None:
        super().__init__()
        self.network = extractor.model
        self.extractor = extractor
        self.topk = topk
        self.every_step = every_step

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Run network and map method.

        Args:
            images: (N, 3, H, W), normalised

        Returns:
            as `OUTPUTS`: logits (N, K); features of the map layer (N, C, h, w); indices and
            probabilities of the k most probable classes, (N, k), the first one first; their maps,
            (N, k, h, w), on any scale. For every step, as `STEP_OUTPUTS`, the probabilities and
            maps of these same classes, (N, T, k) and (N, T, k, h, w)
        """
        seen = run_pass(self.extractor, images, self.every_step)
        count = images.shape[0]
        every = seen.probabilities
        probabilities, classes = every[:, -1].topk(self.topk, dim=1)
        ranked = [seen.maps(classes[:, rank], traced=True) for rank in range(self.topk)]
        maps = torch.stack(ranked, dim=2)
        found = (
            seen.scores.detach()[-count:],
            seen.features[-1].detach()[-count:],
            classes,
            probabilities,
            maps[:, -1],
        )
        if not self.every_step:
            return found
        likely = every.gather(2, classes[:, None].expand(-1, every.shape[1], -1))
        return (*found, likely, maps)


class _PlainPooling(TorchFunctionMode):
    """Pools maps of the usual memory layout: for another, torch writes into strides."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if function is nn.functional.adaptive_avg_pool2d:
            args = (args[0].contiguous(), *args[1:])
        return function(*args, **(kwargs or {}))


def trace(network: MapNetwork, side: int) -> torch.export.ExportedProgram:
    """Write down every operation of a network and its maps, those of gradients too.

    Args:
        network: on the CPU, in float32
        side: of the square images, in pixels

    Returns:
        a program that takes images in any number

    Raises:
        Exception: of whatever kind, for a network that does something else for other numbers
    """
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    mode = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)
    sizes = [DimDynamic.DYNAMIC, DimDynamic.STATIC, DimDynamic.STATIC, DimDynamic.STATIC]
    known: Any = StatelessSymbolicContext(dynamic_sizes=sizes, constraint_sizes=[None] * 4)
    shaped = mode.from_tensor(images, symbolic_context=known)
    # The kernels that attention has for speed are no operations of any other program.
    with sdpa_kernel(SDPBackend.MATH), _PlainPooling():
        graph = make_fx(
            network,
            decomposition_table=decompositions(),
            tracing_mode="symbolic",
            _allow_non_fake_inputs=True,
        )(shaped)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    batch = ({0: torch.export.Dim("N")},)
    return torch.export.export(graph, (images,), dynamic_shapes=batch, strict=False)


def to_onnx(program: torch.export.ExportedProgram, every_step: bool) -> bytes:
    """Turn a program into the content of an ONNX file.

    Args:
        program: of `trace`
        every_step: as for `MapNetwork`

    Raises:
        torch.onnx.errors.OnnxExporterError: an operation that ONNX does not have
    """
    names = (*OUTPUTS, *(STEP_OUTPUTS if every_step else ()))
    with _quiet():
        made: Any = torch.onnx.export(
            program, (), dynamo=True, verbose=False, input_names=[INPUT], output_names=names
        )
    made.model.metadata_props.clear()
    for node in made.model.graph.all_nodes():  # where in which file of this machine each is from
        node.metadata_props.clear()
    content: bytes = made.model_proto.SerializeToString()
    return content


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to ourselves what the exporter says of its own works."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
