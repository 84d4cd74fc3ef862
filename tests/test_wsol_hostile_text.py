"""Names and messages of strangers tell a terminal nothing, and a spreadsheet neither."""

import csv
import json
import os
import pty
import subprocess
import sys
import unicodedata
from io import StringIO
from pathlib import Path

import pytest
from PIL import Image
from small_objects import COLOURS, draw

from eval.tables import guard_cell, read_cell, read_table
from wsol.cli import main
from wsol.text import RAW_BYTES, escape

pytestmark = pytest.mark.slow

TERMINAL = "input: control characters in a name"
FORMULA = "input: a name that a spreadsheet takes for a formula"
NASTY = ("\x1b[2J\x1b]0;owned\x07", "a\r\nb\tc", "\u202egpj.exe", "\x9b31m", "\u2028x", "\x7f\x08")


def is_plain(text):
    """Tell whether a terminal is only shown what is there."""
    return not any(
        unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in text
        if char not in "\n\t"
    )  # fmt: skip


@pytest.fixture
def nasty(tmp_path):
    """A good and a broken image under every name."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in NASTY:
        draw(COLOURS["blue box"], 1).save(folder / f"{name}.png")
        (folder / f"{name}-broken.png").write_bytes(b"\x1b[2J no image\r\n")
    return folder


@pytest.mark.fault(TERMINAL)
def test_lines_of_predict_and_shift(run, trained, nasty, tmp_path, record_property):
    for command in ("predict", "shift"):
        flags = ("--out", tmp_path / "shift") if command == "shift" else ()
        code, out, err = run(command, nasty, "--checkpoint", trained[0], *flags)
        assert code == 1
        assert is_plain(out)
        assert is_plain(err)
        lines = [line.split("\t") for line in out.splitlines()]
        assert len(lines) == 2 * len(NASTY)
        names = {line[0].removeprefix(f"{nasty}/") for line in lines}
        wanted = {escape(name) for name in NASTY}
        assert names == {f"{each}{rest}.png" for each in wanted for rest in ("", "-broken")}
        assert len([line for line in err.splitlines() if "-broken.png: " in line]) == len(NASTY)
    record_property("tried", 4 * len(NASTY))


@pytest.mark.fault(TERMINAL)
def test_files_keep_the_names(run, trained, nasty, tmp_path):
    out = tmp_path / "out"
    kinds = ("--format", "jsonl", "--format", "csv")
    run("predict", nasty, "--checkpoint", trained[0], "--out", out, *kinds)
    wanted = {str(path) for path in nasty.iterdir()}
    with (out / "predictions.jsonl").open(encoding="utf-8") as lines:
        assert {json.loads(line)["file"] for line in lines} == wanted
    with (out / "predictions.csv").open(encoding="utf-8", newline="") as file:
        assert {row["file"] for row in csv.DictReader(file)} == wanted


@pytest.mark.fault(TERMINAL)
@pytest.mark.parametrize(
    "name", ["\x1b[31mred", "\u202egpj", "two\nlines", "tab\tbed", "\udc9bbyte", "=1+1"]
)
def test_names_of_classes_and_splits(run, trained, tmp_path, name):
    """In messages, tables and progress of commands that read a data set of class folders."""
    for folder in (name, f"{name} 2"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for i in range(4):
            draw(COLOURS["blue box"], i).save(tmp_path / "data" / folder / f"{name}{i}.png")
    for arguments in (
        ("manifest", "check", tmp_path / "data"),
        ("evaluate", tmp_path / "data", "--checkpoint", trained[0]),
        ("predict", tmp_path / f"{name}*.png"),
        ("train", tmp_path / "data", "--out", tmp_path / "run", "--model", name),
        ("benchmark", tmp_path / "data", "--run", f"{name}={trained[0]}"),
    ):
        _, out, err = run(*arguments)
        assert is_plain(out), arguments
        assert is_plain(err), arguments
        assert err.count("Error: ") <= 1
    predict = ("predict", tmp_path / "data", "--class-from-folder", "--checkpoint", trained[0])
    done = subprocess.run(
        [sys.executable, "-m", "wsol", *map(str, predict)], capture_output=True, check=False
    )
    out, err = done.stdout.decode(errors="surrogateescape"), done.stderr.decode()
    shown = escape(name, RAW_BYTES)  # a pipe gets the bytes of names as they are
    assert done.returncode == 0
    assert is_plain(out.replace(shown, ""))
    assert is_plain(err)
    assert "Error: " not in err
    assert [line.split("\t")[1] for line in out.splitlines()] == [shown] * 4 + [f"{shown} 2"] * 4


@pytest.mark.fault(TERMINAL)
@pytest.mark.parametrize(
    "settings", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}, {"PYTHONIOENCODING": "latin-1"}]
)
def test_names_that_the_stream_cannot_encode(trained, tmp_path, settings):
    folder = os.fsencode(tmp_path)
    for name in (b"caf\xe9.png", "猫\U0001f63a.png".encode(), b"\xff\x9b31m.png"):
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(b"none")
    command = [sys.executable, "-m", "wsol", "predict", str(tmp_path), "--checkpoint"]
    done = subprocess.run(
        [*command, str(trained[0])], capture_output=True, env=os.environ | settings, check=False
    )
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert len(done.stdout.splitlines()) == 3
    assert folder + b"/caf\xe9.png\terror\t" in done.stdout  # a pipe gets the name's own bytes
    assert rb"caf\xe9.png: " in done.stderr
    assert b"\x9b" not in done.stderr


@pytest.mark.fault(TERMINAL)
def test_a_terminal(trained, nasty):
    """What a terminal gets, bars and tables too, moves no cursor but by the bar's own commands."""
    (nasty / "\udc9bbyte.png").write_bytes(b"")
    reader, writer = pty.openpty()
    command = [sys.executable, "-m", "wsol", "predict", str(nasty), "--checkpoint", str(trained[0])]
    with subprocess.Popen(command, stdout=writer, stderr=writer) as process:
        os.close(writer)
        shown = b""
        try:
            while part := os.read(reader, 65536):
                shown += part
        except OSError:  # the terminal has gone
            pass
    os.close(reader)
    assert process.returncode == 1
    for bad in (b"\x1b]0;", b"\x1b[2J", b"\x07", b"\x7f", b"\x08", b"\x9bbyte", "\u202e".encode()):
        assert bad not in shown
    assert rb"\x1b[2J\x1b]0;owned\x07.png" in shown
    assert rb"\x9bbyte.png" in shown


