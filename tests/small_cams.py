"""Small networks with activations of both signs, and the maps that methods make of them."""

import torch
from torch import nn

from tdam.modes import evaluation_mode
from wsol.maps import find_method
from wsol.maps.passes import run_pass

IDS = (1, 3, 0)
NO_CLASS = {"grad-cam:EigenCAM", "grad-cam:FEM", "grad-cam:KPCA_CAM", "grad-cam:RandomCAM"}


class Tiny(nn.Module):
    """A network whose activations have both signs, so that no ReLU hides a difference."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.Tanh(), nn.Conv2d(6, 8, 3, padding=1)
        )
        self.last = nn.Tanh()
        self.fc = nn.Linear(8, 4)

    def forward(self, images):
        return self.fc(self.last(self.body(images)).mean(dim=(2, 3)))


class Deep(Tiny):
    """One that is not linear behind the layer, of which all derivatives say something."""

    def forward(self, images):
        return self.fc(torch.tanh(2 * self.last(self.body(images))).pow(2).mean(dim=(2, 3)))


def images(side=12, count=3):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1)) - 0.3


def ours(method, network, layer, seen, ids=IDS):
    with evaluation_mode(network):
        return run_pass(find_method(method)(network, layer), seen).maps(torch.tensor(ids))[:, 0]
