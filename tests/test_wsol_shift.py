import json

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from small_shifts import NAMES, SMALL, SQUARE, blob, localized, network

from eval.splits import Split
from wsol import Localizer
from wsol.attention_shift.figures import draw_frames, draw_strip, save_animation
from wsol.attention_shift.page import make_card
from wsol.attention_shift.text import scale_text, shorten, step_lines
from wsol.attention_shift.trace import shows_another, trace_shift
from wsol.attention_shift.true_boxes import TrueBoxes
from wsol.contours import contour_lines
from wsol.fonts import displayable
from wsol.overlays import colour, overlay
from wsol.palette import step_colours
from wsol.results import Localization, Step
from wsol.text import percent

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def noise():
    return Image.effect_noise((90, 60), 90).convert("RGB")


def test_all_steps_are_on_one_scale(noise):
    """By hand, from what the network itself puts out: class weights on features, bicubic."""
    model = network(3)
    with Localizer(model, "cam", preprocessing=SMALL) as locate:
        one = locate(noise, labels=2)
        shift = trace_shift(one, locate.threshold, locate.preprocessing)
    with torch.inference_mode():
        outputs = model.forward_steps(SMALL(noise)[None])
        weights = model.get_submodule(model.spec.classifier).weight[2]
        raw = torch.einsum("c,tchw->thw", weights, outputs.features[0]).numpy()
        chances = outputs.logits[0].softmax(dim=1)
        raw = raw / len(weights)  # the mean over channels
    large = [cv2.resize(each, (64, 64), interpolation=cv2.INTER_CUBIC) for each in raw]
    low, high = np.min(large), np.max(large)
    for step, values in zip(shift.steps, large, strict=True):
        np.testing.assert_allclose(step.map, (values - low) / (high - low), atol=1e-5)
    assert (shift.low, shift.high) == (pytest.approx(low, rel=1e-5), pytest.approx(high, rel=1e-5))
    assert min(step.map.min() for step in shift.steps) == 0
    assert max(step.map.max() for step in shift.steps) == 1
    np.testing.assert_allclose(shift.difference, large[2] - large[0], atol=1e-5)
    for step, chance in zip(shift.steps, chances, strict=True):
        assert step.score == pytest.approx(float(chance[2]), abs=1e-6)
        assert step.top.label == int(chance.argmax())
        assert step.top.name == NAMES[step.top.label]
        assert step.top.score == pytest.approx(float(chance.max()), abs=1e-6)
    np.testing.assert_array_equal(shift.steps[-1].box, one.boxes[0])  # predict's own


def test_equal_values_get_equal_colours_and_a_dim_step_stays_dim():
    shift = trace_shift(localized(blob(0.3, 0.5), blob(0.3, 0.5, peak=0.25)), 0.5, SQUARE)
    bright, dim = shift.steps
    assert (bright.map.max(), dim.map.max()) == (pytest.approx(1), pytest.approx(0.25, abs=0.01))
    np.testing.assert_array_equal(bright.box, dim.box)  # each by its own map
    assert dim.level == pytest.approx(0.25 * bright.level, abs=0.01)
    view = Image.new("RGB", (64, 32), (90, 90, 90))
    drawn = [overlay(view, s.map, shift.region, (200, 100), "magma") for s in shift.steps]
    brightest = [np.asarray(each.convert("L")).max() for each in drawn]
    assert brightest[0] > brightest[1] + 60
    middle = np.asarray(drawn[1])[16, 19]
    grey = 0.5 + 0.75 * (90 / 255 - 0.5)
    blended = 0.68 * colour(dim.map[32, 19], "magma") + 0.32 * grey
    np.testing.assert_allclose(middle / 255, blended, atol=0.02)


@pytest.mark.parametrize("threshold", [0.1, 0.2, 0.5, 0.8])
@pytest.mark.parametrize("place", [(0.3, 0.6), (0.05, 0.5), (0.95, 0.98)])
def test_contour_and_box_agree(threshold, place):
    """At most half a pixel of the square apart, also where the border cuts the region."""
    shift = trace_shift(localized(blob(*place, base=-3), blob(0.5, 0.5, peak=7)), threshold, SQUARE)
    for step in shift.steps:
        (line,) = contour_lines(step.map, step.level, shift.region)
        np.testing.assert_array_equal(line[0], line[-1])
        around = np.concatenate([line.min(axis=0), line.max(axis=0)])
        half = np.array([200, 100, 200, 100]) / 64 / 2
        assert (np.abs(around - step.box) <= half + 0.3).all()
        reached = (step.map >= step.level - 1e-9).mean()
        assert reached == pytest.approx(step.area, abs=1e-3)


