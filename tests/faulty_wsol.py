"""The command `wsol`, one process of which fails: FAULT says which rank, where, when and how."""

import os
import signal

import wsol.maps.passes
from tdam.training import loop

RANK, WHERE, WHEN, HOW = os.environ["FAULT"].split()
calls = 0


def failing(work):
    """Do the work, but fail in place of one call."""

    def call(*args, **kwargs):
        global calls
        calls += 1
        if calls == int(WHEN):
            if HOW == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(5, "Input/output error", "a disk")
        return work(*args, **kwargs)

    return call


if os.environ["RANK"] == RANK:
    if WHERE == "scoring":
        wsol.maps.passes.run_pass = failing(wsol.maps.passes.run_pass)
    elif WHERE == "reading":
        loop._note_unreadable = failing(loop._note_unreadable)
    else:
        loop._Training.step = failing(loop._Training.step)

if __name__ == "__main__":
    from wsol.cli import main

    main()
