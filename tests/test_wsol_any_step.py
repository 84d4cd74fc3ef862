"""The any-step rule over a data set, against its words and runs of single steps."""

import json
from dataclasses import replace
from html import escape
from itertools import chain, count

import numpy as np
import pytest
import torch
from listeners import KillError, Stopper
from shapes import make_shapes

from tdam import create_model, save_checkpoint
from tdam.preprocessing import Preprocessing
from wsol import evaluate
from wsol.cli.score_tables import print_evaluation
from wsol.errors import ArgumentError
from wsol.evaluation.any_step import GuessScorer
from wsol.evaluation.comparison import compare_results, read_results
from wsol.evaluation.resume_file import ResumeError
from wsol.evaluation.told import tell_steps

SMALL = Preprocessing(size=64)
STEPS = 3
NAMES = ("gt_known_loc", "top1_loc", "top5_loc", "top1_cls", "top5_cls")


def make_network(seed=0, classes=6, **settings):
    """A network whose steps differ in classes, boxes and probabilities."""
    torch.manual_seed(seed)
    network = create_model("resnet18", num_classes=classes, output_stride=16, **settings)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.2, 1.5)
            torch.nn.init.normal_(module.bias, std=0.5)
    torch.nn.init.normal_(network.fc.weight, std=0.05)
    return network.eval()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_shapes(tmp_path_factory.mktemp("shapes"), {"val": 1, "test": 3})


@pytest.fixture(scope="module")
def network():
    return make_network(attention="tdam", steps=STEPS)


@pytest.fixture(scope="module")
def partner():
    network = make_network(1)
    # A spec of one's own, since evaluate asks for no second preprocessing.
    network.spec = replace(network.spec, preprocessing=SMALL)
    return network


@pytest.fixture(scope="module")
def score(data):
    def call(network, **options):
        shared = {"preprocessing": SMALL, "classes": {0: 0, 1: 1, 2: 2}, "method": "cam"}
        return evaluate(network, data, protocol="clean", **{**shared, **options})

    return call


def read_rows(folder):
    return [json.loads(line) for line in (folder / "images.jsonl").open()]


def overlap(one, other):
    if one is None or other is None:
        return 0
    width, height = (min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in (0, 1))
    if min(width, height) <= 0:
        return 0
    areas = sum((b[2] - b[0]) * (b[3] - b[1]) for b in (one, other))
    return width * height / (areas - width * height)


def fill_places(rows):
    """Which step's row each place holds, by the rule's words."""
    places = []
    for row in rows:
        new = row
        for at, old in enumerate(places):
            if overlap(old["box"], new["box"]) > 0.5:
                places[at] = new = max(old, new, key=lambda each: each["score"])
        places.append(new)
    return [next(i for i, row in enumerate(rows) if row is each) for each in places]


@pytest.mark.slow
def test_any_step_is_what_its_words_say_of_runs_of_single_steps(network, score, tmp_path):
    evaluation = score(network, threshold=0.4, steps_rule="any", out=tmp_path / "any")
    runs, rows = [], {}
    for step in range(STEPS):
        for class_map in ("predicted", "ground_truth"):
            out = tmp_path / f"{class_map}-{step}"
            run = score(network, threshold=0.4, step=step + 1, class_map=class_map, out=out)
            rows[class_map, step] = read_rows(out)
        runs.append(run)
    told = {row.name: row for row in evaluation.steps.rows}
    for step, run in enumerate(runs):
        single = {name: getattr(run.result, name) for name in NAMES}
        assert told[f"step_{step + 1}"].scores == pytest.approx(single)
        assert told[f"step_{step + 1}"].intervals95 == {
            name: pytest.approx(run.result.intervals95[name]) for name in NAMES
        }
    assert told["step_3"].scores == pytest.approx(
        {name: getattr(evaluation.result, name) for name in NAMES}
    )

    def steps_of(class_map, image):
        return [rows[class_map, step][image] for step in range(STEPS)]

    wanted, merged = dict.fromkeys(NAMES, 0), 0
    kept = read_rows(tmp_path / "any")
    for image, row in enumerate(kept):
        own, true = steps_of("predicted", image), steps_of("ground_truth", image)
        places = fill_places(own)
        assert [each["place"] - 1 for each in row["steps"]] == places
        assert [each["predicted"] for each in row["steps"]] == [each["predicted"] for each in own]
        merged += len(set(places)) < STEPS
        hit, rank = [each["error"] is None for each in true], [each["rank"] for each in true]
        right = {
            "gt_known_loc": any(hit[step] for step in fill_places(true)),
            "top1_loc": any(hit[step] and rank[step] < 1 for step in places),
            "top5_loc": any(hit[step] and rank[step] < 5 for step in places),
            "top1_cls": any(rank[step] < 1 for step in places),
            "top5_cls": any(rank[step] < 5 for step in places),
        }
        assert row["right"]["any_step"] == [name for name in NAMES if right[name]]
        for name in NAMES:
            wanted[name] += right[name]
    share = 100 / len(kept)
    assert told["any_step"].scores == pytest.approx({n: share * wanted[n] for n in NAMES})
    assert told["any_step"].guesses < told["any_step_unmerged"].guesses == STEPS
    assert merged > 0
    assert 0 < wanted["top1_loc"] < len(kept)


