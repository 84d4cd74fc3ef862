"""A tiny experiment on drawn shapes, the command that runs it, and what it leaves behind."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout

import pytest
from shapes import make_shapes, make_weights

from wsol.benchmarking.experiment_files import load_experiment
from wsol.cli import main

TOML = """
name = "shapes"
base = "finetune"
seeds = [0, 1]
[recipe]
size = 32
epochs = 1
batch_size = 4
per_class = 3
[scoring]
methods = ["layercam"]
output_strides = [16]
thresholds = ["val", 0.2, "oracle"]
[[models]]
name = "none"
[[models]]
name = "tdam_joint"
attention = "tdam"
seeds = [1]
"""


def wsol(*arguments):
    printed, told = io.StringIO(), io.StringIO()
    with redirect_stdout(printed), redirect_stderr(told), pytest.raises(SystemExit) as stop:
        main([str(part) for part in arguments])
    return stop.value.code or 0, printed.getvalue(), told.getvalue()


def reproduce(home, out, *more, text=None):
    if text is not None:
        (home / "shapes.toml").write_text(text)
    file = home / "shapes.toml"
    return wsol("reproduce", file, "--data", home / "data", "--out", out, "--workers", 0, *more)


def read_rows(out):
    return {
        (row["model"], row["threshold"]): row
        for row in json.loads((out / "results.json").read_text())["rows"]
    }


def make_world(home):
    """Write data, experiment and weights; score them in `out`, and keep what that said."""
    make_shapes(home / "data")
    (home / "shapes.toml").write_text(TOML)
    (home / "weights").mkdir()
    for entry, seed in load_experiment(str(home / "shapes.toml")).runs:
        path = home / "weights" / f"{entry.name}-{seed}.safetensors"
        make_weights(entry.recipe.change(seed=seed), path)
    said = reproduce(home, home / "out", "--weights", home / "weights")
    (home / "said.json").write_text(json.dumps(said))
    return home
