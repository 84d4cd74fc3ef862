import sys
from types import SimpleNamespace

import numpy as np
import pytest
from small_results import FIRST, NAMES, SECOND


def check_detections(detections):
    assert detections.xyxy.dtype == detections.confidence.dtype == np.float32
    np.testing.assert_array_equal(
        detections.xyxy, [[1.25, 2, 30, 39.5], [0, 0, 60, 40], [5, 6, 7, 8]]
    )
    np.testing.assert_allclose(detections.confidence, [0.9, 0.5, 0.9])
    assert detections.class_id.dtype.kind == "i"
    assert detections.class_id.tolist() == [1, 1, 0]
    assert detections.data["class_name"].tolist() == [NAMES[1], NAMES[1], NAMES[0]]


def test_arrays_for_supervision(monkeypatch):
    module = SimpleNamespace(Detections=SimpleNamespace)
    monkeypatch.setitem(sys.modules, "supervision", module)
    check_detections(FIRST.to_supervision())
    assert SECOND.to_supervision().xyxy.shape == (0, 4)


def test_supervision_takes_them():
    supervision = pytest.importorskip("supervision")
    detections = FIRST.to_supervision()
    assert isinstance(detections, supervision.Detections)
    check_detections(detections)
    assert detections[detections.class_id == 0].data["class_name"].tolist() == [NAMES[0]]
    assert SECOND.to_supervision().is_empty()
    assert len(supervision.Detections.merge([detections, detections])) == 6


def test_supervision_may_be_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match="pip install supervision"):
        FIRST.to_supervision()
