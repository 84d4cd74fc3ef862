"""When Python looks for objects that only hold each other, in a command."""

import gc
import subprocess
import sys

import pytest

from wsol.cli import collecting
from wsol.cli.console import ConsoleEvents

USUAL = (700, 10, 10)


@pytest.fixture(autouse=True)
def usual():
    """Thresholds as Python has them, which libraries that other tests load may have changed."""
    before = gc.get_threshold()
    gc.set_threshold(*USUAL)
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_a_task_ends_the_loading():
    with collecting.loading():
        assert gc.get_threshold()[0] > 100 * USUAL[0]
        assert gc.isenabled()
        with ConsoleEvents() as events:
            events.begin("predict", 3)
            assert gc.get_threshold() == USUAL
            frozen = gc.get_freeze_count()
            assert frozen > 0
            since = [[] for _ in range(1000)]
            events.begin("write", 3)  # what came since is looked at
            assert len(since) == 1000
            assert gc.get_freeze_count() <= frozen
    assert gc.get_threshold() == USUAL


def test_an_error_ends_the_loading():
    with pytest.raises(ZeroDivisionError), collecting.loading():
        raise ZeroDivisionError
    assert gc.get_threshold() == USUAL


def test_nothing_is_lost_at_the_end(tmp_path):
    """What was not closed by anybody, and is held by a ring alone, is written all the same."""
    code = f"""
import atexit
from wsol.cli.collecting import loaded, loading
with loading():
    loaded()
    ring = [open({str(tmp_path / "left.txt")!r}, "w")]
    ring[0].write("all of it")
    ring.append(ring)
    atexit.register(print, "said")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "said\n"
    assert (tmp_path / "left.txt").read_text() == "all of it"
