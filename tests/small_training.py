"""A training that takes no time: two classes of noise and a network of three layers."""

import numpy as np
import torch
from torch import nn

from tdam.backbones.base import Backbone
from tdam.preprocessing import Preprocessing
from tdam.spec import ModelSpec
from tdam.training import UnreadableImageError, train
from tdam.training.recipe import Recipe

SMALL = Recipe(
    name="small",
    weights="random",
    size=32,
    epochs=2,
    batch_size=4,
    lr=0.02,
    warmup=0.5,
    accumulate=2,
    mixup=0.3,
    cutmix=1.0,
    erasing=0.5,
    colour=0.2,
    ema=0.8,
)


class Noise:
    """Two classes of noise, one brighter than the other."""

    def __init__(self, count=10, broken=()):
        self.ids = tuple(f"{row}.png" for row in range(count))
        self.labels = np.arange(count, dtype=np.int64) % 2
        self.broken = broken

    def read(self, index):
        if index in self.broken:
            raise UnreadableImageError("not an image")
        random = torch.Generator().manual_seed(index)
        low = 100 * int(self.labels[index])
        return torch.randint(low, low + 150, (3, 40, 36), generator=random, dtype=torch.uint8)


class Tiny(Backbone):
    """One convolution, one norm, one linear layer."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 5, 4), nn.BatchNorm2d(8), nn.ReLU())
        self.drop = nn.Dropout(0.2)
        self.classifier = nn.Linear(8, 2)
        wanted = Preprocessing(size=32)
        self.spec = ModelSpec("tiny", "tiny", "stem", "classifier", preprocessing=wanted)
        self.settings = {"name": "tiny", "num_classes": 2}

    def stage_blocks(self):
        return [["stem"]]

    def shrinking_stages(self):
        return []

    def classify(self, features):
        return self.classifier(self.drop(features.mean(dim=(2, 3))))

    def forward(self, x):
        return self.classify(self.stem(x))


def build(recipe=SMALL):
    torch.manual_seed(recipe.seed)
    return Tiny()


def count_weights(model):
    """A validation that is quick and tells weights apart."""
    total = sum(p.detach().abs().sum().item() for p in model.parameters())
    return {"accuracy": 50.0, "loss": total}


def run(folder, recipe=SMALL, images=None, workers=0, **options):
    model = build(recipe)
    found = train(
        model,
        images or Noise(),
        recipe,
        folder,
        validate=count_weights,
        workers=workers,
        **options,
    )
    return model, found


def same(first, second):
    first, second = first.state_dict(), second.state_dict()
    return list(first) == list(second) and all(torch.equal(first[k], second[k]) for k in first)


class Square(Noise):
    """Images of the input's size, which a view leaves as they are."""

    def read(self, index):
        return super().read(index)[:, :32, :32]


PLAIN = SMALL.change(
    accumulate=1, mixup=0.0, cutmix=0.0, erasing=0.0, colour=0.0, min_scale=1.0, flip=0.0, ema=0.0,
    channels_last=False, label_smoothing=0.2,
)  # fmt: skip
