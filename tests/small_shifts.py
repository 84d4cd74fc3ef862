"""Small networks and maps whose attention shifts, with names that would run if they could."""

import numpy as np
import torch

from tdam import create_model
from tdam.preprocessing import Preprocessing
from wsol.heatmap import stretch_map
from wsol.results import Localization, Prediction, Step

SQUARE = Preprocessing(size=64, mean=(0, 0, 0), std=(1, 1, 1))
SMALL = Preprocessing(size=64)  # a network sees less of it, faster
NAMES = ('<script>alert("x")</script>', "O'Neill & Söhne $x^2$", "日本の猫", "d" * 90, "plain")


def blob(x, y, peak=1.0, base=0.0, side=16):
    """A raw map with one round hill, its middle at x, y as shares of the side."""
    places = (np.arange(side) + 0.5) / side
    hill = np.exp(-((places - x) ** 2) / 0.01)[None] * np.exp(-((places - y) ** 2) / 0.01)[:, None]
    return (base + peak * hill).astype(np.float32)


def localized(*raws, width=200, height=100, tops=None, path=None, **more):
    region = SQUARE.region(width, height)
    tops = tops or [1] * len(raws)
    steps = tuple(
        Step(stretch_map(raw), 0.5, region, raw, Prediction(top, f"class {top}", 0.6))
        for raw, top in zip(raws, tops, strict=True)
    )
    return Localization(
        1, "class 1", 0.5, np.zeros((0, 4)), np.zeros(0), steps, width, height, path, **more
    )


def network(steps, distance=1, attention="tdam"):
    torch.manual_seed(0)
    options = {"steps": steps, "distance": distance} if attention == "tdam" else {}
    model = create_model("efficientnet_lite0", attention=attention, num_classes=5, **options)
    for name, parameter in model.named_parameters():
        if name.endswith("to_bottom.weight"):
            torch.nn.init.normal_(parameter, std=0.02)
    model.class_names = NAMES
    return model.eval()
