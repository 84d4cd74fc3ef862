"""The command `wsol` in a process of torchrun with a folder, or a command, of its own.

The environment's APART names the folder of every process, and AS_1, if set, a command.
"""

import json
import os
import shlex
import sys

if __name__ == "__main__":
    rank = os.environ["RANK"]
    os.chdir(json.loads(os.environ["APART"])[int(rank)])
    if own := os.environ.get(f"AS_{rank}"):
        sys.argv[1:] = shlex.split(own)

    from wsol.cli import main

    main()
