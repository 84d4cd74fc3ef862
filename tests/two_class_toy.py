"""Images of a bright square or a dark one, and a linear head that tells them apart."""

import numpy as np
import torch
from PIL import Image

from wsol import Localizer
from wsol.training.features import take_features

_SHARE = 0.1  # of the features' number, as ridge


def draw_squares(count, side, seed):
    """Draw images of noise with a square, dark and bright in turn, and say where it is."""
    random, square = np.random.default_rng(seed), side // 4
    images, boxes = [], []
    for number in range(count):
        pixels = random.integers(90, 150, (side, side, 3))
        y, x = random.integers(0, side - square, 2)
        pixels[y : y + square, x : x + square] = 235 if number % 2 else 20
        images.append(Image.fromarray(pixels.astype(np.uint8)))
        boxes.append((x, y, x + square, y + square))
    return images, boxes


def teach(network, count=32):
    """Fit the linear head of a network with random weights: ridge regression on its features."""
    shown = network.spec.preprocessing
    images = torch.stack([shown(each) for each in draw_squares(count, shown.size, 0)[0]])
    wanted = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(count // 2, 1)
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(images[: count // 2])  # for the statistics of batch norms
        network.eval()
        taken = torch.cat([take_features(1, network, part) for part in images.split(8)]).flatten(1)
        mean, scale = taken.mean(dim=0), taken.std(dim=0) + 1e-3 * taken.std()
        taken = (taken - mean) / scale
        ridge = _SHARE * taken.shape[1] * torch.eye(count)
        weight = torch.linalg.solve(taken @ taken.T + ridge, wanted).T @ taken / scale
        head = network.get_submodule(network.spec.classifier)
        head.weight.copy_(weight.reshape(head.weight.shape))
        head.bias.copy_(-(weight @ mean))


def find_squares(network, method="cam", count=8):
    """Count the bright squares that a map's highest place lies in, or half a cell beside."""
    side = network.spec.preprocessing.size
    images, boxes = draw_squares(2 * count, side, 1)
    with Localizer(network, method=method, threshold=0.5) as localizer:
        found = localizer(images[1::2], labels=1)
    hits = 0
    for localization, (x0, y0, x1, y1) in zip(found, boxes[1::2], strict=True):
        raw = localization.steps[-1].raw
        row, column = np.unravel_index(raw.argmax(), raw.shape)
        y, x = side * (row + 0.5) / raw.shape[0], side * (column + 0.5) / raw.shape[1]
        beside = side / min(raw.shape) / 2
        hits += x0 - beside <= x <= x1 + beside and y0 - beside <= y <= y1 + beside
    return hits