def test_a_partner_names_as_many_classes(network, partner, score, tmp_path, capsys):
    options = {"threshold": 0.4, "steps_rule": "any", "out": tmp_path / "any"}
    evaluation = score(network, partner=partner, **options)
    alone = score(partner, threshold=0.4, out=tmp_path / "alone")
    told = {row.name: row for row in evaluation.steps.rows}
    single = {name: getattr(alone.result, name) for name in NAMES}
    assert told["partner_one"].scores == pytest.approx(single)
    gaps = compare_results(*(read_results(tmp_path / name) for name in ("any", "alone")))
    assert gaps["top1_cls"].first == evaluation.result.top1_cls
    rows = read_rows(tmp_path / "alone")
    ranks, hits = [row["rank"] for row in rows], [row["error"] is None for row in rows]
    several = {
        "top1_loc": np.mean([hit and rank < 3 for hit, rank in zip(hits, ranks, strict=True)]),
        "top5_loc": np.mean([hit and rank < 15 for hit, rank in zip(hits, ranks, strict=True)]),
        "top1_cls": np.mean([rank < 3 for rank in ranks]),
        "top5_cls": 1.0,
    }
    for name, value in several.items():
        assert told["partner"].scores[name] == pytest.approx(100 * value)
    assert told["partner"].scores["gt_known_loc"] >= single["gt_known_loc"]
    gap = evaluation.steps.differences["any_step"]["top1_cls"]
    assert gap.first == pytest.approx(told["partner"].scores["top1_cls"])
    assert gap.second == pytest.approx(told["any_step"].scores["top1_cls"])
    assert gap.gained - gap.lost == pytest.approx(len(rows) * gap.difference / 100)
    print_evaluation(evaluation)
    lines = capsys.readouterr().out.splitlines()
    for name, row in (("step 2", "step_2"), ("any step, boxes merged", "any_step")):
        line = next(line for line in lines if line.strip().startswith(name))
        assert f" {told[row].guesses:.2f} " in line
        assert f" {told[row].scores['top1_loc']:.1f} (" in line
    assert "thresholds of the steps: 0.400, 0.400, 0.400, fixed" in lines
    assert "partner: resnet18 /16, cam, threshold 0.400" in lines
    shown = evaluation._repr_html_()
    assert shown.count("<table>") == 3
    for table in tell_steps(evaluation):
        for cell in (table.title, *chain(*table.texts()), *table.notes):
            assert escape(cell) in shown
    assert tell_steps(alone) == []
    section = json.loads((tmp_path / "any" / "scores.json").read_text())["steps_rule"]
    assert section == json.loads(json.dumps(evaluation.steps.to_dict()))


@pytest.mark.parametrize("method", ["gradcam", "gradcampp"])
def test_a_partner_makes_its_maps_by_the_same_method(network, partner, score, method):
    options = {"threshold": 0.4, "method": method}
    evaluation = score(network, partner=partner, steps_rule="any", **options)
    alone = score(partner, **options)
    assert evaluation.steps.partner == f"resnet18 /16, {method}"
    told = {row.name: row.scores for row in evaluation.steps.rows}
    assert told["partner_one"]["gt_known_loc"] == pytest.approx(alone.result.gt_known_loc)


def test_a_partner_has_the_same_output_stride(run, data, tmp_path):
    paths = [
        str(save_checkpoint(network, tmp_path / f"{number}.safetensors"))
        for number, network in enumerate((make_network(0, 3, attention="tdam"), make_network(1, 3)))
    ]
    flags = ("--output-stride", 8, "--threshold", 0.4, "--steps-rule", "any")
    code, out, err = run("evaluate", data, "--checkpoint", paths[0], "--partner", paths[1], *flags)
    assert (code, err.count("Error")) == (0, 0), err
    assert "partner: resnet18 /8, cam, threshold 0.400" in out


@pytest.mark.slow
def test_a_partner_computes_in_the_same_precision(network, partner, score, tmp_path):
    options = {"partner": partner, "threshold": 0.4, "steps_rule": "any"}
    score(network, precision="bfloat16", channels_last=True, out=tmp_path, **options)
    settings = json.loads((tmp_path / "settings.json").read_text())
    for told in (settings, settings["partner"]):
        assert (told["precision"], told["channels_last"]) == ("bfloat16", True)


