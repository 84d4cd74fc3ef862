"""Several processes of torchrun against one: the same files, and an end in order."""

import filecmp
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from shapes import make_shapes, make_weights
from small_experiments import TOML
from small_objects import FLAGS

from tdam import load_checkpoint
from tdam.job import find_ranks
from tdam.ranks import Ranks, RanksError
from tdam.training.recipe import Recipe
from wsol.cli.together import check_command
from wsol.sharing import deal_rows, share

HERE = Path(__file__).parent
FAULTY = str(HERE / "faulty_wsol.py")
MASKS = """
import json, os, sys
import numpy as np
import wsol
from eval.splits import MaskPaths, Split

names = [f"{i}.png" for i in range(7)]
masks = tuple(MaskPaths((name,), None) for name in names)
split = Split("test", tuple(names), np.zeros(7, int), masks=masks)
found = wsol.evaluate_maps(split, "maps", out=sys.argv[1], workers=1)
with open(f"{sys.argv[1]}-{os.environ.get('RANK', 0)}.json", "w") as file:
    json.dump(found.to_dict(), file)
"""


def start(count, *arguments, home, program=("-m", "wsol"), fault=""):
    """Run the command in one process or, by torchrun, in several: exit code, stdout, stderr."""
    several = ("-m", "torch.distributed.run", "--nproc-per-node", count)
    if count > 1:
        program = (*several, *program[:-1], "--", program[-1])
    command = [sys.executable, *program, *arguments]
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "FAULT": fault, "PYTHONFAULTHANDLER": "1"
    }  # fmt: skip
    done = subprocess.run(
        [str(part) for part in command], cwd=home, capture_output=True, text=True, timeout=600,
        env=environment,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def same_files(first, second):
    """Compare two folders byte by byte, and give the names of their files."""
    names = sorted(str(path.relative_to(first)) for path in first.rglob("*") if path.is_file())
    there = [str(path.relative_to(second)) for path in second.rglob("*") if path.is_file()]
    assert names == sorted(there)
    assert filecmp.cmpfiles(first, second, names, shallow=False)[1:] == ([], [])
    return names


def errors(told):
    return [line for line in told.splitlines() if line.startswith("Error: ")]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Data whose test split has seven images, and weights."""
    home = tmp_path_factory.mktemp("together")
    make_shapes(home / "data", {"train": 4, "val": 2, "test": 3})
    for path in (home / "data" / "manifest" / "test").iterdir():
        path.write_text("\n".join(path.read_text().splitlines()[:7]))
    recipe = Recipe(size=64, attention="tdam", output_stride=16)
    make_weights(recipe, home / "w.safetensors")
    return home


EVALUATE = ("evaluate", "data", "--checkpoint", "w.safetensors", "--workers", 1)


def test_batches_are_dealt_as_one_process_has_them():
    rows = range(4, 21)
    for size, count in ((4, 2), (4, 3), (1, 3), (5, 8), (32, 3)):
        dealt = [deal_rows(rows, size, rank, count) for rank in range(count)]
        parts = [[part[i : i + size] for i in range(0, len(part), size)] for part in dealt]
        batches = [parts[i % count][i // count] for i in range(-(-len(rows) // size))]
        assert batches == [list(rows[i : i + size]) for i in range(0, len(rows), size)]
        assert sum(map(len, batches)) == sum(map(len, dealt))


def test_one_process_is_all_of_them():
    ranks = Ranks()
    assert list(ranks.interleave(lambda rank, count: iter([rank, count]))) == [0, 1]
    assert list(share(lambda rank, count: iter([rank, count]))) == [0, 1]
    assert ranks.lead(lambda: ranks.run(lambda more=0: more, more=5)) == 5
    assert ranks.sum(1, 2.5) == [1, 2.5]
    assert find_ranks().count == 1
    with pytest.raises(KeyError), ranks.together():
        raise KeyError


def test_commands_that_processes_cannot_share_say_so(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    check_command("evaluate")
    with pytest.raises(typer.BadParameter, match=r"4 processes .*; start wsol predict with"):
        check_command("predict")
    monkeypatch.setenv("WORLD_SIZE", "1")
    check_command("predict")


@pytest.mark.slow
def test_processes_score_what_one_does(world):
    """Two processes, and three of which one has no image."""
    flags = ("--threshold", "val", "--batch-size", 4, "--save-maps", "float16", "--coco",
             "--format", "csv")  # fmt: skip
    told = []
    for count in (1, 2, 3):
        out = ("--out", f"out-{count}", "--json", f"{count}.json", "--report", f"page-{count}")
        code, printed, said = start(count, *EVALUATE, *flags, *out, home=world)
        assert code == 0, said
        told.append(printed)
        assert said.count("report in ") == said.count("maps in ") == 1
        assert len(same_files(world / "out-1", world / f"out-{count}")) > 20
        assert filecmp.cmp(world / "1.json", world / f"{count}.json", shallow=False)
        same_files(world / "page-1" / "tables", world / f"page-{count}" / "tables")
    assert told[0] == told[1] == told[2]
    scores = json.loads((world / "1.json").read_text())
    assert scores["images"] == 7
    assert 0 < scores["max_box_acc_v2"] < 100  # maps that tell images apart


@pytest.mark.slow
def test_processes_judge_and_compare_as_one_does(world):
    """Every step's guess beside a partner's, under several protocols, labels alone, two models."""
    make_weights(Recipe(size=64), world / "plain.safetensors")
    for i, path in enumerate(sorted((world / "data").rglob("*.png"))[:7]):
        folder = world / "labels" / ("circle", "square")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / f"{i}.png")
    (world / "classes.csv").write_text("label,imagenet1k_index\n0,0\n1,1\n")
    guesses = ("--steps-rule", "any", "--partner", "plain.safetensors", "--threshold", "val",
               "--protocol", "all", "--batch-size", 2, "--precision", "bfloat16")  # fmt: skip
    labels = ("evaluate", "labels", "--checkpoint", "w.safetensors", "--classes", "classes.csv",
              "--workers", 1, "--batch-size", 2)  # fmt: skip
    both = ("benchmark", "data", "--run", "a=plain.safetensors", "--run", "b=w.safetensors",
            "--threshold", 0.2, "--workers", 1)  # fmt: skip
    commands = {"guesses": (*EVALUATE, *guesses), "labels": labels, "benchmark": both}
    for name, command in commands.items():
        told = []
        for count in (1, 2):
            out = f"{name}-out-{count}"
            code, printed, said = start(count, *command, "--out", out, home=world)
            assert code == 0, said
            told.append(printed)
        assert told[0] == told[1]
        same_files(world / f"{name}-out-1", world / out)
    scores = json.loads((world / "guesses-out-2" / "wsoleval" / "scores.json").read_text())
    assert [row["name"] for row in scores["steps_rule"]["rows"]][-1] == "partner"
    assert (scores["images"], scores["precision"]) == (7, "bfloat16")
    scores = json.loads((world / "labels-out-2" / "scores.json").read_text())
    assert (scores["images"], scores.get("max_box_acc")) == (7, None)


@pytest.mark.slow
def test_processes_of_a_program_score_masks_as_one_does(world):
    """A program's own calls, whose every process gets the scores."""
    random = np.random.default_rng(0)
    (world / "maps").mkdir()
    for i in range(7):
        np.save(world / "maps" / f"{i}.png.npy", random.random((224, 224)))
        pixels = (random.random((40, 50)) < 0.3).astype(np.uint8) * 255
        Image.fromarray(pixels).save(world / "maps" / f"{i}.png")
    (world / "masks.py").write_text(MASKS)
    for count in (1, 3):
        code, _, said = start(count, f"masks-{count}", home=world, program=("masks.py",))
        assert code == 0, said
    same_files(world / "masks-1", world / "masks-3")
    scores = [(world / f"masks-{name}.json").read_text() for name in ("1-0", "3-0", "3-1", "3-2")]
    assert len(set(scores)) == 1
    assert 0 < json.loads(scores[0])["pxap"] < 100


@pytest.mark.slow
def test_processes_reproduce_what_one_does(world):
    text = TOML.replace("seeds = [0, 1]", "seeds = [1]")
    several = '[scoring]\nprotocols = ["wsoleval", "tdam", "clean"]'  # in two passes
    (world / "shapes.toml").write_text(text.replace("[scoring]", several))
    command = ("reproduce", "shapes.toml", "--data", "data", "--workers", 0)
    code, printed, said = start(2, *command, "--out", "two", home=world)
    assert code == 0, said
    assert said.count("table in ") == said.count("[2/2] tdam_joint-1") == 1
    kept = world / "by-two"
    shutil.copytree(world / "two", kept)
    code, again, said = start(1, *command, "--out", "two", home=world)
    assert (code, again) == (0, printed), said
    assert "score " not in said  # what two have done is done for one
    assert "0 to train" in said
    shutil.rmtree(world / "two" / "scores")
    (world / "two" / "experiment.zip").unlink()
    code, again, said = start(1, *command, "--out", "two", home=world)
    assert (code, again) == (0, printed), said
    assert said.count("score ") == 8
    for name in ("table.md", "table.csv", "results.json", "experiment.zip"):
        assert filecmp.cmp(kept / name, world / "two" / name, shallow=False), name
    same_files(kept / "scores", world / "two" / "scores")


@pytest.mark.slow
@pytest.mark.fault("processes: one of several is killed or fails while they score")
def test_what_ends_one_process_ends_all_while_they_score(world):
    flags = ("--split", "val+test", "--batch-size", 1)
    out = (*flags, "--out", "cut")
    code, _, said = start(
        2, *EVALUATE, *out, home=world, program=(FAULTY,), fault="1 scoring 6 killed"
    )
    assert code != 0
    assert len(errors(said)) <= 1  # torchrun may be faster to end the others
    unfinished = (world / "cut" / "unfinished.bin").stat().st_size
    assert unfinished
    for rank in (0, 1):
        code, _, said = start(
            2, *EVALUATE, *out, home=world, program=(FAULTY,), fault=f"{rank} scoring 2 failing"
        )
        assert code != 0
        assert errors(said) == ["Error: a disk: Input/output error"]
        assert "going on with the unfinished run" in said
        assert not (world / "cut" / ".lock").exists()
    assert (world / "cut" / "unfinished.bin").stat().st_size >= unfinished
    code, _, said = start(3, *EVALUATE, *out, home=world)  # as many as there are now
    assert code == 0, said
    assert start(1, *EVALUATE, *flags, "--out", "whole", home=world)[0] == 0
    same_files(world / "whole", world / "cut")
    code, printed, said = start(2, "evaluate", "nowhere", home=world)
    assert (code != 0, printed, len(errors(said))) == (True, "", 1)
    assert "nowhere: no such file" in said


@pytest.mark.slow
@pytest.mark.fault("processes: one of several is killed or fails while they train")
def test_what_ends_one_process_ends_all_while_they_train(objects, tmp_path):
    """A killed run goes on to the weights of one that was not; an error is told once."""
    command = ("train", objects, *FLAGS)
    code, _, said = start(2, *command, "--out", "whole", home=tmp_path)
    assert code == 0, said
    for out, fault, told in (
        ("step", "0 step 3 failing", "Error: process 0 of 2: OSError: [Errno 5] "),
        ("read", "1 reading 2 failing", "Error: a disk: Input/output error"),
        ("cut", "1 step 6 killed", "Error: another process of this job has ended"),
    ):
        code, _, said = start(
            2, *command, "--out", out, home=tmp_path, program=(FAULTY,), fault=fault
        )
        assert code != 0
        if out != "cut" or errors(said):  # torchrun may be faster to end the others
            assert len(errors(said)) == 1
            assert errors(said)[0].startswith(told)
    again = ("train", objects, "--resume", "--workers", 0, "--out", "cut")
    code, _, said = start(2, *again, home=tmp_path)
    assert code == 0, said
    ends = [load_checkpoint(tmp_path / out)[0].state_dict() for out in ("whole", "cut")]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_an_error_that_others_do_not_share_breaks_the_work_off():
    ranks = Ranks(0, 2)
    with pytest.raises(RanksError, match="process 0 of 2: ValueError: too large"):
        ranks._in_step(lambda: fail("too large"))
    with pytest.raises(RanksError, match="no longer work together"):
        ranks.sum(1)


def fail(message):
    raise ValueError(message)
