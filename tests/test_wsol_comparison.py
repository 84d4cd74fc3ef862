import numpy as np
import pytest
import torch
import torchvision
from shapes import make_shapes
from small_maps import many, write_maps

from tdam.preprocessing import Preprocessing
from wsol import evaluate, evaluate_maps
from wsol.evaluation.comparison import ResultError, compare_results, read_results
from wsol.evaluation.map_files import MapWriter


def test_comparison_of_two_runs(tmp_path):
    data = many(60)
    for name, seed in (("one", 0), ("two", 1)):
        random = np.random.default_rng(seed)
        writer = MapWriter(tmp_path / name, "float16")
        for image_id, boxes in zip(data.ids, data.boxes, strict=True):
            heat = np.zeros((224, 224))
            x0, y0, x1, y1 = (boxes[0] * 1.12).astype(int) + random.integers(-25, 25, 4)
            heat[max(y0, 0) : max(y1, y0 + 1), max(x0, 0) : max(x1, x0 + 1)] = 1
            writer.write(image_id, writer.encode(heat))
        evaluate_maps(data, tmp_path / name, threshold=0.5, out=tmp_path / f"{name}-out")
    runs = [read_results(tmp_path / f"{name}-out") for name in ("one", "two")]
    found = compare_results(*runs)
    each = found["gt_known_loc"]
    values = [run.scores["gt_known_loc"] for run in runs]
    assert [each.first, each.second] == values
    pairs = [(runs[0].rows[i]["error"] is None, runs[1].rows[i]["error"] is None) for i in data.ids]
    assert each.gained == pairs.count((False, True)) > 0
    assert each.lost == pairs.count((True, False)) > 0
    assert 100 * (each.gained - each.lost) / 60 == pytest.approx(each.difference)
    # The paired interval, by the plain bootstrap over pairs.
    change = np.array([after - before for before, after in np.array(pairs, int)])
    random = np.random.default_rng(0)
    plain = [100 * change[random.integers(0, 60, 60)].mean() for _ in range(4000)]
    assert [each.low, each.high] == pytest.approx(np.percentile(plain, [2.5, 97.5]).tolist(), abs=3)
    assert "top1_loc" not in found  # maps alone know no classes
    same = compare_results(runs[0], runs[0])["max_box_acc_v2"]
    assert (same.difference, same.low, same.high) == (0, 0, 0)


def test_runs_that_cannot_be_compared(tmp_path):
    write_maps(many(9), tmp_path / "maps")
    evaluate_maps(many(9), tmp_path / "maps", out=tmp_path / "a")
    evaluate_maps(many(9), tmp_path / "maps", out=tmp_path / "b", protocol="clean")
    evaluate_maps(many(8), tmp_path / "maps", out=tmp_path / "c", allow_missing=True)
    first, *others = (read_results(tmp_path / name) for name in "abc")
    with pytest.raises(ResultError, match="expected protocol 'wsoleval'"):
        compare_results(first, others[0])
    with pytest.raises(ResultError, match="same images"):
        compare_results(first, others[1])
    with pytest.raises(ResultError, match="finished evaluation"):
        read_results(tmp_path / "maps")


@pytest.mark.fault("numbers: scores that their images contradict")
@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("images.jsonl", '"centre_box": false', '"centre_box": true'),
        ("scores.json", '"gt_known_loc": ', '"gt_known_loc": 1'),
        ("scores.json", '"max_box_acc_v2": ', '"max_box_acc_v2": 1'),
    ],
)
def test_scores_that_their_images_contradict_are_not_compared(tmp_path, name, before, after):
    write_maps(many(9), tmp_path / "maps")
    for out in "ab":
        evaluate_maps(many(9), tmp_path / "maps", threshold=0.5, out=tmp_path / out)
    path = tmp_path / "b" / name
    text = path.read_text()
    path.write_text(text.replace(before, after, 1))
    assert path.read_text() != text
    with pytest.raises(ResultError, match="adds up to"):
        compare_results(*(read_results(tmp_path / out) for out in "ab"))


def test_boxes_outside_the_crop_are_none_of_what_is_compared(tmp_path):
    data = make_shapes(tmp_path / "data", {"test": 2})
    # Of 64 x 48 pixels protocol tdam shows x 11 to 53 and y 3 to 45.
    file = data / "manifest" / "test" / "localization.txt"
    boxes = dict(line.split(",", 1) for line in file.read_text().split())
    first, second, third, *others = boxes
    boxes |= {first: f"{boxes[first]}\n{first},0,0,5,40", third: "56,2,63,40"}
    boxes[second] += f"\n{second},10,10,30,30\n{second},54,0,63,2"
    file.write_text("\n".join(f"{image_id},{box}" for image_id, box in boxes.items()))
    network = torchvision.models.resnet18(num_classes=3)
    rules = Preprocessing(size=32)
    for name, images in (("one", data), ("two", data)):
        with torch.no_grad():
            network.fc.weight.normal_()
        evaluate(
            network, data, images, protocol="tdam", threshold=0.2, method="layercam",
            layer="layer4", preprocessing=rules, out=tmp_path / name,
        )  # fmt: skip
    runs = [read_results(tmp_path / name) for name in ("one", "two")]
    shown = [row["true_boxes_shown"] for row in runs[0].rows.values()]
    assert shown == [1, 2, 0, *(1 for _ in others)]
    scores = runs[0].scores
    assert (scores["several_true_boxes"], scores["without_true_box"]) == (pytest.approx(1 / 6), 1)
    compare_results(*runs)
    # The record tells what was shown, and no more than there is.
    lines = tmp_path / "two" / "images.jsonl"
    lines.write_text(lines.read_text().replace('"true_boxes_shown": 2', '"true_boxes_shown": 4'))
    with pytest.raises(ResultError, match="true_boxes_shown to be from 0 to 3"):
        compare_results(runs[0], read_results(tmp_path / "two"))
