"""What boxes cost beside the network that they come from, and beside other ways to them."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from PIL import Image

from tdam import load_checkpoint
from tdam.shipped_weights import shipped_path
from wsol.demo import copy_photos
from wsol.figures import draw_localization, draw_picture, to_picture
from wsol.images import read_image
from wsol.localizer import Localizer
from wsol.maps import find_method
from wsol.runtime import is_half_fast, keep_freed_memory
from wsol.speed.ratios import Ratio, compare_times, peak_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tdam.backbones.base import Backbone

_BATCH, _PHOTOS = 16, 96


def compare_prediction(
    weights: str, repeats: int, tell: Callable[[str], object] = lambda name: None
) -> list[Ratio]:
    """Compare finding boxes on photographs with what it is made of and with other ways.

    The unit is a forward pass of the same network as a plain program has it, over images that are
    read already: nothing of it but the scores is kept, and its tensors are contiguous.

    Args:
        weights: name of a network that comes along
        repeats: pairs that count
        tell: called with the name of each ratio that is measured, as all together take minutes

    Returns:
        ratios of `Localizer.stream`, of its last step alone and of all; of a pass and its maps in
        the form of a `with` block; of memory layouts, kept memory and precisions; of plain loops
        with other libraries, where these are installed; and of pictures
    """
    network = load_checkpoint(shipped_path(weights))[0].eval()
    with tempfile.TemporaryDirectory() as folder:
        originals = copy_photos(Path(folder))
        photos = list(islice(cycle(originals), _PHOTOS))
        last, every = Localizer(network, every_step=False), Localizer(network)
        images = torch.stack([last.preprocessing(read_image(photo)) for photo in photos])
        bare = _Forward(network, images)

        def compare(name: str, first: Any, second: Any, target: float | None = None) -> Ratio:
            tell(name)
            return compare_times(name, first, second, repeats, target)

        ours = partial(_find, last, photos)
        ratios = [
            compare("boxes, last step / forward", ours, bare),
            compare(
                "boxes of photographs of the input's size, last step / forward",
                partial(_find, last, _shrink(originals, last.preprocessing.size)),
                bare,
                1.10,
            ),
            compare("boxes, every step / forward", partial(_find, every, photos), bare),
            *_compare_arithmetic(network, photos, images, ours, compare),
            *_compare_others(network, last, photos, ours, compare),
        ]
        found = [each for _, each in last.stream(photos)]
        pairs = [(read_image(photo), each) for photo, each in zip(photos, found, strict=True)]
        drawn: Any = [pair for pair in pairs if hasattr(pair[1], "boxes")][:_BATCH]
        figures = lambda: [to_picture(draw_localization(*pair)) for pair in drawn]  # noqa: E731
        pictures = lambda: [draw_picture(*pair) for pair in drawn]  # noqa: E731
        return [*ratios, compare("pictures / figures of matplotlib", pictures, figures, 0.4)]


def _compare_arithmetic(
    network: Backbone,
    photos: list[Path],
    images: torch.Tensor,
    ours: Callable[[], Any],
    compare: Callable[..., Ratio],
) -> list[Ratio]:
    """Compare forms, layouts, precisions and what the C library does with freed memory."""
    part = images[:_BATCH]

    def form() -> None:
        with find_method("gradcampp")(network) as extractor:
            scores = network(part)
            extractor(scores.argmax(dim=1), scores)

    def usual() -> None:
        with _returning_memory():
            ours()

    some = _Forward(network, part)
    turned = part.contiguous(memory_format=torch.channels_last)
    memory = peak_bytes(form) / peak_bytes(some)
    contiguous = Localizer(network, every_step=False, channels_last=False)
    ratios = [
        compare("maps in a with block / forward", form, some, 1.25),
        Ratio("peak memory of maps in a with block / forward", 1.25, memory, memory, memory),
        compare("forward, contiguous / channels_last", some, _Forward(network, turned)),
        compare("boxes, contiguous / channels_last", partial(_find, contiguous, photos), ours),
        compare("boxes, freed memory returned / kept", usual, ours),
    ]
    if is_half_fast(torch.device("cpu")):
        half = Localizer(network, every_step=False, precision="bfloat16", device="cpu")
        name = "boxes, bfloat16 / float32"
        ratios.append(compare(name, partial(_find, half, photos), ours))
    return ratios


def _compare_others(
    network: Backbone,
    localizer: Localizer,
    photos: list[Path],
    ours: Callable[[], Any],
    compare: Callable[..., Ratio],
) -> list[Ratio]:
    """Compare loops over the same photographs, with our maps and with other libraries'."""
    kinds: dict[str, Callable[[], Any]] = {
        "a plain loop with torchcam": lambda: _loop_torchcam(network, localizer, photos),
        "a plain loop with pytorch_grad_cam": lambda: _loop_grad_cam(network, localizer, photos),
    }
    return [
        compare(f"{name} / boxes, last step", loop, ours)
        for name, loop in kinds.items()
        if find_spec(name.rpartition(" ")[2]) is not None
    ]


