"""Standard streams that whoever starts the command has closed, or whose disk is full."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from wsol.cli import main

pytestmark = pytest.mark.slow

CLOSED = "runs: standard output that fails"
PROGRAM = f"{sys.executable} -m wsol"


def shell(command):
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def spot_file(spot, tmp_path):
    path = tmp_path / "spot.png"
    spot.save(path)
    return path


@pytest.fixture
def run_without(monkeypatch, capsys):
    """Run a command in this process, without one of the standard streams."""

    def call(stream, *arguments):
        with monkeypatch.context() as patch:
            patch.setattr(sys, stream, None)
            with pytest.raises(SystemExit) as stop:
                main([str(each) for each in arguments])
        return stop.value.code or 0, *capsys.readouterr()

    return call


@pytest.mark.fault(CLOSED)
@pytest.mark.parametrize(
    "arguments", [("--help",), ("--version",), ("models",), ("predict", "--help"), ("demo", "-h")]
)
def test_what_cannot_be_printed_is_an_error(run_without, arguments):
    code, _, told = run_without("stdout", *arguments)
    assert (code, told) == (1, "Error: standard output: Bad file descriptor\n")
    assert run_without("stderr", *arguments)[0] == 0


@pytest.mark.fault(CLOSED)
def test_files_are_written_without_standard_output(run_without, trained, spot_file, tmp_path):
    flags = ("--checkpoint", trained[0], "--format", "csv")
    code, _, told = run_without("stdout", "predict", spot_file, *flags, "--out", tmp_path / "a")
    assert code == 1
    assert told.count("Error: standard output: Bad file descriptor; the files in") == 1
    code, out, _ = run_without("stderr", "predict", spot_file, *flags, "--out", tmp_path / "b")
    assert (code, out.count("\n")) == (0, 1)
    tables = [(tmp_path / name / "predictions.csv").read_bytes() for name in "ab"]
    assert tables[0] == tables[1]
    code, _, told = run_without("stdout", "predict", spot_file, "--checkpoint", trained[0])
    *_, last = told.splitlines()  # behind where the threshold is from
    assert (code, last) == (1, "Error: standard output: Bad file descriptor")


@pytest.mark.fault(CLOSED)
def test_closed_numbers_go_to_no_file():
    """The system gives the number of a closed stream to the next file that is opened."""
    code = "from wsol.cli.streams import escaped_streams as e; import os\nwith e():\n "
    code += "import sys; sys.exit(os.open(os.devnull, os.O_RDONLY) <= 2)"
    for closed in (">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"):
        assert shell(f"{sys.executable} -c '{code}' {closed}")[0] == 0, closed
    assert shell(f"{PROGRAM} models >&-")[::2] == (
        1,
        "Error: standard output: Bad file descriptor\n",
    )


@pytest.mark.fault(CLOSED)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_messages_that_nobody_can_be_told_end_no_work(trained, spot_file, monkeypatch, capsys):
    arguments = ["predict", str(spot_file), "missing.png", "--checkpoint", str(trained[0])]
    with suppress(OSError), Path("/dev/full").open("w") as full:  # which fails to close, too
        monkeypatch.setattr(sys, "stderr", full)
        with pytest.raises(SystemExit) as stop:
            main(arguments[:2] + arguments[3:])
        assert not stop.value.code
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2
        monkeypatch.undo()
    assert capsys.readouterr().out.count("\n") == 1
