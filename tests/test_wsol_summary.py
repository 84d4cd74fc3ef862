"""Means over seeds, paired differences, their intervals and verdicts, of scores that are given."""

from dataclasses import replace

import numpy as np
import pytest

from wsol.benchmarking.expected import list_faults, load_expected
from wsol.benchmarking.experiment_files import load_experiment
from wsol.benchmarking.replicates import RunScores
from wsol.benchmarking.summary import judge, summarise
from wsol.benchmarking.tables import difference_table, list_variant_tables, to_plain


def sample(model, seed, values, threshold="val", images=4):
    """A sample whose replicates are given."""
    replicates = {"top1_loc": np.asarray(values, float)}
    return RunScores(model, seed, ("auto", 0), "cam", 32, threshold, 0.2, replicates, images)


def test_only_seeds_in_common_are_compared():
    random = np.random.default_rng(0)
    noise = random.normal(size=(4, 1001))
    rows = summarise(
        [sample("none", 0, 40 + noise[0]), sample("none", 1, 60 + noise[1]),
         sample("new", 1, 63 + noise[2]), sample("new", 2, 10 + noise[3])], "none",
    )  # fmt: skip
    first, second = rows
    assert first.values["top1_loc"].mean == pytest.approx(50 + noise[:2, -1].mean())
    assert first.values["top1_loc"].difference is None
    assert (second.seeds, second.compared) == ((1, 2), (1,))
    gap = second.values["top1_loc"].difference
    wanted = 3 + noise[2] - noise[1]
    assert gap.difference == pytest.approx(wanted[-1])
    assert [gap.low, gap.high] == pytest.approx(np.percentile(wanted[:-1], [2.5, 97.5]).tolist())


def test_models_are_compared_with_their_own_reference():
    levels = {"none": 50.0, "new": 52.0, "old": 30.0, "old_new": 33.0}
    samples = [sample(name, 0, np.full(1001, level)) for name, level in levels.items()]
    rows = summarise(samples, "none", {"old": "old", "old_new": "old"})
    gaps = {row.model: row.value("top1_loc", difference=True) for row in rows}
    assert gaps == {"none": None, "new": 2.0, "old": None, "old_new": 3.0}
    assert "old_new vs old, Top-1 Loc" in judge(rows[3])
    table = difference_table(rows)
    assert table.title == "Differences"
    assert [line[0] for line in table.rows] == ["new minus none", "old_new minus old"]
    assert difference_table(rows[:2]).title == "Differences from none"


def test_a_table_of_each_way_has_a_line_a_model():
    """A model that names its own map method is told apart; a score that is missing has no cell."""
    mixed = [
        replace(sample(name, 0, np.full(1001, level), rule), method=method, level=threshold)
        for name, level, method in (("none", 50.0, "cam"), ("new", 52.0, "layercam"))
        for rule, threshold in (("val", 0.3), ("0.2", 0.2))
    ]
    scores, differences, thresholds = list_variant_tables(summarise(mixed[:3], "none"))
    header = ("model", "method", "Top-1 Loc, val", "Top-1 Loc, 0.2", "Top-5 Loc, val")
    assert scores.header[:5] == header
    assert [row[:5] for row in scores.rows] == [
        ("none", "cam", "50.0", "50.0", None),
        ("new", "layercam", "52.0", None, None),
    ]
    assert (differences.title, differences.rows[0][:3]) == (
        "Differences from none",
        ("new", "layercam", "+2.0 (+2.0 to +2.0)"),
    )
    assert (thresholds.header, thresholds.rows) == (
        ("model", "val"),
        [("none", "0.300"), ("new", "0.300")],
    )
    # Where every model has both methods, they have a table each, and fixed thresholds need none.
    both = [
        replace(each, variant=(each.method, 0), threshold="0.2", level=0.2) for each in mixed[::2]
    ]
    both += [replace(each, model="new") for each in both[:1]]
    titles = [table.title for table in list_variant_tables(summarise(both, "none"))]
    assert titles == ["Scores, cam", "Differences from none, cam", "Scores, layercam"]


def test_a_part_of_an_experiment_keeps_its_pairs():
    whole = load_experiment("imagenet10_lite0")
    gap = {("tdam_joint", "top1_loc"), ("tdam_top", "top1_loc")}

    def left(*models):
        part = whole.select(models=models)
        return part.references, {(e.model, e.score) for e in part.expected if e.difference}

    assert left("none", "tdam_joint", "tdam_top")[1] == gap
    assert left("se", "tdam_joint") == ({"se": "se", "tdam_joint": "se"}, set())
    assert left("tdam_joint")[1] == set()
    assert left("none", "imagenet_tdam")[0]["imagenet_tdam"] == "imagenet"
    rows = summarise(
        [sample("none", 0, np.full(1001, 50.0)), sample("old_new", 0, np.full(1001, 60.0))],
        "none", {"none": "none", "old_new": "old"},
    )  # fmt: skip
    assert rows[1].values["top1_loc"].difference is None