class _Forward:
    """A bare forward pass, a batch after the other."""

    def __init__(self, network: Backbone, images: torch.Tensor) -> None:
        self.network = network
        self.batches = images.split(_BATCH)

    def __call__(self) -> None:
        with torch.inference_mode():
            for batch in self.batches:
                self.network(batch)


def _shrink(photos: list[Path], side: int) -> list[Path]:
    """Copy photographs at a size at which reading them takes the least."""
    copies = [photo.with_name(f"small-{photo.stem}.jpg") for photo in photos]
    for photo, copy in zip(photos, copies, strict=True):
        read_image(photo).resize((side, side)).save(copy, quality=90)
    return list(islice(cycle(copies), _PHOTOS))


def _find(localizer: Localizer, photos: list[Path]) -> list[Any]:
    return list(localizer.stream(photos))


@contextmanager
def _returning_memory() -> Iterator[None]:
    keep_freed_memory(False)
    try:
        yield
    finally:
        keep_freed_memory()


def _loop_torchcam(network: Backbone, localizer: Localizer, photos: list[Path]) -> list[Any]:
    """Find boxes as torch-cam's own page shows it, image after image."""
    from torchcam.methods import GradCAMpp

    boxes = []
    with GradCAMpp(network, target_layer=localizer.extractor.layers[0]) as extractor:
        for photo in photos:
            with Image.open(photo) as image:
                pixels = localizer.preprocessing(image.convert("RGB"))[None]
                size = image.size
            scores = network(pixels)
            (heat,) = extractor(scores.argmax(dim=1).item(), scores)
            boxes.append(_cut_box(heat[0].numpy(), size, localizer.threshold))
    return boxes


def _loop_grad_cam(network: Backbone, localizer: Localizer, photos: list[Path]) -> list[Any]:
    """Find boxes as grad-cam's own page shows it, image after image."""
    from pytorch_grad_cam import GradCAMPlusPlus

    boxes = []
    with GradCAMPlusPlus(model=network, target_layers=localizer.extractor.layers[:1]) as cam:
        for photo in photos:
            with Image.open(photo) as image:
                pixels = localizer.preprocessing(image.convert("RGB"))[None]
                size = image.size
            (heat,) = cam(input_tensor=pixels, targets=None)
            boxes.append(_cut_box(heat, size, localizer.threshold))
    return boxes


def _cut_box(heat: np.ndarray, size: tuple[int, int], threshold: float) -> Any:
    """Cut the largest contour's box out of a map, on the photograph's own pixels."""
    wide = cv2.resize(heat, size)
    _, above = cv2.threshold((wide * 255).astype(np.uint8), threshold * 255, 255, 0)
    contours, _ = cv2.findContours(above, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    return cv2.boundingRect(max(contours, key=cv2.contourArea)) if contours else (0, 0, 0, 0)
