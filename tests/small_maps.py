"""Splits and maps of them on disk, to score without a network."""

import numpy as np

from eval.manifest import Split
from wsol.evaluation.map_files import MapWriter
from wsol.heatmap import to_heatmap


def write_maps(split, folder, precision="float64"):
    writer = MapWriter(folder, precision)
    random = np.random.default_rng(0)
    maps = {}
    for image_id in split.ids:
        small = random.random((7, 7)).astype(np.float32)
        maps[image_id] = to_heatmap(small, (224, 224))
        writer.write(image_id, writer.encode(maps[image_id]))
    return maps


def many(count):
    """A split of maps without images."""
    random = np.random.default_rng(count)
    low = random.integers(0, 100, (count, 2))
    boxes = np.hstack([low, low + random.integers(20, 100, (count, 2))])
    return Split(
        "test",
        tuple(f"{i % 3}/{i}.jpg" for i in range(count)),
        np.arange(count) % 3,
        np.full((count, 2), 200),
        tuple(boxes[i : i + 1 + (i % 5 == 0)][:2] for i in range(count)),
    )