def test_one_step_has_one_guess(partner, score):
    evaluation = score(partner, threshold=0.4, steps_rule="any")
    rows = [row.scores for row in evaluation.steps.rows]
    assert len(rows) == 4
    assert all(row == rows[0] for row in rows)
    assert "steps_rule" not in score(partner, threshold=0.4).to_dict()


@pytest.mark.slow
def test_every_step_has_its_own_threshold_of_val(network, partner, score, tmp_path):
    options = {"threshold": "val", "out": tmp_path / "any", "save_maps": "uint8"}
    found = score(network, partner=partner, steps_rule="any", **options)
    score(network, **{**options, "out": tmp_path / "last"})
    maps = [sorted((tmp_path / name / "maps").rglob("*.npy")) for name in ("any", "last")]
    assert len(maps[0]) == len(maps[1]) == 12
    for one, other in zip(*maps, strict=True):  # those of the last step
        assert np.abs(np.load(one).astype(int) - np.load(other)).max() <= 1
    chosen = [
        score(each, split="val", threshold="oracle", step=step).result.max_box_acc_threshold
        for each, step in ((network, 1), (network, 2), (network, None), (partner, None))
    ]
    assert [*found.steps.thresholds, found.steps.partner_threshold] == chosen
    assert len(set(chosen)) > 2
    for name in ("", "-step-1", "-step-2", "-partner"):
        assert (tmp_path / "any" / f"chosen-on-val{name}" / "scores.json").is_file()


@pytest.mark.slow
def test_a_run_that_was_cut_off_goes_on(network, score, tmp_path, monkeypatch):
    options = {"threshold": 0.4, "steps_rule": "any", "batch_size": 2}
    whole = score(network, out=tmp_path / "whole", **options)
    measure, calls = GuessScorer.measure, count()

    def fail(self, shown, region):
        if next(calls) == 5:
            raise KeyboardInterrupt
        return measure(self, shown, region)

    monkeypatch.setattr(GuessScorer, "measure", fail)
    with pytest.raises(KeyboardInterrupt):
        score(network, out=tmp_path / "cut", **options)
    for other in ({"steps_rule": "last"}, {"partner": make_network(2)}):
        with pytest.raises(ValueError, match="settings differ"):
            score(network, out=tmp_path / "cut", **{**options, **other})
    again = score(network, out=tmp_path / "cut", **options)
    assert again.to_dict() == whole.to_dict()
    for name in ("scores.json", "images.jsonl"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    ("options", "argument", "message"),
    [
        ({"steps_rule": "all", "threshold": 0.2}, "steps_rule", "to be last or any but got 'all'"),
        ({"partner": "resnet18", "threshold": 0.2}, "partner", "goes with the steps rule any"),
        ({"steps_rule": "any", "step": 1, "threshold": 0.2}, "step", "takes every step"),
        ({"steps_rule": "any", "layer": "layer3", "threshold": 0.2}, "layer", "every step"),
        ({"steps_rule": "any"}, "threshold", "val or a number.*but got oracle"),
        ({"steps_rule": "any", "threshold": "oracle"}, "threshold", "but got oracle"),
    ],
)
def test_wrong_use(network, score, options, argument, message):
    with pytest.raises(ArgumentError, match=message) as caught:
        score(network, **options)
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--partner", "resnet18"), "--partner: goes with the steps rule any"),
        (("--steps-rule", "all"), "--steps-rule: Expected steps_rule to be last or any"),
        (("--steps-rule", "any", "--at-step", 1), "--at-step: cannot go with the steps rule any"),
        (("--steps-rule", "any", "--maps", "."), "--steps-rule: goes with a network"),
    ],
)
def test_wrong_use_names_the_flag(run, data, flags, message):
    code, out, err = run("evaluate", data, *flags)
    assert (code, out) == (2, "")
    assert message in err


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 4, 7, 10])  # images: three a chosen threshold, then nine
def test_a_run_that_was_cut_off_goes_on_by_its_own_rule_alone(
    network, partner, score, tmp_path, after
):
    """Cut in the pass of the last step, of an earlier one, of the partner, and of the scores."""
    out = tmp_path / "out"
    wanted = {"threshold": "val", "steps_rule": "any", "partner": partner, "batch_size": 1}
    with pytest.raises(KillError):
        score(network, out=out, events=Stopper(after + 1, KillError), **wanted)
    for named, options in (
        ("thresholds", {"threshold": 0.2, "steps_rule": "last", "partner": None}),
        ("chosen_on", {"partner": None}),
        ("guesses", {"steps_rule": "last", "partner": None}),
        ("partner", {"partner": network}),
        ("split", {"split": "val+test", "threshold": 0.2}),
        ("method", {"method": "gradcam"}),
    ):
        with pytest.raises(ResumeError, match=rf"settings differ \(.*{named}"):
            score(network, out=out, **{**wanted, **options})
    found = score(network, out=out, **wanted)
    assert not list(out.rglob("unfinished*"))
    assert found == score(network, out=tmp_path / "whole", **wanted)
