"""A tiny data set of coloured rectangles with boxes: four text files a split, below the images."""

import numpy as np
import torch
from PIL import Image

from tdam import save_checkpoint
from wsol.training.network import create_network

COLOURS = {"blue": (40, 60, 220), "red": (220, 40, 40), "green": (40, 200, 90)}
COUNTS = {"train": 4, "val": 2, "test": 4}


def draw(colour, seed):
    """A rectangle somewhere on grey noise, 64 x 48, and its first and last pixel."""
    random = np.random.default_rng(seed)
    pixels = random.integers(90, 130, (48, 64, 3))
    x0, y0 = random.integers(2, 10, 2).tolist()
    x1, y1 = x0 + int(random.integers(34, 52)), y0 + int(random.integers(24, 36))
    pixels[y0 : y1 + 1, x0 : x1 + 1] = colour
    return Image.fromarray(pixels.astype(np.uint8)), (x0, y0, x1, y1)


def make_shapes(folder, splits=COUNTS):
    """Write images, and their splits into `manifest/`."""
    for place, (split, count) in enumerate(splits.items()):
        lines = {name: [] for name in ("image_ids", "class_labels", "image_sizes", "localization")}
        (folder / split).mkdir(parents=True)
        for label, (name, colour) in enumerate(COLOURS.items()):
            for i in range(count):
                image_id = f"{split}/{name}-{i}.png"
                image, box = draw(colour, 1000 * place + 100 * label + i)
                image.save(folder / image_id)
                lines["image_ids"].append(image_id)
                lines["class_labels"].append(f"{image_id},{label}")
                lines["image_sizes"].append(f"{image_id},64,48")
                lines["localization"].append(f"{image_id},{','.join(map(str, box))}")
        (folder / "manifest" / split).mkdir(parents=True)
        for name, text in lines.items():
            (folder / "manifest" / split / f"{name}.txt").write_text("\n".join(text))
    return folder


def make_weights(recipe, path, names=tuple(COLOURS)):
    """Write weights as a training leaves them, of ImageNet's features and a random classifier."""
    network = create_network(recipe, names)
    with torch.no_grad():
        network.get_submodule(network.spec.classifier).weight.normal_(std=0.1)
    save_checkpoint(network, path)
