"""What becomes of networks that nobody registered; random weights, nothing is downloaded.

python tests/benchmarks/other_networks.py [--most N] [--only PART] prints a table with the smallest
network of every family of timm and with networks of torchvision: the layer of its maps, their size,
where a bright square in the upper right is seen (the share of what changes in the map that lies in
its quarter), how many of 8 bright squares CAM finds after a linear head on the mean of the last map
was fitted to tell bright ones from dark ones, the methods that make maps, and whether it takes
top-down attention, or the sentence with which it is refused.
"""

import argparse
import sys
import warnings
from pathlib import Path

import timm
import torch

from tdam import create_model
from tdam.attach import attach_top_down, list_blocks
from tdam.layout import hooked
from tdam.outputs import fit_images
from wsol import Localizer
from wsol.maps import METHODS
from wsol.maps.names import SLOW_METHODS

sys.path.append(str(Path(__file__).parents[1]))
from two_class_toy import find_squares, teach

_LARGEST = 400  # side of an input that a head is taught on, in pixels

TORCHVISION = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s",
    "googlenet", "inception_v3", "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small",
    "regnet_x_400mf", "regnet_y_400mf", "resnet18", "resnext50_32x4d", "shufflenet_v2_x0_5",
    "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11", "vit_b_32", "wide_resnet50_2",
)  # fmt: skip


def list_smallest(part):
    """Name the network of every family of timm that has the fewest parameters."""
    for family in timm.list_modules():
        sizes = {}
        for name in timm.list_models(f"*{part}*", module=family):
            with torch.device("meta"):
                sizes[name] = sum(p.numel() for p in timm.create_model(name).parameters())
        if sizes:
            yield f"timm:{min(sizes, key=sizes.get)}", min(sizes.values())


def find_square(localizer):
    """Tell which share of a map layer's change lies in the quarter that a square is put into."""
    side = localizer.preprocessing.size
    seen = []
    images = torch.full((2, 3, side, side), 0.1)
    start, stop = side // 8, 3 * side // 8
    images[1, :, start:stop, side - stop : side - start] = 3
    model, layer = localizer.model, localizer.extractor.layers[0]
    keep = lambda index, made: seen.append(made) or made  # noqa: E731
    with torch.no_grad(), hooked(model, [layer], keep):
        model.eval()(fit_images(model, images))
    change = (seen[-1][1] - seen[-1][0]).abs().mean(dim=0)
    rows, columns = change.shape
    quarter = change[: (rows + 1) // 2, columns // 2 :]
    return tuple(change.shape), float(quarter.sum() / change.sum())


def describe(name):
    """Give a row of the table."""
    try:
        model = create_model(name, num_classes=7)
        localizer = Localizer(model)
        size, share = find_square(localizer)
    except ValueError as error:
        return [name, "refused", "", "", "", "", str(error)]
    try:
        squares = "too large to try"
        if model.spec.preprocessing.size <= _LARGEST:
            taught = create_model(name, num_classes=2, head="mean")
            teach(taught)
            squares = f"{find_squares(taught)} of 8"
    except ValueError as error:
        squares = str(error)
    image = torch.rand(3, 40, 56, generator=torch.Generator().manual_seed(0))
    made = []
    for method in METHODS:
        if method in SLOW_METHODS:
            continue
        try:
            boxes = Localizer(model, method)(image).boxes
        except ValueError:
            continue
        if len(boxes):
            made.append(method)
    try:
        blocks = list_blocks(model)
        home = blocks[-1].rpartition(".")[0] if blocks else ""
        last = [each for each in blocks if each.rpartition(".")[0] == home]
        attach_top_down(model, last or [model.spec.map_layer], steps=2, distance=1)
        steps = len(Localizer(model)(image).steps)
        attention = f"yes, {len(blocks)} blocks, {steps} steps"
    except ValueError as error:
        attention = f"no: {error}"
    layer = model.spec.map_layer
    return [
        name,
        layer,
        f"{size[0]} x {size[1]}",
        f"{share:.2f}",
        squares,
        " ".join(made),
        attention,
    ]


def tell(cells):
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--most", type=float, default=40, help="million parameters")
    options.add_argument("--only", default="", help="part of the name")
    chosen = options.parse_args()
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    part = chosen.only
    names = [name for name, size in list_smallest(part) if size <= chosen.most * 1e6]
    names += [f"torchvision:{name}" for name in TORCHVISION if part in name]
    tell(["network", "layer", "map", "square", "toy", "methods", "top-down attention"])
    for name in names:
        tell(describe(name))


if __name__ == "__main__":
    main()
