"""Boxes of any program: from every format back to the same scores, and what is wrong with files."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from listeners import Counter
from small_maps import many, write_maps

from eval.coco import to_coco
from eval.geometry import pairwise_iou, to_edges
from eval.manifest import Split
from eval.protocols import find_protocol
from wsol import benchmark, compare, evaluate_maps
from wsol.errors import ArgumentError
from wsol.evaluation.comparison import ResultError, check_sums, read_results
from wsol.workflows.evaluate_boxes import evaluate_boxes

FORMATS = {
    "coco": "coco_results.json",
    "coco-dataset": "coco_dataset.json",
    "csv": "predictions.csv",
    "huggingface": "huggingface",
    "jsonl": "predictions.jsonl",
    "voc": "voc",
    "yolo": "yolo",
}
# On coarse grids, for speed.
PLAIN = replace(find_protocol("wsoleval"), name="plain", interval=0.01)
CLEAN = replace(find_protocol("clean"), name="clean-coarse", interval=0.01)
KEYS = ("gt_known_loc", "top1_loc", "top5_loc", "top1_cls", "top5_cls", "errors", "baselines")


def odd(count):
    """A split whose images have sides that no square's pixels fit, one of them empty of objects."""
    split = many(count)
    random = np.random.default_rng(1)
    sizes = random.integers(224, 700, (count, 2))
    low = (random.random((count, 2)) * sizes / 2).astype(int)
    boxes = np.hstack([low, np.minimum(low + sizes // 3, sizes - 1)])
    return Split("test", split.ids, split.labels, sizes, tuple(boxes[:, None]))


def write_table(path, rows, header="id,x0,y0,x1,y1,score,label"):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """An evaluation of maps, with predictions, that wrote its boxes in every format."""
    folder = tmp_path_factory.mktemp("own")
    data = odd(8)
    write_maps(data, folder / "maps")
    np.save(folder / "maps" / f"{data.ids[3]}.npy", np.zeros((224, 224)))  # gives no box
    rows = [(i, (row + row // 4 + k) % 3) for row, i in enumerate(data.ids) for k in range(3)]
    write_table(folder / "p.csv", rows, "id,label")
    choices = {"threshold": 0.4, "predictions": folder / "p.csv"}
    plain = evaluate_maps(
        data, folder / "maps", protocol=PLAIN, out=folder / "out", formats=[*FORMATS], **choices
    )
    clean = evaluate_maps(data, folder / "maps", protocol=CLEAN, **choices)
    return folder, data, {PLAIN.name: plain, CLEAN.name: clean}


@pytest.mark.parametrize("name", FORMATS)
def test_boxes_of_every_format_give_the_same_scores(own, tmp_path, name):
    folder, data, scored = own
    rules = [PLAIN] if name == "voc" else [PLAIN, CLEAN]  # VOC has whole pixels alone
    boxes = folder / "out" / FORMATS[name]
    for again in evaluate_boxes(data, boxes, protocol=rules, predictions=folder / "p.csv"):
        first, second = scored[again.protocol.name].to_dict(), again.to_dict()
        assert {key: first[key] for key in KEYS} == {key: second[key] for key in KEYS}
        assert second["box_acc"]["50"] == second["gt_known_loc"]  # one box an image
        for key in ("max_box_acc", "max_box_acc_v2", "max_box_acc_threshold", "curves", "pxap"):
            assert second[key] is None
        assert second["threshold"] == {"rule": None, "value": None, "chosen_on": None}


def test_voc_files_that_count_from_0_give_the_same_scores(own, tmp_path):
    folder, data, scored = own
    options = {"formats": ["voc"], "zero_based": True, "predictions": folder / "p.csv"}
    evaluate_maps(data, folder / "maps", protocol=PLAIN, threshold=0.4, out=tmp_path, **options)
    again = evaluate_boxes(data, tmp_path, protocol=PLAIN, predictions=folder / "p.csv")
    first, second = scored[PLAIN.name].to_dict(), again.to_dict()
    assert {key: first[key] for key in KEYS} == {key: second[key] for key in KEYS}
    with pytest.raises(ArgumentError, match="goes only with format voc") as fault:
        evaluate_maps(data, folder / "maps", out=tmp_path / "b", formats=["csv"], zero_based=True)
    assert fault.value.argument == "zero_based"


def test_boxes_are_compared_with_the_maps_that_they_are_of(own, tmp_path):
    folder, data, _ = own
    boxes = folder / "out" / "predictions.csv"
    evaluate_boxes(data, boxes, protocol=PLAIN, predictions=folder / "p.csv", out=tmp_path)
    (pair,) = compare(folder / "out", tmp_path)  # refuses what contradicts itself
    for name in ("gt_known_loc", "top1_loc", "top5_loc"):
        gap = pair.differences[name]
        assert (gap.gained, gap.lost, gap.low, gap.high) == (0, 0, 0, 0)
    assert "max_box_acc" not in pair.differences
    lines = (tmp_path / "images.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    first["boxes"][0] = first["box"] = [0, 0, 1, 1]
    (tmp_path / "images.jsonl").write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
    with pytest.raises(ResultError, match="another iou"):
        check_sums(read_results(tmp_path))


def test_the_largest_score_counts_and_any_box_for_box_accuracy(tmp_path):
    data = many(6)
    edges = [to_edges(boxes)[0] for boxes in data.boxes]
    rows = []
    for row, (image_id, box) in enumerate(zip(data.ids, edges, strict=True)):
        rows.append((image_id, *box, 0.9 if row < 2 else 0.1, data.labels[row]))
        rows.append((image_id, 0, 0, 3, 3, 0.5, (data.labels[row] + (row < 3)) % 3))
    found = evaluate_boxes(data, write_table(tmp_path / "b.csv", rows), coco=True)
    result = found.result
    assert result.gt_known_loc == pytest.approx(100 / 3)
    assert result.box_acc == {"30": 100, "50": 100, "70": 100}
    assert result.top1_cls == pytest.approx(500 / 6)
    assert result.top1_loc == pytest.approx(100 / 3)
    assert result.top5_loc is None
    assert 0 < found.coco["ap50"] < 100
    exact = evaluate_boxes(data, tmp_path / "b.csv", protocol="clean", out=tmp_path / "out")
    row = read_results(tmp_path / "out").rows[data.ids[5]]
    assert row["iou"] == pytest.approx(
        pairwise_iou([[0, 0, 3, 3]], to_edges(data.boxes[5])).max(), abs=1e-12
    )
    assert exact.result.gt_known_loc == result.gt_known_loc


def test_classes_that_tell_nothing_are_not_predictions(tmp_path):
    data = many(6)
    rows = [(i, *to_edges(b)[0], 1, n) for i, b, n in zip(data.ids, data.boxes, data.labels,
                                                          strict=True)]  # fmt: skip
    told = Counter()
    true = write_table(tmp_path / "true.csv", rows)
    assert evaluate_boxes(data, true, events=told).result.top1_loc is None
    assert "true class" in told.said[0]
    found = evaluate_boxes(data, true, class_map="predicted").result
    assert (found.top1_cls, found.top1_loc, found.gt_known_loc) == (100, 100, None)
    named = [(*row[:-1], f"n{row[-1]}" if row[0] != data.ids[0] else "elsewhere") for row in rows]
    file = write_table(tmp_path / "named.csv", named, "id,x0,y0,x1,y1,score,name")
    split = replace(data, class_names=("n0", "n1", "n2"))  # one is of a class that the data lacks
    assert evaluate_boxes(split, file).result.top1_cls == pytest.approx(500 / 6)
    one = write_table(tmp_path / "one.csv", [(*row[:-1], 1) for row in rows])
    assert evaluate_boxes(data, one, events=told).result.top1_cls is None
    assert "all boxes have one class" in told.said[-1]


def test_coco_results_know_images_by_numbers_or_names(tmp_path):
    data = many(6)
    results = [
        {"image_id": row + 1, "category_id": int((data.labels[row] + (row > 3)) % 3) + 1,
         "bbox": [*boxes[0][:2].tolist(), *(boxes[0][2:] - boxes[0][:2] + 1).tolist()],
         "score": 0.5}
        for row, boxes in enumerate(data.boxes)
    ]  # fmt: skip
    (tmp_path / "truth.json").write_text(json.dumps(to_coco(data)))
    (tmp_path / "found.json").write_text(json.dumps(results))
    with pytest.raises(ArgumentError, match="put the file of images that has these numbers"):
        evaluate_boxes(data, tmp_path / "found.json")
    numbered = evaluate_boxes(tmp_path / "truth.json", tmp_path / "found.json").result
    assert (numbered.gt_known_loc, numbered.top1_cls) == (100, pytest.approx(400 / 6))
    for each in results:
        each["image_id"] = data.ids[each["image_id"] - 1]
        each["category_id"] -= 1
    (tmp_path / "named.json").write_text(json.dumps(results))
    assert evaluate_boxes(data, tmp_path / "named.json").result == numbered


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("f.json", '[{"image_id": "0/0.jpg", "bbox": [1, 2, %s, 4]}]', "expected bbox to be x,y,w"),
        (
            "f.json",
            '[{"image_id": "0/0.jpg", "bbox": [1, 2, 3, 4], "score": %s}]',
            "expected score",
        ),
        (
            "f.jsonl",
            '{"file": "0/0.jpg", "width": 200, "height": 200, "predictions": '
            '[{"label": 0, "score": %s, "boxes": [], "box_scores": []}]}',
            "is no number",
        ),
    ],
)
def test_numbers_of_hundreds_of_digits(tmp_path, name, content, message):
    (tmp_path / name).write_text(content % ("9" * 400))
    with pytest.raises(ArgumentError, match=message):
        evaluate_boxes(many(6), tmp_path / name)


FAULTS = {
    "1 image missing: 0/0.jpg": lambda rows: rows[1:],
    "1 name of no image: 9/9.jpg": lambda rows: [*rows, ("9/9.jpg", *rows[0][1:])],
    "1 image doubled: 0/0.jpg": lambda rows: [*rows, ("/data/0/0.jpg", *rows[0][1:])],
    "1 image with labels beyond 0 to 2: 0/0.jpg": lambda rows: [(*rows[0][:-1], 7), *rows[1:]],
}


@pytest.mark.parametrize("message", FAULTS)
def test_faults_are_counted_and_named_and_can_be_allowed(tmp_path, message):
    data = many(6)
    rows = [(i, *to_edges(boxes)[0], 1, row % 2) for row, (i, boxes)
            in enumerate(zip(data.ids, data.boxes, strict=True))]  # fmt: skip
    file = write_table(tmp_path / "b.csv", FAULTS[message](rows))
    with pytest.raises(ArgumentError) as stop:
        evaluate_boxes(data, file)
    assert message in str(stop.value)
    assert stop.value.argument == "boxes"
    told = Counter()
    found = evaluate_boxes(data, file, protocol=PLAIN, allow_missing=True, events=told)
    assert any(message in line for line in told.said)
    whole = "no image" in message
    assert found.result.gt_known_loc == pytest.approx(100 if whole else 500 / 6)
    assert len(found.unreadable) == (0 if whole else 1)


def test_boxes_of_another_frame_are_named(tmp_path):
    data = odd(6)
    edges = [to_edges(boxes)[0] for boxes in data.boxes]

    def score(boxes, header="id,x0,y0,x1,y1", more=((),) * 6):
        rows = [(i, *box, *each) for i, box, each in zip(data.ids, boxes, more, strict=True)]
        return evaluate_boxes(data, write_table(tmp_path / "b.csv", rows, header)).result

    shares = [box / np.tile(size, 2) for box, size in zip(edges, data.sizes, strict=True)]
    with pytest.raises(ArgumentError, match="all of 6 lie from 0 to 1"):
        score(shares)
    with pytest.raises(ArgumentError, match="6 of 6 reach outside, such as in 0/0"):
        score([10 * box for box in edges])
    sized = [box * 224 for box in shares]
    found = score(sized, "id,x0,y0,x1,y1,width,height", ((224, 224),) * 6)
    assert found.gt_known_loc == 100
    swapped = [tuple(size[::-1]) for size in data.sizes.tolist()]
    with pytest.raises(ArgumentError, match="6 images with width and height swapped"):
        score(edges, "id,x0,y0,x1,y1,width,height", swapped)


@pytest.mark.slow
def test_maps_and_boxes_are_benchmarked_beside_each_other(own, tmp_path):
    folder, data, scored = own
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps(to_coco(data)))
    boxes = folder / "out" / "predictions.jsonl"
    out = tmp_path / "out"
    outcome = benchmark(
        truth,
        {
            "maps": f"maps:{folder / 'maps'},{folder / 'p.csv'}",
            "boxes": f"boxes:{boxes},{folder / 'p.csv'}",
        },
        tmp_path, thresholds=[0.4, "oracle"], out=out, report=tmp_path / "page",
    )  # fmt: skip
    rows = {(row.model, row.threshold): row for row in outcome.rows}
    assert len(rows) == 4
    gap = rows["boxes", "0.4"].values["gt_known_loc"].difference
    assert (gap.difference, gap.low, gap.high) == (0, 0, 0)
    assert rows["boxes", "oracle"].values["gt_known_loc"].difference.difference <= 0
    known = scored[PLAIN.name]
    for name in ("top1_loc", "top5_loc", "gt_known_loc"):
        for model in ("maps", "boxes"):
            assert rows[model, "0.4"].values[name].mean == getattr(known.result, name), (
                name,
                model,
            )
    with pytest.raises(ArgumentError, match=r"none.csv: no such file of predicted classes"):
        benchmark(truth, {"boxes": f"boxes:{boxes},{tmp_path / 'none.csv'}"}, tmp_path)
    assert "max_box_acc" not in rows["boxes", "0.4"].values
    with (out / "table.csv").open() as lines:
        levels = {row["model"]: row["levels"] for row in csv.DictReader(lines)}
    assert levels["boxes"] == ""
    page = (tmp_path / "page" / "index.html").read_text()
    assert "The boxes of boxes came without maps" in page
    differences = (tmp_path / "page" / "tables" / "differences.csv").read_text()
    assert "GT-known Loc" in differences
    assert "box accuracy" not in differences  # of maps: the best of all thresholds
    evaluate_boxes(truth, boxes, report=tmp_path / "alone")
    page = (tmp_path / "alone" / "index.html").read_text()
    assert "none, of boxes without maps" in page
    of_maps = ('id="curves"', "MaxBoxAcc", "Grid of thresholds", "--save-maps", "at the threshold")
    assert not any(word in page for word in of_maps)


def test_flags_of_maps_do_not_go_with_boxes(run, tmp_path):
    (tmp_path / "b.csv").write_text("id,x0,y0,x1,y1\n")
    for flag in (("--threshold", 0.2), ("--model", "resnet50"), ("--format", "csv")):
        code, _, err = run("evaluate", tmp_path, "--boxes", tmp_path / "b.csv", *flag)
        assert (code, flag[0] in err) == (2, True)
    code, _, err = run("evaluate", tmp_path, "--predictions", tmp_path / "b.csv")
    assert code == 2
    assert "--predictions: goes with --maps or --boxes" in err


def test_numbers_beyond_the_classes_change_no_other_label(tmp_path):
    data = many(6)
    for odd_one in (-1, 3, 44):
        rows = [
            (i, *to_edges(boxes)[0], 1, odd_one if row == 0 else data.labels[row])
            for row, (i, boxes) in enumerate(zip(data.ids, data.boxes, strict=True))
        ]
        file = write_table(tmp_path / "b.csv", rows)
        with pytest.raises(ArgumentError, match=r"1 image with labels beyond 0 to 2: 0/0.jpg"):
            evaluate_boxes(data, file)
    coco = [
        {"image_id": i, "category_id": int(label) + (10 if row == 0 else 0),
         "bbox": [0, 0, 5, 5], "score": 0.5}
        for row, (i, label) in enumerate(zip(data.ids, data.labels, strict=True))
    ]  # fmt: skip
    (tmp_path / "b.json").write_text(json.dumps(coco))
    with pytest.raises(ArgumentError, match=r"1 image with labels beyond 0 to 2: 0/0.jpg"):
        evaluate_boxes(data, tmp_path / "b.json")


def test_names_that_the_data_lacks_are_counted(tmp_path):
    data = replace(many(6), class_names=("cat", "dog", "gas pump"))
    names = [data.class_names[label] for label in data.labels]
    rows = [(i, *to_edges(boxes)[0], 1, name.replace(" ", "")) for i, boxes, name in
            zip(data.ids, data.boxes, names, strict=True)]  # fmt: skip
    told = Counter()
    file = write_table(tmp_path / "b.csv", rows, "id,x0,y0,x1,y1,score,name")
    found = evaluate_boxes(data, file, class_map="predicted", events=told).result
    assert found.top1_cls == pytest.approx(100 * (1 - names.count("gas pump") / 6))
    assert told.said == [f"{file}: 1 class none of the data's: gaspump"]


def test_boxes_of_smaller_copies_are_told_of(tmp_path):
    """Boxes in pixels of 224 x 224 copies, of images that are larger."""
    random = np.random.default_rng(2)
    sizes = random.integers(400, 700, (24, 2))
    shares = np.sort(random.random((24, 2, 2)), axis=1).reshape(24, 4)
    boxes = [box[None] for box in shares * np.tile(sizes, 2)]
    split = many(24)
    split = Split("test", split.ids, split.labels, sizes, tuple(boxes))
    for scale, words in ((224, "end within"), (None, "")):
        rows = [(i, *(share * (scale or np.tile(size, 2))))
                for i, share, size in zip(split.ids, shares, sizes, strict=True)]  # fmt: skip
        told = Counter()
        file = write_table(tmp_path / "b.csv", rows, "id,x0,y0,x1,y1")
        evaluate_boxes(split, file, protocol=PLAIN, events=told)
        assert [words in line for line in told.said] == [True] * bool(words)
