import cv2
import numpy as np
import pytest
from PIL import Image

from eval.manifest import Split
from eval.metrics.pixels import bin_edges, count_pixels, pixel_average_precision
from eval.protocols import find_protocol
from eval.splits import MaskPaths
from wsol import evaluate_maps
from wsol.evaluation.comparison import read_results
from wsol.evaluation.folder_maps import FolderMaps
from wsol.evaluation.map_files import MapWriter
from wsol.evaluation.score_maps import score_maps
from wsol.heatmap import to_heatmap


def test_masks(tmp_path):
    random = np.random.default_rng(0)
    maps, masks = {}, []
    for name in ("a.jpg", "b.jpg"):
        maps[name] = to_heatmap(random.random((7, 7)), (224, 224))
        parts = []
        for part in ("1", "2", "ignore"):
            pixels = (random.random((60, 80)) < 0.2).astype(np.uint8) * 255
            Image.fromarray(pixels).save(tmp_path / f"{name}.{part}.png")
            parts.append(f"{name}.{part}.png")
        masks.append(MaskPaths(tuple(parts[:2]), parts[2]))
    writer = MapWriter(tmp_path / "maps", "float64")
    for name, heat in maps.items():
        writer.write(name, writer.encode(heat))
    data = Split("test", tuple(maps), np.array([0, 0]), masks=tuple(masks))
    found = evaluate_maps(data, tmp_path / "maps", mask_root=tmp_path, out=tmp_path / "out")
    total = 0
    for name in maps:
        one, two, ignore = (
            cv2.resize(
                np.asarray(Image.open(tmp_path / f"{name}.{part}.png")), (224, 224),
                interpolation=cv2.INTER_NEAREST,
            ) > 0
            for part in ("1", "2", "ignore")
        )  # fmt: skip
        mask = np.where(one | two, 1, np.where(ignore, 2, 0)).astype(np.uint8)
        total = total + count_pixels(maps[name], mask, bin_edges(np.arange(0, 1, 0.001)))
    assert found.result.pxap == pytest.approx(float(pixel_average_precision(total)), abs=1e-9)
    scores = found.to_dict()
    assert scores["max_box_acc"] is scores["curves"] is scores["threshold"]["value"] is None
    assert len(read_results(tmp_path / "out").rows) == 2
    with pytest.raises(ValueError, match="masks and a root"):
        score_maps(FolderMaps(data, tmp_path / "maps"), [find_protocol("clean")], [None])


def test_masks_of_other_values_are_refused():
    edges = bin_edges(np.arange(0, 1, 0.001))
    with pytest.raises(ValueError, match="mask of 0, 1 and 2"):
        count_pixels(np.zeros((4, 4)), np.full((4, 4), 255, np.uint8), edges)
    with pytest.raises(ValueError, match="as bin_edges gives"):
        count_pixels(np.zeros((4, 4)), np.zeros((4, 4), np.uint8), np.array([0, 0.1, 0.5, 1]))
