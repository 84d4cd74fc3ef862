"""Commands that are interrupted: one sentence says what is kept, and is true."""

import os
import signal

import numpy as np
import pytest
from small_objects import FLAGS

from wsol.localizer import Localizer
from wsol.shipped import manifests_folder

DATA = manifests_folder() / "photos"


def interrupt(*arguments, **options):
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def second_image_interrupts(monkeypatch):
    stream = Localizer.stream

    def stop(self, *rest):
        images = stream(self, *rest)
        yield next(images)
        interrupt()
        yield next(images)

    monkeypatch.setattr(Localizer, "stream", stop)


def test_shift_keeps_what_it_has_drawn(run, photos, tmp_path, second_image_interrupts, monkeypatch):
    out = tmp_path / "shift"
    code, printed, err = run("shift", photos, "--batch-size", 1, "--out", out)
    assert code == 130
    said = f"Interrupted; what was drawn by then is in {out}; the same command with --force begins"
    assert err.splitlines()[-1] == f"{said} anew"
    drawn = printed.split("\t")[0].rpartition("/")[2].partition(".")[0]
    assert [path.stem for path in out.glob("*.png")] == [drawn]
    monkeypatch.setattr("wsol.attention_shift.run.list_photographs", interrupt)
    code, _, err = run("shift", photos, "--out", tmp_path / "none")
    assert (code, "nothing is drawn in" in err) == (130, True)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("step", "said"),
    [
        # before anything is written, and after the recipe is
        ("begin", "nothing is saved in {out} yet: the same command begins anew"),
        ("announce", "--resume goes on from what is saved in {out}"),
    ],
)
def test_a_training_says_whether_it_goes_on(run, objects, tmp_path, monkeypatch, step, said):
    monkeypatch.setattr(f"wsol.training.train.{step}", interrupt)
    out = tmp_path / "run"
    code, _, err = run("train", objects, "--out", out, *FLAGS)
    assert code == 130
    assert err.splitlines()[-1] == f"Interrupted; {said.format(out=out)}"


def test_a_benchmark_goes_on(run, photos, tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for photo in photos.iterdir():
            np.save(tmp_path / name / f"{photo.name}.npy", np.eye(224))
    runs = [part for name in "ab" for part in ("--run", f"{name}=maps:{tmp_path / name}")]
    command = ("benchmark", DATA, *runs, "--threshold", 0.2, "--out", tmp_path / "out")
    monkeypatch.setattr("wsol.benchmarking.outcome.list_verdicts", interrupt)
    code, _, err = run(*command)
    assert code == 130, err
    said = f"Interrupted; the same command goes on from what is saved in {tmp_path / 'out'}"
    assert err.splitlines()[-1] == said
    monkeypatch.undo()
    assert run(*command)[0] == 0
    assert (tmp_path / "out" / "results.json").is_file()


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("_list_images", "nothing is saved in {out} yet: the same command begins anew"),
        ("_make_localizer", "nothing is saved in {out} yet: the same command begins anew"),
        ("PredictionSummary", "the prediction in {out} has ended"),
    ],
)
def test_a_prediction_says_what_there_is(run, photos, tmp_path, monkeypatch, place, said):
    monkeypatch.setattr(f"wsol.prediction.{place}", interrupt)
    out = tmp_path / "out"
    code, _, err = run("predict", photos, "--format", "csv", "--out", out)
    assert (code, err.splitlines()[-1]) == (130, f"Interrupted; {said.format(out=out)}")
    assert out.exists() == (place == "PredictionSummary")


def test_what_began_nothing_does_not_go_on(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("wsol.workflows.reproduce._list_recorded", interrupt)
    monkeypatch.setattr("wsol.workflows.benchmark._load", interrupt)
    begins = "yet: the same command begins anew"
    code, _, err = run("reproduce", "imagenet10_lite0", "--recorded")
    assert (code, err.splitlines()[-1]) == (
        *(130, f"Interrupted; nothing is saved in wsol-imagenet10_lite0 {begins}"),
    )
    code, _, err = run("benchmark", DATA, "--root", tmp_path, "--run", "a=efficientnet_lite0",
                       "--out", "b")  # fmt: skip
    assert (code, err.splitlines()[-1]) == (130, f"Interrupted; nothing is saved in b {begins}")


def test_a_data_set_is_written_whole_or_not(run, tmp_path, monkeypatch):
    monkeypatch.setattr("eval.tiny_imagenet.build_tiny_imagenet", interrupt)
    (tmp_path / "download").mkdir()
    code, _, err = run("manifest", "build", "tiny-imagenet", "--source", tmp_path / "download",
                       "--out", tmp_path / "out")  # fmt: skip
    assert code == 130
    assert err.startswith("Interrupted; a data set is written in one step")
    assert not (tmp_path / "out").exists()
