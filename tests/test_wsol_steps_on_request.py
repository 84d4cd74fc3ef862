"""The steps before the last one are made where somebody looks at them, and only there."""

import csv
import json
from typing import ClassVar

import numpy as np
import pytest
import torch
from small_shifts import network

from tdam import create_model
from wsol import Localizer
from wsol.format_choices import need_steps
from wsol.prediction import predict
from wsol.writers import WRITERS, Writer, find_writer


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return network(2)


@pytest.fixture(scope="module")
def found(model, photos):
    paths = sorted(photos.iterdir())
    every = Localizer(model, "gradcampp", 0.3)(paths)
    last = Localizer(model, "gradcampp", 0.3, every_step=False)(paths)
    return every, last


def test_the_last_step_is_the_same_without_the_others(found):
    for every, last in zip(*found, strict=True):
        assert (len(every.steps), len(last.steps)) == (2, 1)
        assert (last.label, last.boxes.tolist()) == (every.label, every.boxes.tolist())
        assert last.score == pytest.approx(every.score, abs=1e-6)
        peak = every.steps[-1].raw.max()
        np.testing.assert_allclose(last.steps[0].raw, every.steps[-1].raw, atol=1e-4 * peak)
        assert last.steps[0].region == every.steps[-1].region


def test_searchlights_are_of_all_steps(model, photos):
    localizer = Localizer(model, "cam", searchlights=["blocks.6.0"], every_step=False)
    found = localizer(sorted(photos.iterdir())[0])
    assert len(found.steps) == 2
    assert found.searchlights["blocks.6.0"].shape[0] == 1


def test_formats_say_whether_they_write_steps():
    assert {name for name in WRITERS if find_writer(name).of_steps} == {"jsonl", "npy"}
    assert Writer.of_steps  # one of somebody else's has them, unless it says otherwise


class Lines(find_writer("csv")):
    """A format of somebody's own that is like another one."""


class Boxes(find_writer("csv")):
    of_steps = False


def test_a_class_has_steps_unless_it_says_otherwise():
    assert need_steps([Lines])
    assert not need_steps([Boxes, "csv"])
    assert need_steps(["csv"], "ray")


class Counting(Writer):
    """Notes how many steps it is given."""

    seen: ClassVar[list] = []

    def add(self, localization):
        self.seen.append(len(localization.steps))

    def add_error(self, path, reason):
        raise AssertionError(path)


def run(model, photos, **options):
    seen = []
    predict(model, photos, method="cam", threshold=0.3,
            on_result=lambda path, result: seen.append(len(result.steps)), **options)  # fmt: skip
    return set(seen)


def test_who_looks_at_steps_has_them(model, photos, tmp_path):
    assert run(model, photos) == {2}
    assert run(model, photos, every_step=False) == {1}
    assert run(model, photos, every_step=False, formats="csv", out=tmp_path / "a") == {1}
    assert run(model, photos, every_step=False, formats=["csv", "jsonl"], out=tmp_path / "b") == {2}
    with (tmp_path / "b" / "predictions.jsonl").open() as lines:
        told = [json.loads(line)["predictions"][0]["step_scores"] for line in lines]
    assert {len(each) for each in told} == {2}
    predict(model, photos, tmp_path / "c", formats="npy", method="cam", threshold=0.3)
    maps = [np.load(path) for path in (tmp_path / "c" / "maps").iterdir()]
    assert {len(each) for each in maps} == {2}
    predict(model, photos, tmp_path / "d", formats=Counting, method="cam", threshold=0.3)
    assert set(Counting.seen) == {2}
    with (
        (tmp_path / "a" / "predictions.csv").open() as one,
        (tmp_path / "b" / "predictions.csv").open() as other,
    ):
        for row, same in zip(csv.reader(one), csv.reader(other), strict=True):
            assert row[0] == same[0]
            numbers = [(float(x), float(y)) for x, y in zip(row, same, strict=True) if _number(x)]
            for x, y in numbers:
                assert x == pytest.approx(y, abs=1e-6)


def _number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_a_run_goes_on_whoever_looks(model, photos, tmp_path):
    class StoppedError(Exception):
        pass

    def stop(path, result):
        raise StoppedError

    out = tmp_path / "out"
    options = {"formats": "csv", "method": "cam", "threshold": 0.3, "batch_size": 2}
    with pytest.raises(StoppedError):
        predict(model, photos, out, on_result=stop, **options)
    assert predict(model, photos, out, resume=True, **options).failed == 0
    predict(model, photos, tmp_path / "whole", **options)
    assert len((out / "predictions.csv").read_text().splitlines()) == len(
        (tmp_path / "whole" / "predictions.csv").read_text().splitlines()
    )


def test_one_step_has_nothing_to_leave_out(photos):
    torch.manual_seed(0)
    model = create_model("resnet18")
    paths = sorted(photos.iterdir())[:2]
    every = Localizer(model)(paths)
    last = Localizer(model, every_step=False)(paths)
    assert [each.to_dict() for each in every] == [each.to_dict() for each in last]