def test_centroid_and_its_way():
    shift = trace_shift(localized(blob(0.25, 0.5), blob(0.25, 0.5), blob(0.5, 0.25)), 0.2, SQUARE)
    first, second, third = shift.steps
    assert first.centroid == pytest.approx((50, 50), abs=1)
    assert third.centroid == pytest.approx((100, 25), abs=1)
    assert (first.shift, second.shift) == (None, 0)
    assert third.shift == pytest.approx(np.hypot(50, 25), abs=1.5)
    assert shift.path_length == third.shift
    assert (first.iou_before, second.iou_before, third.iou_before) == (None, 1, 0)


def test_centroid_is_the_mean_of_mass_above_the_threshold():
    raw = np.zeros((64, 64), np.float32)
    raw[10:20, 8:16], raw[40:44, 50:60], raw[60, 60] = 1.0, 0.5, 0.1
    (step,) = trace_shift(localized(raw, width=64, height=64), 0.2, SQUARE).steps
    masses, xs, ys = [80, 20], [12, 55], [15, 42]
    assert step.centroid == pytest.approx((np.average(xs, weights=masses),
                                           np.average(ys, weights=masses)))  # fmt: skip
    assert step.area == pytest.approx(120 / 64**2)
    assert step.box.tolist() == [8, 10, 16, 20]


def test_iou_with_the_truth():
    shift = trace_shift(localized(blob(0.5, 0.5)), 0.2, SQUARE, np.array([[0, 0, 1, 1]]))
    own = shift.steps[0].box
    for boxes, iou in (([own], 1), ([[0, 0, 1, 1], own], 1), ([[0, 0, 1, 1]], 0), ([], None)):
        again = trace_shift(localized(blob(0.5, 0.5)), 0.2, SQUARE, np.array(boxes))
        assert again.steps[0].iou_true == iou
    blank = localized(np.ones((4, 4), np.float32))
    assert trace_shift(blank, 0.2, SQUARE, np.array([own])).steps[0].iou_true == 0


A, B = (0, 0, 10, 10), (20, 0, 30, 10)
HALF = (0, 0, 10, 5)  # of A: IoU exactly one half
MORE = (0, 0, 10, 6)


@pytest.mark.parametrize(
    ("boxes", "marked"),
    [
        ([A], [0]),  # the first is never another
        ([A, A], [0, 0]),
        ([A, B], [0, 1]),
        ([A, HALF], [0, 1]),  # one half is not more than one half
        ([A, MORE], [0, 0]),
        ([A, B, A], [0, 1, 0]),  # back at an object that was seen
        ([A, B, B], [0, 1, 0]),  # the same other one
        ([A, None, B], [0, 0, 1]),
        ([None, A], [0, 0]),  # nothing earlier to differ from
        ([None, A, B], [0, 0, 1]),
        ([A, HALF, MORE], [0, 1, 0]),
    ],
)
def test_another_object(boxes, marked):
    arrays = [None if box is None else np.array(box, float) for box in boxes]
    assert [shows_another(box, arrays[:i]) for i, box in enumerate(arrays)] == list(
        map(bool, marked)
    )


def test_another_object_is_marked_where_the_map_jumps():
    shift = trace_shift(localized(blob(0.2, 0.5), blob(0.8, 0.5), blob(0.2, 0.5)), 0.2, SQUARE)
    assert [step.another_object for step in shift.steps] == [False, True, False]


@pytest.mark.parametrize("odd", [np.full((4, 4), 2.0), np.full((4, 4), np.nan)])
def test_a_flat_or_broken_map_among_others(odd):
    shift = trace_shift(localized(blob(0.3, 0.3), odd.astype(np.float32)), 0.2, SQUARE)
    step = shift.steps[1]
    assert (step.box, step.level, step.centroid, step.shift, step.area) == (None,) * 4 + (0,)
    assert json.dumps(shift.to_dict(), allow_nan=False)
    if np.isfinite(odd).all():
        assert (step.map == 1).all()
        assert shift.steps[0].map.max() < 0.6  # the flat one is the highest
    card = make_card(Image.new("RGB", (20, 10)), shift, "magma")
    assert (card["steps"][1]["map"] is None) == bool(np.isnan(odd).any())


def test_nothing_but_flat_maps():
    flat = np.full((4, 4), 3.0, np.float32)
    shift = trace_shift(localized(flat, flat), 0.2, SQUARE)
    assert (shift.low, shift.high) == (3, 3)
    assert not shift.difference.any()
    assert len(draw_frames(Image.new("RGB", (8, 8)), shift)) == 2


def test_rounding_is_no_pattern():
    raw = blob(0.5, 0.5, base=1)
    light = np.float32(1) - np.float32(6e-8) * (blob(0.2, 0.2) > 0.5)
    shift = trace_shift(
        localized(raw, raw * np.float32(1 + 1e-7), searchlights={"x": light[None]}), 0.2, SQUARE
    )
    assert shift.difference.any()
    assert shift.greatest_change == 0
    card = make_card(Image.new("RGB", (20, 10)), shift, "magma")
    assert card["lights"][0]["flat"] == "1.000"
    assert len(card["difference"]["bar"]) == 1


