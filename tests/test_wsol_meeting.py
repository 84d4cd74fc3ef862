"""Processes of torchrun before they work together: what each finds, and their commands."""

import json
import os
import platform
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from test_wsol_together import errors

from tdam.job import count_started, join_ranks

APART = Path(__file__).parent / "apart_wsol.py"
MEET = {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511"}


@pytest.fixture
def started(monkeypatch):
    """Make this process one of several, as far as the environment says."""

    def call(**variables):
        for name in (*MEET, "LOCAL_RANK"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return call


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"WORLD_SIZE": "2"}, "there is no RANK, MASTER_ADDR, MASTER_PORT: start them through"),
        ({"WORLD_SIZE": "2", "RANK": "1"}, "there is no MASTER_ADDR, MASTER_PORT: start them"),
        ({**MEET, "RANK": "5"}, "RANK in the environment, as torchrun sets it, to be a whole "
         "number from 0 to 1 but got '5'"),
        ({**MEET, "RANK": "x"}, "from 0 to 1 but got 'x'"),
        ({**MEET, "RANK": "-1"}, "from 0 to 1 but got '-1'"),
        ({**MEET, "MASTER_PORT": "abc"}, "Expected MASTER_PORT in "),
        ({**MEET, "MASTER_PORT": "70000"}, "from 0 to 65535 but got '70000'"),
        ({**MEET, "LOCAL_RANK": ""}, "Expected LOCAL_RANK in "),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE in the environment, as torchrun sets it, to be a whole "
         "number of at least 1 but got 'two'"),
        ({"WORLD_SIZE": "0"}, "of at least 1 but got '0'"),
    ],
)  # fmt: skip
def test_a_process_that_is_none_of_several_says_so_at_once(variables, told, started, run):
    started(**variables)
    code, printed, said = run("evaluate", "nowhere")
    assert (code, printed, said.count("\n")) == (2, "", 1)
    assert said.startswith("Error: Expected ")
    assert told in said
    with pytest.raises(ValueError, match="in the environment"):
        join_ranks()


def test_commands_for_one_process_are_told_before_others_are_waited_for(started, run):
    started(WORLD_SIZE="2", RANK="0", LOCAL_RANK="0")
    code, _, said = run("predict", "photo.jpg")
    assert (code, said.count("start wsol predict without it")) == (2, 1)
    started(WORLD_SIZE="1", RANK="x")
    assert count_started() == 1
    assert run("--help")[0] == 0


def test_processes_that_cannot_meet_say_why(started, run):
    with socket.create_server(("", 0)) as server:  # where the first one would wait for the others
        port = str(server.getsockname()[1])
        started(**{**MEET, "RANK": "0", "MASTER_PORT": port})
        code, _, said = run("evaluate", "nowhere")
    assert code == 1
    assert len(errors(said)) == 1
    assert "Error: process 0 cannot meet the others: " in said
    assert port in errors(said)[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("second", "told"),
    [
        (("evaluate", "dta", "--out", "out"), "has data where process 1 ({}) has dta;"),
        (("evaluate", "data", "--out", "o t"), "has out where process 1 ({}) has 'o t';"),
        (("evaluate", "data", "--out", "out", "--force"),
         "has no further argument where process 1 ({}) has --force;"),
        (("train", "data", "--out", "out"), "has evaluate where process 1 ({}) has train;"),
    ],
)  # fmt: skip
def test_processes_with_other_commands_do_nothing(tmp_path, second, told):
    own = ("evaluate", "data", "--out", "out")
    start = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--", str(APART))
    folders = json.dumps([str(tmp_path)] * 2)
    done = subprocess.run(
        [sys.executable, *start, *own], cwd=tmp_path, capture_output=True, text=True, timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1", "APART": folders, "AS_1": shlex.join(second)},
    )  # fmt: skip
    assert done.returncode != 0
    (line,) = errors(done.stderr)
    assert f"process 0 ({platform.node()}) {told.format(platform.node())}" in line
    assert not list(tmp_path.iterdir())