CELLS = ("=1+1", "+A1", "-A1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''+x", "-1+cmd|' /C calc'!A0")
PLAIN = ("cat", "'tis", "", "-0.5", "+1.2", "-1e-05", "+1.2 to +3.4", "+1.2 (-0.3 to +2.5)", "a=b")


@pytest.mark.fault(FORMULA)
def test_cells(tmp_path, record_property):
    text = StringIO()
    rows = csv.writer(text)
    rows.writerow(["name"])
    for cell in (*CELLS, *PLAIN):
        guarded = guard_cell(cell)
        assert (guarded == cell) == (cell in PLAIN), cell
        assert read_cell(guarded) == cell
        rows.writerow([guarded])
    assert guard_cell(Path("=x/y")) == "'=x/y"
    assert guard_cell(-0.5) == -0.5
    assert guard_cell(None) is None
    (tmp_path / "a.csv").write_bytes(text.getvalue().encode())
    known = [row["name"] for _, row in read_table(tmp_path / "a.csv", ("name",))]
    assert known == [*CELLS, *PLAIN]
    record_property("tried", len(CELLS))


@pytest.mark.fault(FORMULA)
def test_tables_of_the_commands(run, trained, tmp_path, monkeypatch):
    """Boxes, errors, scores of images and tables of a report, of files called like formulas."""
    monkeypatch.chdir(tmp_path)
    Path("=1+1.png").write_bytes(b"")
    draw(COLOURS["blue box"], 1).save("@SUM(A1).png")
    kinds = [part for kind in ("csv", "npy", "yolo") for part in ("--format", kind)]
    code, _, err = run("predict", "=1+1.png", "@SUM(A1).png", "--checkpoint", trained[0], *kinds)
    assert code == 1, err
    for name, count in (("predictions.csv", 2), ("maps.csv", 2), ("yolo/errors.csv", 1)):
        with (Path("wsol-predictions") / name).open(newline="") as file:
            _, *rows = csv.reader(file)
        assert [row[0] for row in rows] == ["'=1+1.png", "'@SUM(A1).png"][:count]
    split = Path("data", "test")
    split.mkdir(parents=True)
    Path("data", "=1+1").mkdir()
    Path("data", "classes.csv").write_text("label,name\n0,'=cmd\n")
    for name, rest in (
        ("image_ids", ""),
        ("class_labels", ",0"),
        ("image_sizes", ",64,48"),
        ("localization", ",12,8,43,35"),
    ):
        (split / f"{name}.txt").write_text(f"=1+1/a.png{rest}")
    Image.new("RGB", (64, 48)).save("data/=1+1/a.png")
    code, _, err = run(
        "evaluate", "data", "--root", "data", "--checkpoint", trained[0], "--class-map",
        "predicted", "--out", "scores", "--report", "page",
    )  # fmt: skip
    assert code == 0, err
    tables = [*Path("scores").glob("*.csv"), *Path("page").rglob("*.csv")]
    cells = [cell for path in tables for row in csv.reader(path.open(newline="")) for cell in row]
    assert "'=1+1/a.png" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "@"))]


