"""The command `wsol` in a process of torchrun, whose folder the environment's APART names."""

import json
import os

if __name__ == "__main__":
    os.chdir(json.loads(os.environ["APART"])[int(os.environ["RANK"])])

    from wsol.cli import main

    main()
