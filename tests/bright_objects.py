"""A network whose class map is the image itself, and images with one bright object."""

import torch
from PIL import Image
from torch import nn

from tdam.preprocessing import Preprocessing
from wsol import Localizer


class Bright(nn.Module):
    """Class 1 is where it is bright, class 0 where it is dark; its map is the image itself."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 2, 1, bias=False)
        self.fc = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.features.weight.copy_(torch.tensor([[-1.0], [1.0]]).expand(2, 3)[..., None, None])
            self.fc.weight.copy_(torch.eye(2))

    def forward(self, x):
        return self.fc(self.features(x).mean(dim=(2, 3)))


SIZE = 32
IDENTITY = Preprocessing(size=SIZE, mean=(0, 0, 0), std=(1, 1, 1))


def localizer(method="cam", preprocessing=IDENTITY, **options):
    layers = {"target_layer": "features", "names": ["dark", "bright"]}
    if method == "cam":
        layers["fc_layer"] = "fc"
    return Localizer(Bright(), method, preprocessing=preprocessing, **layers, **options)


def picture(width, height, box):
    image = Image.new("RGB", (width, height), (5, 5, 5))
    image.paste((250, 250, 250), box)
    return image
