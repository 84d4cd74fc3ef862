"""The standard evaluation's VGG-16 and InceptionV3, written from what is published of them.

VGG-16: the configuration D without its last two poolings, a convolution of 1024 channels, the mean,
a linear layer. InceptionV3: 224 pixels become 28 because the first convolution and the poolings are
padded; `Mixed_6a` keeps its size; two convolutions and one of a single pixel follow `Mixed_6e`.
"""

import torch
import torchvision
from torch import nn
from torch.nn.functional import conv2d, max_pool2d, relu

WIDTHS = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512)
FINE = (*WIDTHS[:13], *WIDTHS[14:])  # 28 x 28


class VGG(nn.Module):
    """VGG-16 under the published names.

    Args:
        widths: of convolutions; M for a pooling, A for a layer without tensors
        classes: K
    """

    def __init__(self, widths, classes):
        super().__init__()
        layers, channels = [], 3
        for width in widths:
            if width == "M":
                layers.append(nn.MaxPool2d(2))
            elif width == "A":
                layers.append(nn.Identity())
            else:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
        self.features = nn.Sequential(*layers)
        self.conv6 = nn.Conv2d(512, 1024, 3, padding=1)
        self.fc = nn.Linear(1024, classes)

    def forward(self, x):
        self.seen = relu(self.conv6(self.features(x)))
        return self.fc(self.seen.mean((2, 3)))

    def class_maps(self):
        """The map of every class, (N, K, h, w)."""
        return conv2d(self.seen, self.fc.weight[:, :, None, None])


class Inception(nn.Module):
    """InceptionV3 under the published names.

    Args:
        fine: maps of 28 x 28, not of 14 x 14
        classes: K
    """

    def __init__(self, fine, classes):
        super().__init__()
        whole = torchvision.models.Inception3(aux_logits=False, init_weights=False)
        for name, module in whole.named_children():
            if name.startswith(("Conv2d", "Mixed_5", "Mixed_6")):
                setattr(self, name, module)
        self.Conv2d_1a_3x3.conv.padding = (1, 1)
        for conv in (self.Mixed_6a.branch3x3.conv, self.Mixed_6a.branch3x3dbl_3.conv):
            conv.stride, conv.padding = (1, 1), (1, 1)
        self.SPG_A3_1b = nn.Sequential(nn.Conv2d(768, 1024, 3, padding=1), nn.ReLU())
        self.SPG_A3_2b = nn.Sequential(nn.Conv2d(1024, 1024, 3, padding=1), nn.ReLU())
        self.SPG_A4 = nn.Conv2d(1024, classes, 1)
        self.fine = fine

    def forward(self, x):
        for name in ("1a_3x3", "2a_3x3", "2b_3x3"):
            x = getattr(self, f"Conv2d_{name}")(x)
        x = max_pool2d(x, 3, 2, 1, ceil_mode=True)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))
        x = max_pool2d(x, 3, 2, 1, ceil_mode=True)
        for name in "bcd":
            x = getattr(self, f"Mixed_5{name}")(x)
        if not self.fine:
            x = max_pool2d(x, 3, 2, ceil_mode=True)
        grid = self.Mixed_6a
        deep = grid.branch3x3dbl_3(grid.branch3x3dbl_2(grid.branch3x3dbl_1(x)))
        x = torch.cat([grid.branch3x3(x), deep, max_pool2d(x, 3, 1, 1)], 1)
        for name in "bcde":
            x = getattr(self, f"Mixed_6{name}")(x)
        self.maps = self.SPG_A4(self.SPG_A3_2b(self.SPG_A3_1b(x)))
        return self.maps.mean((2, 3))

    def class_maps(self):
        """The map of every class, (N, K, h, w)."""
        return self.maps - self.SPG_A4.bias[:, None, None]
