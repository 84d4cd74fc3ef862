"""An experiment under several protocols: what shares a pass, what is kept, what names them."""

import csv
import json
import re

import numpy as np
import pytest
from small_experiments import TOML, make_world, reproduce, wsol

from wsol.benchmarking.expected import check_measurable
from wsol.benchmarking.experiment_files import load_experiment
from wsol.benchmarking.page import write_summary_page
from wsol.benchmarking.record import list_recorded
from wsol.benchmarking.replicates import RunScores, check_rules
from wsol.benchmarking.summary import summarise

SEVERAL = TOML.replace("[scoring]", '[scoring]\nprotocols = ["tdam", "wsoleval", "clean"]').replace(
    'thresholds = ["val", 0.2, "oracle"]', 'thresholds = ["own", "oracle"]'
)
NONE = ("--models", "none", "--seeds", 0)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("protocols"))


def read_values(out):
    rows = json.loads((out / "results.json").read_text())["rows"]
    return {
        (row.get("protocol", ""), row["threshold"]): {
            name: (value["mean"], value["interval95"]) for name, value in row["values"].items()
        }
        for row in rows
    }


@pytest.mark.slow
def test_protocols_share_a_pass_and_score_as_they_do_alone(world, tmp_path):
    (tmp_path / "data").symlink_to(world / "data")
    flags = ("--weights", world / "weights", *NONE)
    code, printed, told = reproduce(tmp_path, tmp_path / "all", *flags, text=SEVERAL)
    assert code == 0, told
    # Two passes, for what a network sees differs; the second one serves two protocols.
    assert [line.split("score ")[1] for line in told.splitlines() if "score " in line] == [
        "none, layercam, stride 16, tdam, test: 12 images",
        "none, layercam, stride 16, wsoleval and clean, test: 12 images",
    ]
    assert (
        "protocols tdam (crop, predicted class's map); wsoleval and clean (squash, true class's "
        "map): 2 passes over the images" in printed
    )
    together = read_values(tmp_path / "all")
    assert list(together) == [
        *(("tdam", "own"), ("tdam", "oracle"), ("wsoleval", "oracle"), ("clean", "oracle"))
    ]
    for name in ("tdam", "wsoleval", "clean"):
        text = SEVERAL.replace(
            'protocols = ["tdam", "wsoleval", "clean"]', f'protocol = "{name}"'
        ).replace('"own", "oracle"', '"oracle"')
        code, _, told = reproduce(tmp_path, tmp_path / name, *flags, text=text)
        assert code == 0, told
        assert read_values(tmp_path / name)["", "oracle"] == together[name, "oracle"]
    # Nothing is scored twice, and the record gives the same tables.
    code, _, told = reproduce(tmp_path, tmp_path / "all", *flags, text=SEVERAL)
    assert (code, "score " in told) == (0, False), told
    assert list_recorded(tmp_path / "all" / "experiment.zip") == ["none-0"]
    (tmp_path / "shapes.zip").write_bytes((tmp_path / "all" / "experiment.zip").read_bytes())
    toml = tmp_path / "shapes.toml"
    code, _, told = wsol("reproduce", toml, "--recorded", "--out", tmp_path / "again", *NONE)
    assert code == 0, told
    for file in ("table.md", "table.csv", "experiment.zip"):
        first = (tmp_path / "all" / file).read_bytes()
        assert (tmp_path / "again" / file).read_bytes() == first
    text = (tmp_path / "all" / "table.md").read_text()
    for name in ("tdam", "wsoleval", "clean"):
        assert f"## Scores, protocol {name}\n" in text
    with (tmp_path / "all" / "table.csv").open(newline="") as lines:
        assert {line["protocol"] for line in csv.DictReader(lines)} == {"tdam", "wsoleval", "clean"}
    page = (tmp_path / "all" / "report" / "index.html").read_text()
    assert "wsoleval" in page
    # Scores of one protocol are none of another's.
    (tmp_path / "shapes.toml").write_text(SEVERAL.replace('"clean"]', '"clean2.toml"]'))
    (tmp_path / "clean2.toml").write_text('base = "clean"\nleast_points = 3\n')
    toml.write_text(toml.read_text().replace("clean2.toml", str(tmp_path / "clean2.toml")))
    code, _, told = wsol("reproduce", toml, "--recorded", "--out", tmp_path / "other", *NONE)
    assert (code, "protocol clean2" in told) == (1, True), told


@pytest.mark.parametrize(
    "name", ["joint", "resnet50-joint-t2-m1-published-weights", "network" * 15]
)
def test_a_chart_has_the_whole_name_and_all_marks_inside(tmp_path, name):
    random = np.random.default_rng(0)
    samples = [
        RunScores(
            model, 0, ("auto", 0), "cam", 32, "val", 0.2,
            {"top1_loc": middle + random.normal(size=1001)}, 40,
        )
        for model, middle in (("none", 40), (name, 43))
    ]  # fmt: skip
    page = write_summary_page(tmp_path, summarise(samples, "none"), title="Names").read_text()
    (drawn,) = re.findall(r'<div class="forest".*?</figure>', page, re.DOTALL)
    assert f'<span class="label">{name}, val</span>' in drawn  # text that wraps, not a drawing
    marks = re.findall(r'<(circle|line|text)[^>]*?((?: c?x[12]?="[^"]*")+)', drawn)
    assert {kind for kind, _ in marks} == {"circle", "line", "text"}
    for _, places in marks:
        assert all(0 <= float(x) <= 100 for x in re.findall(r'="([-\d.]+)%"', places)), places


VALUE = '\n[[expected]]\nmodel = "none"\nscore = "top1_cls"\nvalue = 50\ntolerance = 50\n'


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"tdam", "wsoleval", "clean"', '"tdam", "tdam"'), "protocols to be different"),
        (("protocols = [", 'protocol = "tdam"\nprotocols = ['), "protocol or protocols"),
        (('"clean"]', '"cleaner"]'), "protocol to be one of wsoleval, tdam, clean"),
        (("[[models]]", f"{VALUE}\n[[models]]"), "protocol among tdam, wsoleval, clean but got"),
    ],
)
def test_faults_of_several_protocols_are_named(tmp_path, change, message):
    (tmp_path / "a.toml").write_text(SEVERAL.replace(change[0], change[1], 1))

    def settle():
        experiment = load_experiment(str(tmp_path / "a.toml"))
        check_rules(experiment.scoring)
        check_measurable(experiment.expected, experiment.references, experiment.scoring)

    with pytest.raises(ValueError, match=message):
        settle()
    (tmp_path / "a.toml").write_text(SEVERAL + VALUE + 'protocol = "clean"\n')
    settle()