def test_debug_shows_where(run, tmp_path):
    for arguments in (("--debug", "predict", "none"), ("predict", "none", "--debug")):
        code, _, err = run(*arguments)
        assert code == 2
        assert err.startswith("Traceback (most recent call last)")
        assert err.endswith("Error: Invalid value for SOURCE: none: no such file or folder\n")
    assert "Traceback" not in run("predict", "none")[2]
    assert "Traceback" not in run("predict", "--", "--debug")[2]
    (tmp_path / "a.json").write_text("[")
    code, _, err = run("manifest", "check", tmp_path / "a.json", "--debug")
    assert (code, "Traceback" in err, err.splitlines()[-1].startswith("Error: ")) == (1, True, True)


@pytest.mark.fault("runs: an error that a file, a disk or memory causes")
@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(28, "No space left on device", "/a\n\x1b[2Jb"), r"/a\n\x1b[2Jb: No space left"),
        (PermissionError(13, "Permission denied", b"/a"), "/a: Permission denied"),
        (OSError("torn"), "unexpected OSError: torn; --debug shows where"),
        (MemoryError(), "out of memory (no more to be had); --debug shows where"),
        (RecursionError("too\ndeep"), "unexpected RecursionError: too deep; --debug shows where"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"), "unexpected UnicodeDecodeError: "),
        (KeyError("a"), "unexpected KeyError: 'a'; --debug shows where"),
    ],
)
def test_errors_that_nobody_expected_are_a_line(monkeypatch, capsys, error, told):
    """The data set's reader fails as a disk makes it fail."""
    from wsol import shipped

    def fail(*_):
        raise error

    monkeypatch.setattr(shipped, "check_data", fail)
    for flags, count in (((), 1), (("--debug",), 20)):
        with pytest.raises(SystemExit) as stop:
            main(["manifest", "check", ".", *flags])
        assert stop.value.code == 1
        err = capsys.readouterr().err
        assert err.splitlines()[-1].startswith(f"Error: {told}")
        assert (len(err.splitlines()) == 1) == (count == 1)


@pytest.mark.fault("runs: standard output that is full")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device here")
@pytest.mark.parametrize("command", ["models", "--help"])
def test_a_full_standard_output(command):
    arguments = [sys.executable, "-m", "wsol", command]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr == b"Error: standard output: No space left on device\n"


def test_a_closed_standard_output(tmp_path):
    code = f"{sys.executable} -m wsol manifest list >&-"
    done = subprocess.run(["sh", "-c", code], stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr == b"Error: standard output: Bad file descriptor\n"