@pytest.mark.parametrize(
    ("shift", "spread", "verdict"),
    [
        (5, 1, ": a gain"),
        (-5, 1, ": a loss"),
        (1, 5, ": no gain shown"),
        (0, 0, ": no gain shown"),  # equal networks
    ],
)
def test_verdicts(shift, spread, verdict):
    noise = spread * np.linspace(-1, 1, 1001)
    noise[-1] = 0
    base = sample("none", 0, np.full(1001, 50.0))
    row = summarise([base, sample("new", 0, 50 + shift + noise)], "none")[1]
    text = judge(row)
    assert text.startswith(f"new vs none, Top-1 Loc, threshold val: {shift:+.1f} points (95 % ")
    assert text.endswith(f", 1 seed, 4 images{verdict}")
    assert judge(summarise([base], "none")[0]) is None


def of_seeds(gains):
    samples = [sample("none", seed, np.full(1001, 50.0)) for seed in range(len(gains))]
    samples += [sample("new", seed, np.full(1001, 50.0 + gain)) for seed, gain in enumerate(gains)]
    return summarise(samples, "none")


def test_a_gain_of_some_seeds_is_called_that():
    line = judge(of_seeds([5.0] * 7 + [-0.5])[1])
    assert line.endswith(", 8 seeds, 4 images: a gain, but not with every seed")


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ([10.0, -1.0], "+4.5 points (95 % -65.4 to +74.4), 2 seeds, 4 images: no gain shown"),
        ([1.0, 2.0, 6.0], "+3.0 points (95 % -3.6 to +9.6), 3 seeds, 4 images: no gain shown"),
        ([2.0, 3.0, 4.0], "+3.0 points (95 % +0.5 to +5.5), 3 seeds, 4 images: a gain"),
        ([-4.0, -3.0, -2.0], "-3.0 points (95 % -5.5 to -0.5), 3 seeds, 4 images: a loss"),
    ],
)
def test_seeds_that_vary_widen_the_interval_that_is_judged_by(gains, verdict):
    """By Student's t, where images do not vary; over images alone all would be sure."""
    rows = of_seeds(gains)
    assert judge(rows[1]).endswith(verdict)
    written = verdict[: verdict.index(")") + 1].replace(" points (95 % ", " (")
    assert written in difference_table(rows).to_markdown()
    difference = to_plain(rows)[1]["values"]["top1_loc"]["difference"]
    assert difference["interval95"] == [np.mean(gains)] * 2
    assert difference["interval95_with_seeds"] == pytest.approx(
        rows[1].values["top1_loc"].spread.interval(np.mean(gains))
    )


def test_tables_tell_how_many_seeds_a_difference_needs():
    table = next(
        each for each in list_variant_tables(of_seeds([2.0, 3.0, 4.0])) if each.key == "seeds"
    )
    assert table.rows == [("new", "val", "1.00", "0.00", 3, 10, 5, 3)]
    assert all(each.key != "seeds" for each in list_variant_tables(of_seeds([2.0])))


def test_expected_values_fit_rows(tmp_path):
    rows = summarise([sample("none", 0, np.full(1001, 50.0)),
                      sample("new", 0, np.full(1001, 52.0))], "none")  # fmt: skip
    head = '[[expected]]\nmodel = "new"\nscore = "top1_loc"\ntolerance = 0.1\n'
    for tail, faults in (
        ("value = 52.05", 0),
        ("value = 52.2", 1),
        ("value = 2\ndifference = true", 0),
        ('value = 52\nthreshold = "oracle"', 1),  # not measured
        ("value = 52\nseeds = [0]", 0),
        ("value = 52\nseeds = [0, 1]", 1),
        ("value = 52\noutput_stride = 16", 1),
    ):
        (tmp_path / "e.toml").write_text(head + tail)
        assert len(list_faults(load_expected(tmp_path / "e.toml"), rows)) == faults, tail
    for text in ("", "expected = 3", head, head + 'value = "52"', head + "value = 1\nmore = 1"):
        (tmp_path / "e.toml").write_text(text)
        with pytest.raises(ValueError, match="xpected"):
            load_expected(tmp_path / "e.toml")
