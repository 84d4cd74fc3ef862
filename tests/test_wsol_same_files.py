"""Processes of torchrun that see other files than the first one: all refuse to go on."""

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from shapes import make_shapes, make_weights
from small_objects import FLAGS
from test_wsol_together import errors

from tdam.training.recipe import Recipe

APART = Path(__file__).parent / "apart_wsol.py"
EVALUATE = ("evaluate", "data", "--checkpoint", "w.safetensors", "--workers", 1, "--out", "out")
HOST = platform.node()


def start(folders, *arguments):
    """Run the command in two processes of torchrun, each in its folder: exit code, stderr."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", 2, "--", APART]
    apart = {"APART": json.dumps([str(folder) for folder in folders]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(part) for part in (*command, *arguments)], cwd=folders[0], capture_output=True,
        text=True, timeout=600, env={**os.environ, **apart},
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def disks(tmp_path_factory):
    """Two folders with the same data, copied, and weights."""
    home = tmp_path_factory.mktemp("disks")
    make_shapes(home / "a" / "data", {"train": 4, "val": 2, "test": 3})
    make_weights(Recipe(size=64, attention="tdam", output_stride=16), home / "a" / "w.safetensors")
    shutil.copytree(home / "a", home / "b")
    return home / "a", home / "b"


def restore(disks):
    shutil.copytree(disks[0] / "data", disks[1] / "data", dirs_exist_ok=True)
    shutil.rmtree(disks[0] / "out", ignore_errors=True)


def sees(path, first, second):
    return (
        f"Error: Expected all processes to see the same files but of {path} process 0 ({HOST}) "
        f"sees {first}, process 1 ({HOST}) sees {second}; put the files on a disk"
    )


@pytest.mark.slow
@pytest.mark.fault("processes: one sees other files")
def test_processes_that_see_other_images_do_not_score_them(disks):
    """Another size, another content of one size and time, and no file; copies are the same."""
    restore(disks)
    images = sorted((disks[1] / "data" / "test").glob("*.png"))
    mine = disks[0] / "data" / "test" / images[3].name
    name, size = f"data/test/{images[3].name}", mine.stat().st_size
    for content, first, second in (
        (mine.read_bytes() + b" ", f"{size:,} bytes", f"{size + 1:,} bytes"),
        (mine.read_bytes()[:-1] + b" ", "content ", "content "),
        (None, f"{size:,} bytes", "no file"),
    ):
        restore(disks)
        if content is None:
            images[3].unlink()
        else:
            images[3].write_bytes(content)
            stat = mine.stat()
            os.utime(images[3], ns=(stat.st_atime_ns, stat.st_mtime_ns))
        code, said = start(disks, *EVALUATE)
        told = errors(said)
        assert (code != 0, len(told)) == (True, 1), said
        told = told[0]
        if first == "content ":
            parts = told.split("content ")
            assert parts[1][:12] != parts[2][:12]
            told = told.replace(parts[1][:12], "").replace(parts[2][:12], "")
        assert told.startswith(sees(name, first, second))
        assert not (disks[0] / "out").exists()
    restore(disks)
    code, said = start(disks, *EVALUATE)
    assert code == 0, said
    scores = (disks[0] / "out" / "scores.json").read_bytes()
    images[3].write_bytes(b"")
    code, said = start(disks, *EVALUATE, "--force")  # which removes nothing before
    assert errors(said)[0].startswith(sees(name, f"{size:,} bytes", "0 bytes"))
    assert (disks[0] / "out" / "scores.json").read_bytes() == scores


@pytest.mark.slow
@pytest.mark.fault("processes: one sees other files")
def test_processes_that_see_other_images_are_not_trained(disks):
    restore(disks)
    image = sorted((disks[1] / "data" / "train").glob("*.png"))[0]
    size = image.stat().st_size
    image.unlink()
    code, said = start(disks, "train", "data", *FLAGS, "--out", "run")
    assert code != 0
    told = sees(f"data/train/{image.name}", f"{size:,} bytes", "no file")
    assert errors(said)[0].startswith(told)
    assert not list((disks[0] / "run").glob("[!.]*"))
    restore(disks)
    code, said = start(disks, "train", "data", *FLAGS, "--out", "run")  # OUT is no shared folder
    assert code != 0
    assert "sees no file" in errors(said)[0]
    assert "run/cache/" in errors(said)[0]
