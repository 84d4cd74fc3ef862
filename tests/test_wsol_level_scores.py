import cv2
import numpy as np
import pytest

from eval.metrics.failures import KINDS
from eval.metrics.localization import LocalizationScores
from eval.metrics.true_boxes import true_boxes_in_square
from eval.protocols import PROTOCOLS
from wsol.evaluation.level_scores import levels_of, read_trace, trace_map
from wsol.heatmap import to_heatmap

WSOLEVAL, TDAM, CLEAN = (PROTOCOLS[name] for name in ("wsoleval", "tdam", "clean"))


def cases(found, protocol):
    """Heat map and true boxes in the square of every image of a vector file."""
    for row, cam in enumerate(found["cams"]):
        true = found["gt_boxes"][found["gt_owner"] == row]
        size = tuple(found["sizes_wh"][row].tolist())
        heat = to_heatmap(cam, (224, 224), protocol.interpolation)
        yield row, heat, true_boxes_in_square(true, size, protocol)


@pytest.mark.parametrize("name", ["imagenet10_cam", "cub10_cam"])
def test_overlaps_and_counts_equal_the_standard_evaluation(vectors, name):
    found = np.load(vectors / f"{name}.npz")
    total = LocalizationScores(WSOLEVAL)
    for row, heat, true in cases(found, WSOLEVAL):
        trace = trace_map(heat, true, WSOLEVAL)
        overlaps = trace["overlaps"][:, levels_of(trace, WSOLEVAL.thresholds)]
        for mode, key in enumerate(("best_iou_single", "best_iou_multi")):
            assert np.array_equal(overlaps[mode].astype(np.float32), found[key][row])
        total.update(read_trace(str(row), trace, true, None, WSOLEVAL, WSOLEVAL.thresholds))
    curves = total.compute().curves
    for mode, key in (("largest", "best_iou_single"), ("all", "best_iou_multi")):
        for delta in (30, 50, 70):
            expected = (found[key] >= delta / 100).sum(axis=0).tolist()
            assert curves[mode][str(delta)] == expected


def literal_tdam_box(raw):
    """The published rule, step by step: colours, grey, threshold 38, most points, more than 15."""
    big = cv2.resize(raw.astype(np.float32), (224, 224), interpolation=cv2.INTER_LINEAR)
    scaled = np.rint((big - big.min()) / (big.max() - big.min()) * 155).astype(np.uint8)
    grey = cv2.cvtColor(cv2.applyColorMap(scaled, cv2.COLORMAP_JET), cv2.COLOR_BGR2GRAY)
    foreground = (grey > 38).astype(np.uint8)
    contours, _ = cv2.findContours(foreground, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    best = max(contours, key=len)
    if len(best) <= 15:
        return [0, 0, 0, 0]
    x, y, width, height = cv2.boundingRect(best)
    return [x, y, x + width, y + height]


@pytest.mark.parametrize("name", ["imagenet10_cam", "cub10_cam"])
def test_tdam_boxes_equal_the_published_rule(vectors, name):
    found = np.load(vectors / f"{name}.npz")
    for row, heat, true in cases(found, TDAM):
        trace = trace_map(heat, true, TDAM)
        at = levels_of(trace, np.array([TDAM.threshold]))[0]
        assert at == 36
        assert trace["boxes"][at].tolist() == literal_tdam_box(found["cams"][row])


def test_clean_overlaps_by_counting_area():
    heat = np.zeros((224, 224))
    heat[10:20, 30:50] = 1
    true = np.array([[30.0, 10.0, 50.0, 25.0]])
    trace = trace_map(heat, true, CLEAN)
    assert trace["boxes"][0].tolist() == [30, 10, 50, 20]
    assert trace["overlaps"][0, 0] == 10 / 15
    inclusive = trace_map(heat, np.array([[30, 10, 49, 24]]), WSOLEVAL)
    assert inclusive["overlaps"][0, 0] == 20 * 11 / (21 * 11 + 20 * 15 - 20 * 11)


@pytest.mark.parametrize("protocol", [WSOLEVAL, TDAM, CLEAN], ids=lambda p: p.name)
def test_a_map_of_nothing_is_blank(protocol):
    true = np.array([[50, 50, 100, 100]])
    trace = trace_map(np.zeros((224, 224)), true, protocol)
    outcome = read_trace("x", trace, true, 0, protocol, protocol.thresholds)
    assert not outcome.hits.any()
    assert {KINDS[kind] for kind in outcome.kinds} == {"blank"}
    assert trace["overlaps"].max() == 0


def test_the_whole_threshold_range_has_an_answer():
    heat = to_heatmap(np.random.default_rng(0).random((7, 7)), (224, 224))
    true = np.array([[0, 0, 223, 223]])
    trace = trace_map(heat, true, WSOLEVAL)
    outcome = read_trace("x", trace, true, 0, WSOLEVAL, np.array([0.0, 1.0]))
    assert outcome.hits[0, :, 0].all()
    assert KINDS[outcome.kinds[1]] == "blank"  # nothing exceeds the maximum
    assert outcome.baselines == (True, True)
