"""`predict` as a process: interrupted, killed at random, or with nobody who reads its output."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from killed_predictions import FORMATS, command, done, fill, finish, hash_folder, kill, start

from wsol.localizer import Localizer


@pytest.fixture
def interrupted(photos, monkeypatch, run):
    def call(number, *arguments):
        stream = Localizer.stream

        def stop(self, *rest):
            for count, pair in enumerate(stream(self, *rest)):
                yield pair
                if count == 1:
                    os.kill(os.getpid(), number)

        monkeypatch.setattr(Localizer, "stream", stop)
        result = run("predict", photos, "--batch-size", 1, *arguments)
        monkeypatch.setattr(Localizer, "stream", stream)
        return result

    return call


@pytest.mark.slow
@pytest.mark.fault("runs: a prediction that is interrupted")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_says_how_to_go_on(photos, tmp_path, interrupted, run, number):
    handler = signal.getsignal(signal.SIGTERM)
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    options = ("--format", "coco", "--format", "voc", "--format", "jsonl")
    code, _, err = interrupted(number, *options, "--out", cut)
    assert code == 128 + number
    assert err.splitlines()[-1] == f"Interrupted; --resume goes on from what is saved in {cut}"
    assert len((cut / "predictions.jsonl").read_text().splitlines()) == 2  # what there was by then
    code, _, err = run("predict", photos, *options, "--batch-size", 1, "--out", cut)
    assert (code, "--resume" in err) == (2, True)
    code, out, err = run("predict", photos, *options, "--batch-size", 1, "--out", cut, "--resume")
    assert code == 0, err
    assert f"going on in {cut} after 2 of 5 images" in err
    _, direct, _ = run("predict", photos, *options, "--batch-size", 1, "--out", whole)
    assert out == direct
    assert hash_folder(cut) == hash_folder(whole)
    assert signal.getsignal(signal.SIGTERM) is handler
    code, _, err = interrupted(number)
    assert code == 128 + number
    assert err.splitlines()[-1].startswith("Interrupted; only what was printed is kept")


@pytest.mark.fault("runs: standard output that fails")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_files_outlive_standard_output(photos, tmp_path, run, monkeypatch, capsys):
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        code, _, err = run("predict", photos, "--format", "csv", "--out", tmp_path / "out")
        monkeypatch.undo()
    assert code == 1
    assert err.count("Error: ") == 1
    assert "standard output: No space left on device; the files in" in err
    assert len((tmp_path / "out" / "predictions.csv").read_text().splitlines()) == 6


@pytest.mark.slow
@pytest.mark.fault("runs: a prediction that is killed")
def test_a_process_that_is_killed_at_random_goes_on(trained, tmp_path, record_property):
    """SIGKILL at moments that are drawn anew each time, the last while files are written."""
    images, out = fill(tmp_path / "in", 300, bad=(5, 77)), tmp_path / "out"
    options = (*FORMATS, "--checkpoint", trained[0], "--out", out)
    assert finish(images, *options)[0] == 1  # for the unreadable ones
    whole = hash_folder(out)
    shutil.rmtree(out)
    seed = time.time_ns()
    record_property("seed", seed)
    draw = random.Random(seed)
    moments = [*sorted(draw.randrange(300) for _ in range(4)), 300 + draw.randrange(1, 250)]
    for moment in moments:
        process = start(images, *options, "--resume")
        kill(process, lambda moment=moment: done(out, 300) >= moment)
    code, told, *_ = finish(images, *options, "--resume")
    assert code == 1, told
    assert hash_folder(out) == whole
    record_property("tried", len(moments))


@pytest.mark.slow
@pytest.mark.fault("runs: standard output that fails")
@pytest.mark.parametrize("more", [(), ("--format", "csv")])
def test_a_reader_that_goes_is_no_error(photos, tmp_path, more):
    where = ("--out", tmp_path / "out") if more else ()
    process = subprocess.Popen(
        command(photos, *more, *where), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    told = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait() == 1
    assert "Traceback" not in told
    assert "Exception ignored" not in told
    if more:
        assert len((tmp_path / "out" / "predictions.csv").read_text().splitlines()) == 6


@pytest.mark.fault("runs: a prediction that is resumed prints less")
@pytest.mark.parametrize("order", ["given", "uncertain"])
def test_a_run_that_had_ended_prints_its_lines_again(trained, tmp_path, run, order):
    images, out = fill(tmp_path / "in", 6, bad=(2,)), tmp_path / "out"
    flags = ("--checkpoint", trained[0], "--format", "jsonl", "--sort", order, "--topk", 2)
    first = run("predict", images, *flags, "--out", out)
    before = hash_folder(out)
    assert first[0] == 1
    assert len(first[1].splitlines()) == 11
    for _ in range(2):
        code, printed, told = run("predict", images, *flags, "--out", out, "--resume")
        assert (code, printed) == first[:2]
        assert "has ended: nothing is left to do" in told
        assert [line for line in first[2].splitlines() if line not in told] == []
    assert hash_folder(out) == before
    (out / ".wsol-predict" / "results.jsonl").unlink()
    code, printed, told = run("predict", images, *flags, "--out", out, "--resume")
    assert (code, printed) == (1, "")
    assert f"6 of 6 results are no longer in {out}; --force finds them anew" in told
