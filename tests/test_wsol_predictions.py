"""Classes that any program predicted, beside its maps: Top-1 and Top-5 Loc as of a network."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from listeners import Counter
from small_maps import many, write_maps

from eval.manifest import load_split
from eval.protocols import find_protocol
from eval.writing import write_data_set
from tdam import create_model
from wsol import compare, evaluate, evaluate_maps
from wsol.errors import ArgumentError
from wsol.shipped import manifests_folder

COARSE = replace(find_protocol("wsoleval"), name="coarse", interval=0.01)
PLACES = (0, 2, 4, 5, 6)  # of the photographs' classes among the network's seven


def write(path, rows, header="id,label"):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


@pytest.fixture
def data(tmp_path):
    """Six images of three classes and their maps."""
    split = many(6)
    write_maps(split, tmp_path / "maps")
    return split


def score(data, folder, predictions, **options):
    choices = {"protocol": COARSE, "threshold": 0.4, **options}
    return evaluate_maps(data, folder / "maps", predictions=predictions, **choices)


def test_maps_and_predictions_of_a_network_give_its_own_scores(photos, tmp_path, one_thread):
    torch.manual_seed(0)
    model = create_model("efficientnet_lite0", num_classes=7)
    torch.nn.init.normal_(model.classifier.weight, 0, 1e-3)
    model.classifier.bias.data = torch.arange(7.0, 0, -1)  # the first class is the likeliest
    data = load_split(manifests_folder() / "photos", "test")
    data = replace(data, labels=np.arange(len(data)), class_names=None, wnids=None)
    table = dict(enumerate(PLACES))
    rules = [COARSE]
    own = evaluate(model, data, photos, classes=table, threshold=0.2, protocol=rules,
                   out=tmp_path / "own", save_maps="float64")  # fmt: skip
    given = tmp_path / "own" / "top5.csv"
    assert len(given.read_text().splitlines()) == 1 + 5 * len(data)
    again = evaluate_maps(
        data, tmp_path / "own" / "maps", predictions=given, protocol=rules, threshold=0.2,
        out=tmp_path / "again",
    )  # fmt: skip
    assert [each.result for each in again] == [each.result for each in own]
    assert (own[0].result.top1_cls, own[0].result.top5_cls) == (20, 60)
    found = evaluate_maps(data, tmp_path / "own" / "maps", threshold=0.2)
    assert found.result.top1_loc is found.result.top5_cls is None
    compare(tmp_path / "own", tmp_path / "again")  # refuses what is not sound


def test_a_table_may_have_ranks_scores_or_neither(data, tmp_path):
    # the true class first on two images, second on two, and third on two
    order = [[(label + shift) % 3 for shift in (0, 1, 2)] for label in data.labels.tolist()]
    for row, classes in enumerate(order):
        classes.insert(row // 2, classes.pop(0))
    plain = [(i, c) for i, classes in zip(data.ids, order, strict=True) for c in classes]
    at = [1, 2, 3] * 6
    ranked = [(*row, rank) for row, rank in zip(plain, at, strict=True)]
    scored = [(*row, 1 / rank) for row, rank in zip(plain, at, strict=True)]
    random = np.random.default_rng(0)
    files = [
        write(tmp_path / "plain.csv", plain),
        write(tmp_path / "ranked.csv", random.permutation(ranked), "id,label,rank"),
        write(tmp_path / "scored.csv", random.permutation(scored), "id,label,score"),
        write(tmp_path / "named.csv", [(f"/elsewhere/{i}", c) for i, c in plain]),
    ]
    logits = np.zeros((6, 3), np.float32)
    for row, classes in enumerate(order):
        logits[row, classes] = (2, 1, 0)
    np.save(tmp_path / "logits.npy", logits)
    found = [score(data, tmp_path, file).result for file in (*files, tmp_path / "logits.npy")]
    assert all(each == found[0] for each in found)
    assert found[0].top1_cls == pytest.approx(100 / 3)
    assert found[0].top5_cls == 100  # of three classes all are listed
    assert found[0].top1_loc <= found[0].gt_known_loc == found[0].top5_loc
    only = score(data, tmp_path, write(tmp_path / "first.csv", plain[::3]), out=tmp_path / "only")
    assert (only.result.top1_loc, only.result.top1_cls) == (found[0].top1_loc, found[0].top1_cls)
    assert only.result.top5_loc is only.result.top5_cls is None
    score(data, tmp_path, files[0], out=tmp_path / "all")
    (pair,) = compare(tmp_path / "all", tmp_path / "only")
    assert {"top1_loc", "gt_known_loc"} <= set(pair.differences)
    assert "top5_loc" not in pair.differences


FAULTS = [
    (lambda rows: rows[1:], "1 image missing: 0/0.jpg"),
    (lambda rows: [*rows, rows[0]], "1 image doubled: 0/0.jpg"),
    (lambda rows: [*rows, ("9/9.jpg", 0, 1)], "1 name of no image: 9/9.jpg"),
    (lambda rows: [*rows[1:], ("0/0.jpg", 3, 1)], "1 image with labels beyond 0 to 2: 0/0.jpg"),
    (lambda rows: [*rows[1:], ("0/0.jpg", 0, 6)], "1 image with ranks beyond 1 to 5: 0/0.jpg"),
    (lambda rows: [*rows, ("0/0.jpg", 1, 3)], "1 image with ranks left out: 0/0.jpg"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), FAULTS)
def test_faults_are_counted_and_named_and_can_be_allowed(data, tmp_path, change, message):
    rows = [
        (image_id, int(label), 1) for image_id, label in zip(data.ids, data.labels, strict=True)
    ]
    file = write(tmp_path / "p.csv", change(rows), "id,label,rank")
    with pytest.raises(ArgumentError, match="one of each, but got") as stop:
        score(data, tmp_path, file)
    assert stop.value.argument == "predictions"
    assert message in str(stop.value)
    told = Counter()
    found = score(data, tmp_path, file, allow_missing=True, events=told).result
    assert any(message in line for line in told.said)
    whole = "no image" in message
    assert found.top1_cls == pytest.approx(100 if whole else 500 / 6)


def test_many_faults_are_a_line(tmp_path):
    data = many(40)
    write_maps(data, tmp_path / "maps")
    with pytest.raises(ArgumentError) as stop:
        score(data, tmp_path, write(tmp_path / "p.csv", [("0/0.jpg", 0)]))
    assert "39 images missing: 1/1.jpg" in str(stop.value)
    assert "and 29 more" in str(stop.value)
    np.save(tmp_path / "short.npy", np.zeros((39, 3)))
    with pytest.raises(ArgumentError, match="a row for each of 40 images"):
        score(data, tmp_path, tmp_path / "short.npy")
    np.save(tmp_path / "wide.npy", np.zeros((40, 7)))
    with pytest.raises(ArgumentError, match=r"3 classes but got 7 columns; --classes"):
        score(data, tmp_path, tmp_path / "wide.npy")


def test_many_missing_maps_are_named_in_a_few_lines(run, tmp_path):
    classes = [{"label": label, "name": f"n{label}"} for label in range(3)]
    write_data_set(tmp_path / "data", [many(40)], description="", licence="", classes=classes,
                   root=tmp_path)  # fmt: skip
    (tmp_path / "maps").mkdir()
    code, _, err = run(
        "evaluate", tmp_path / "data", "--maps", tmp_path / "maps", "--allow-missing"
    )
    assert code == 0
    assert err.count("expected a map") == 10
    assert "and 30 more" in err
    assert "40 maps could not be read: counted as missed" in err


def test_the_table_of_a_network_has_its_outputs_beside_the_labels(data, tmp_path):
    rows = [(i, "", 1, 9) for i in data.ids[:3]] + [(i, 0, 1, 0) for i in data.ids[3:]]
    file = write(tmp_path / "p.csv", rows, "id,label,rank,output")
    found = score(data, tmp_path, file, out=tmp_path / "out").result
    assert found.top1_cls == pytest.approx(100 / 6)  # labels are 0, 1, 2, 0, 1, 2
    with (tmp_path / "out" / "top5.csv").open() as lines:
        assert [row["label"] for row in csv.DictReader(lines)] == ["", "", "", "0", "0", "0"]


def test_classes_may_be_named(data, tmp_path):
    named = replace(data, class_names=("cat", "dog", "gas pump"), wnids=("n1", "n2", "n3"))
    for names in (named.class_names, named.wnids, ("0", "1", "2")):
        rows = [(i, names[label]) for i, label in zip(data.ids, data.labels, strict=True)]
        assert score(named, tmp_path, write(tmp_path / "p.csv", rows)).result.top1_cls == 100
    with pytest.raises(ArgumentError, match="gaspump"):
        score(named, tmp_path, write(tmp_path / "p.csv", [(data.ids[0], "gaspump")]))


def test_scores_tell_which_images_have_no_prediction(data, tmp_path):
    rows = [(i, label) for i, label in zip(data.ids, data.labels, strict=True)][2:]
    found = score(data, tmp_path, write(tmp_path / "p.csv", rows), allow_missing=True)
    assert found.to_dict()["unpredicted"] == list(data.ids[:2])
    assert found.result.top1_cls == pytest.approx(400 / 6)