def test_steps_without_raw_maps_are_refused():
    bare = Step(np.eye(4), 0.5, (0, 0, 9, 9))
    record = Localization(0, "x", 0.5, np.zeros((0, 4)), np.zeros(0), (bare,), 9, 9)
    with pytest.raises(ValueError, match="raw maps"):
        trace_shift(record, 0.2, SQUARE)


@pytest.mark.parametrize(
    ("steps", "distance"), [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (1, 0), (4, 0)]
)
def test_steps_and_searchlights(steps, distance, noise):
    model = network(steps, distance)
    with torch.inference_mode():
        outputs = model.forward_steps(SMALL(noise)[None])
    blocks = model.searchlight_blocks()
    count = steps if distance == 0 else steps - 1
    assert len(blocks) == len(outputs.searchlights)
    assert bool(blocks) == (count > 0)
    chosen = blocks[::-3]
    with Localizer(model, preprocessing=SMALL, searchlights=chosen) as locate:
        shift = trace_shift(locate([noise, noise])[1], locate.threshold, locate.preprocessing)
    assert len(shift.steps) == len(shift.to_dict()["steps"]) == steps
    assert list(shift.searchlights) == chosen
    for name in chosen:
        wanted = outputs.searchlights[blocks.index(name)][0].numpy()
        assert len(wanted) == count
        np.testing.assert_allclose(shift.searchlights[name], wanted, atol=1e-6)
    card = make_card(noise, shift, "jet")
    assert len(card["steps"]) == steps
    assert (card["difference"] is None) == (steps == 1)
    assert [len(light["maps"]) for light in card["lights"]] == [count] * len(chosen)


def test_searchlights_of_unknown_blocks():
    with pytest.raises(ValueError, match=r"searchlights from .*blocks\.6\.0 but got 'x'"):
        Localizer(network(2), searchlights=["x"])
    with pytest.raises(ValueError, match="one step"):
        Localizer(network(1), searchlights=["blocks.6.0"])


@pytest.mark.parametrize("steps", [1, 5])
def test_pictures(steps, tmp_path):
    raws = [blob(0.15 + 0.15 * i, 0.5, peak=1 + i) for i in range(steps)]
    lights = {"layer4.1": np.stack([blob(0.5, 0.5)] * max(steps - 1, 1))}
    shift = trace_shift(
        localized(*raws, searchlights=lights), 0.3, SQUARE, np.array([[20, 20, 80, 80]])
    )
    photo = Image.new("RGB", (200, 100), (120, 90, 60))
    figure = draw_strip(photo, shift)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title for title in titles if title.startswith("step 1")]
    assert (f"step {steps} less step 1" in titles) == (steps > 1)
    texts = " ".join(text.get_text() for axes in figure.axes for text in axes.texts)
    assert ("one step" in texts) == (steps == 1)
    frames = draw_frames(photo, shift)
    save_animation(frames, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as saved:
        assert getattr(saved, "n_frames", 1) == steps
        assert saved.size == frames[0].size


def test_boxes_go_from_light_to_dark():
    for count in range(1, 6):
        shades = [int(shade[3:5], 16) for shade in step_colours(count)]
        assert len(shades) == count
        assert shades == sorted(shades, reverse=True)
        assert len(set(shades)) == count


def test_texts():
    shift = trace_shift(localized(blob(0.2, 0.5), blob(0.8, 0.5), tops=[3, 1]), 0.2, SQUARE)
    assert step_lines(shift, 0)[0] == "top-1: class 3 60 %"
    assert step_lines(shift, 1)[3] == "IoU with step 1: 0.00"
    assert [percent(share) for share in (0, 0.004, 0.5, 0.996, 1)] == [
        "0 %", "0.4 %", "50 %", "99.6 %", "100 %"]  # fmt: skip
    assert displayable("a\n\u202eb\udcff") == "a\ufffd\ufffdb\ufffd"
    assert scale_text(-1e-7, 0, span=0.05) == "0.0000"
    assert shorten("日本の猫の名前", 9) == "日本…名前"


def test_true_boxes_by_path():
    ids = ("a.png", "deep/a.png", "deep/b.png")
    sizes = np.array([[9, 9], [8, 6], [4, 4]])
    boxes = tuple(np.array([[i, 0, 3, 3]]) for i in range(3))
    truth = TrueBoxes(Split("x", ids, np.zeros(3, int), sizes, boxes))
    assert truth.find("other/a.png", (9, 9)).tolist() == [[0, 0, 4, 4]]  # outer edges
    assert truth.find("/far/deep/a.png", (8, 6)).tolist() == [[1, 0, 4, 4]]  # the longest id
    assert truth.find("b.png", (4, 4)) is None
    with pytest.raises(ValueError, match=r"4 x 4 pixels.* but got 8 x 8"):
        truth.find("deep/b.png", (8, 8))
    with pytest.raises(ValueError, match="holds none"):
        TrueBoxes(Split("x", ids, np.zeros(3, int)))
