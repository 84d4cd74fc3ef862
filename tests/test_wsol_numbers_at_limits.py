"""A rounded number never contradicts the verdict beside it, nor words a box they are said of."""

import dataclasses

import numpy as np
import pytest
from PIL import Image
from small_reports import block
from small_shifts import SQUARE, blob, localized

from eval.manifest import Split
from eval.metrics.failures import KINDS, failure_kinds
from wsol.attention_shift.page import make_card
from wsol.attention_shift.text import shift_rows, step_lines
from wsol.attention_shift.trace import trace_shift
from wsol.evaluation.metric_names import ERROR_KINDS
from wsol.report import read_run, write_report
from wsol.text import write_beside, write_ends
from wsol.workflows.evaluate_boxes import evaluate_boxes


@pytest.mark.parametrize(
    ("value", "limit", "digits", "wanted"),
    [
        (0.498, 0.5, 2, "0.498"),
        (0.5017, 0.5, 2, "0.502"),
        (0.49996, 0.5, 2, "0.49996"),
        (0.5, 0.5, 2, "0.50"),  # neither less nor more
        (0.494, 0.5, 2, "0.49"),
        (0.731, 0.5, 2, "0.73"),
        (1.0004, 1.0, 3, "1.0004"),
        (-0.04, 0, 1, "-0.04"),
        (-0.0, 0, 1, "0.0"),
        (np.nextafter(0.5, 0), 0.5, 2, "0.4999999999999999"),
    ],
)
def test_a_number_lies_on_its_own_side(value, limit, digits, wanted):
    assert write_beside(value, limit, digits) == wanted


def test_no_number_changes_sides():
    generator = np.random.default_rng(0)
    for limit in (0.0, 0.3, 0.5, 62.8):
        values = limit + generator.normal(size=300) * 10.0 ** -generator.integers(0, 12, 300)
        for value in values:
            text = write_beside(value, limit, 2)
            assert np.sign(float(text) - limit) == np.sign(value - limit)
            if abs(value - limit) > 0.01:
                assert text == f"{value:.2f}"
    assert write_ends(0.04, 3.21) == "+0.04 to +3.2"
    assert write_ends(-2.0, -0.01) == "-2.0 to -0.01"


def test_words_of_error_kinds_hold_for_every_box():
    """Each sentence, checked on boxes at random: areas of the box P, of objects, and shared."""
    generator = np.random.default_rng(0)
    seen, larger = set(), 0
    for _ in range(4000):
        corners = generator.integers(0, 60, (3, 2))
        boxes = np.hstack([corners, corners + generator.integers(1, 60, (3, 2))]).astype(float)
        box, true = boxes[:1], boxes[1 : 2 + generator.integers(0, 2)]
        sides = np.minimum(box[:, 2:], true[:, 2:]) - np.maximum(box[:, :2], true[:, :2])
        shared = sides.clip(0).prod(axis=1)
        own, objects = np.prod(box[0, 2:] - box[0, :2]), np.prod(true[:, 2:] - true[:, :2], axis=1)
        hit = (shared / (own + objects - shared)).max() >= 0.5
        kind = KINDS[failure_kinds(box, np.array([False]), np.array([hit]), true, "edges")[0]]
        seen.add(kind)
        if kind == "multi":  # covers more than 30 % of each of several objects
            assert (shared > 0.3 * objects).sum() > 1
        elif kind == "part":  # most of the box lies on one object; larger than it or not
            assert (shared > 0.5 * own).any()
            larger += bool((own > objects[shared > 0.5 * own]).any())
        elif kind == "more":  # most of an object, and at least as much beside it
            at = np.argmax(shared / objects)
            assert shared[at] > 0.5 * objects[at]
            assert own - shared[at] >= shared[at]
        elif kind == "miss":  # at most half of the box, at most 70 % of an object
            assert (shared <= 0.5 * own).all()
            assert (shared <= 0.7 * objects).all()
    assert seen == {"none", "multi", "part", "more", "miss"}
    assert larger > 10  # so that no word may call such a box a part
    assert "part" not in ERROR_KINDS["part"]


def test_steps_of_a_shift_agree_with_their_mark():
    """Two boxes of IoU 0.498 and 0.502: the first is another object, the second is not."""
    image = Image.new("RGB", (200, 100))
    shift = trace_shift(localized(blob(0.3, 0.5), blob(0.5, 0.5)), 0.2, SQUARE)
    for iou, another, wanted in (
        (0.4981, True, "0.498"),
        (0.502, False, "0.502"),
        (0.5, True, "0.50"),
    ):
        step = dataclasses.replace(
            shift.steps[1], iou_before=iou, iou_true=iou, another_object=another
        )
        changed = dataclasses.replace(
            shift, steps=(shift.steps[0], step), true_boxes=np.array([[0, 0, 9.0, 9]])
        )
        lines = step_lines(changed, 1)
        assert f"IoU with step 1: {wanted}" in lines
        assert f"IoU with truth: {wanted}" in lines
        row = make_card(image, changed, "magma")["steps"][1]
        assert row["iou_before"] == row["iou_true"] == wanted
        assert shift_rows(changed)[1][8] == f"IoU {write_beside(iou, 0.5, 3)}"


@pytest.mark.parametrize(("height", "wanted"), [(99.6, "0.498"), (100.3, "0.501"), (100, "0.50")])
def test_the_report_agrees_with_its_mark(tmp_path, height, wanted):
    """A box of the width of the true one, and of about half its height."""
    true = (np.array([[0, 0, 199, 199]]),)  # inclusive: 200 x 200 pixels
    data = Split("test", ("a.jpg",), np.array([0]), np.array([[448, 448]]), true)
    (tmp_path / "b.csv").write_text(f"id,x0,y0,x1,y1,score,label\na.jpg,0,0,200,{height},1,0\n")
    evaluate_boxes(data, tmp_path / "b.csv", protocol="clean", out=tmp_path / "run")
    page = write_report(tmp_path / "page", [read_run(tmp_path / "run")], None)
    text = page.read_text(encoding="utf-8")
    (own,) = block(text, "report")["images"][0]["runs"]
    assert own["iouText"] == wanted
    assert own["error"] == ("part" if height < 100 else "hit")
