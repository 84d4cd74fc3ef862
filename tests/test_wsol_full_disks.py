"""A disk that takes no more: one line, nothing half there, and what was finished stays."""

import csv
import json
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest
from killed_predictions import fill, hash_folder
from small_maps import many, write_maps
from test_wsol_prediction_faults import NETWORK, Plain

from eval.coco import to_coco
from tdam.atomic import AtomicFile, open_atomic, write_atomic
from wsol.out_files import save_file, writing_file
from wsol.prediction import predict
from wsol.writers import WRITERS

pytestmark = pytest.mark.slow

resource = pytest.importorskip("resource")  # whose limit of a file's size stands for a full disk
FULL = pytest.mark.fault("runs: a disk that is full")


@contextmanager
def full(size=100):
    """No file may grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def unfinished(folder):
    return [path for path in folder.rglob("*") if path.name.startswith(".unfinished")]


@FULL
@pytest.mark.parametrize("size", [0, 10, 5000])
def test_a_file_is_there_as_a_whole_or_as_it_was(tmp_path, size):
    path = tmp_path / "x"
    ways = {
        "bytes": lambda: write_atomic(path, b"n" * 9000),
        "no sync": lambda: write_atomic(path, b"n" * 9000, sync=False),
        "array": lambda: save_file(path, partial(np.save, arr=np.zeros(9000))),
        "archive": lambda: save_file(path, partial(np.savez, maps=np.zeros(9000))),
    }

    def stream():
        with writing_file(path, encoding="utf-8") as file:
            csv.writer(file).writerows([["text"] * 9] * 999)

    for name, write in {**ways, "stream": stream}.items():
        path.unlink(missing_ok=True)
        for before in ([], [b"old"]):
            if before:
                path.write_bytes(b"old")
            with full(size), pytest.raises(OSError, match="too large") as error:
                write()
            assert error.value.filename == str(path), name
            assert [each.read_bytes() for each in tmp_path.iterdir()] == before
        write()
        assert path.stat().st_size >= 9000


def write_half(path, error):
    with open_atomic(path) as file:
        file.write("half")
        raise error


@FULL
def test_an_error_of_the_caller_leaves_what_was_there(tmp_path):
    path = tmp_path / "x"
    for error in (ValueError, KeyboardInterrupt, OSError(5, "gone", "elsewhere")):
        with pytest.raises((ValueError, KeyboardInterrupt, OSError)):
            write_half(path, error)
        assert list(tmp_path.iterdir()) == []
    file = AtomicFile(path)
    other = AtomicFile(path)  # of another process, that writes the same
    for each in (file, other):
        each.file.write("whole")
        each.commit()
        each.commit()
        each.discard()
    assert path.read_text() == "whole"


@FULL
@pytest.mark.parametrize("kind", list(WRITERS))
def test_predictions_survive_a_disk_that_fills_up_at_the_end(tmp_path, kind):
    images = fill(tmp_path / "in", 24, bad=range(0, 24, 3))
    out, options = tmp_path / "out", {"formats": ["csv", kind, "coco"], **NETWORK}
    predict(Plain(), images, out, **options)
    whole = hash_folder(out)
    out.rename(tmp_path / "whole")
    told = []

    def fill_up(*pair):
        told.append(pair)
        if len(told) == 24:
            resource.setrlimit(resource.RLIMIT_FSIZE, (90, before[1]))

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(OSError, match="too large") as error:
            predict(Plain(), images, out, on_result=fill_up, **options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert error.value.filename is not None
    assert not unfinished(out)
    there = {name for name, each in hash_folder(out).items() if each != "folder"}
    for name in there - {".wsol-files"}:
        if not name.startswith(".wsol-predict"):
            assert hash_folder(out)[name] == whole[name], name
    predict(Plain(), images, out, resume=True, **options)
    assert hash_folder(out) == whole


@FULL
def test_predictions_survive_a_disk_that_fills_up_on_the_way(tmp_path):
    images = fill(tmp_path / "in", 12)
    out, options = tmp_path / "out", {"formats": ["csv", "voc"], **NETWORK}
    predict(Plain(), images, out, **options)
    whole = hash_folder(out)
    out.rename(tmp_path / "whole")
    for size in (1500, 3000):
        with full(size), pytest.raises(OSError, match="too large"):
            predict(Plain(), images, out, resume=True, **options)
        assert not unfinished(out)
    predict(Plain(), images, out, resume=True, **options)
    assert hash_folder(out) == whole


def check_told(code, err, where):
    assert code == 1, err
    assert "Traceback" not in err
    assert [line for line in err.splitlines() if "Error" in line] == [err.splitlines()[-1]]
    assert str(where) in err.splitlines()[-1]
    assert "File too large" in err.splitlines()[-1]


@FULL
@pytest.mark.parametrize(
    "options",
    [
        *(("predict", "--format", kind) for kind in WRITERS),
        ("predict", "--save-images"),
        ("shift",),
    ],
)
def test_commands_on_photographs_say_so_in_a_line(run, photos, tmp_path, options):
    command, *more = options
    with full(1000):
        code, _, err = run(command, photos / "coffee.png", *more, "--out", tmp_path / "out")
    check_told(code, err, tmp_path / "out")
    assert not unfinished(tmp_path)
    assert all(path.stat().st_size for path in tmp_path.rglob("*.json"))


@FULL
@pytest.mark.parametrize(
    "more",
    [("--out", "out"), ("--out", "out", "--save-maps", "float16"), ("--json", "scores.json"),
     ("--report", "report"), ("--out", "out", "--format", "coco", "--format", "voc")],
)  # fmt: skip
def test_evaluations_say_so_in_a_line(run, tmp_path, more):
    split = many(6)
    write_maps(split, tmp_path / "maps")
    (tmp_path / "truth.json").write_text(json.dumps(to_coco(split)))
    more = [more[0], tmp_path / more[1], *more[2:]]
    options = ("evaluate", tmp_path / "truth.json", "--maps", tmp_path / "maps", *more)
    with full(300):
        code, _, err = run(*options)
    check_told(code, err, tmp_path)
    assert not unfinished(tmp_path)
    assert not list(tmp_path.rglob("scores.json"))
    code, _, err = run(*options)
    assert code == 0, err  # and goes on
