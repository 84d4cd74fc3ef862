"""Maps of every kind of number are counted as the standard evaluation counts them."""

import numpy as np
import pytest
from reference_wsoleval import count_hits
from small_maps import many, write_maps

from eval.protocols import find_protocol
from wsol import evaluate_maps


@pytest.mark.parametrize("kind", [np.float16, ">f2", np.float32])
def test_counts_at_every_threshold_are_the_standard_evaluations(tmp_path, kind):
    data = many(4)
    for image_id, heat in write_maps(data, tmp_path).items():
        np.save(tmp_path / f"{image_id}.npy", heat.astype(kind))
    curves = evaluate_maps(data, tmp_path).result.curves
    wanted = count_hits(tmp_path, data, find_protocol("wsoleval").thresholds)
    for mode, by_delta in wanted.items():
        for delta, counts in by_delta.items():
            assert curves[mode][delta] == counts.tolist(), (mode, delta)
