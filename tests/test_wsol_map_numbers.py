"""Maps of every kind of number are counted as the standard evaluation counts them."""

import numpy as np
import pytest
from reference_wsoleval import count_hits
from small_maps import many, write_maps

from eval.protocols import find_protocol
from wsol import evaluate_maps
from wsol.evaluation.folder_maps import read_map


def test_counts_at_every_threshold_are_the_standard_evaluations(tmp_path):
    data = many(8)
    for image_id, heat in write_maps(data, tmp_path).items():
        np.save(tmp_path / f"{image_id}.npy", heat.astype(np.float16))
    curves = evaluate_maps(data, tmp_path).result.curves
    wanted = count_hits(tmp_path, data, find_protocol("wsoleval").thresholds)
    for mode, by_delta in wanted.items():
        for delta, counts in by_delta.items():
            assert curves[mode][delta] == counts.tolist(), (mode, delta)


@pytest.mark.parametrize("kind", ["<f2", ">f2", "<f4", ">f8", "g", "u1", "i2"])
def test_maps_are_float64_before_they_are_quantised(tmp_path, kind):
    heat = np.linspace(0, 1, 12).reshape(3, 4)
    stored = (heat * 255 if kind == "u1" else heat).astype(kind)
    np.save(tmp_path / "a.npy", stored)
    read = read_map(tmp_path / "a.npy")
    assert read.dtype == np.float64
    assert np.array_equal(read, stored.astype(np.float64) / (255 if kind == "u1" else 1))
