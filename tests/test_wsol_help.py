import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from eval.builders import BUILDERS
from tdam.registry import list_models
from tdam.training.recipe import DEFAULT_RECIPE, list_recipes, load_recipe
from wsol.benchmarking.experiment_names import list_experiments
from wsol.cli import train
from wsol.cli.common import METHOD_NAMES
from wsol.evaluation.groups import GROUPINGS
from wsol.writers import WRITERS


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize(
    ("group", "summary"),
    [
        ([], "Score localizations against true boxes or masks, or classes alone where there are "),
        ([], "Reproduce an experiment: train what is missing, score everything, compare, give a "),
        (["manifest"], "Check every line of a data set, and what its manifest.toml promises."),
    ],
)
def test_help_comes_unasked_and_whole(run, monkeypatch, group, summary, width):
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, err = run(*group)
    assert (code, err) == (0, "")
    assert (0, out, "") == run(*group, "--help")
    lines = out.splitlines()
    assert len(lines) > 10
    assert max(map(len, lines)) < min(width, 100)
    assert summary.strip() in " ".join(out.split())
    assert not any(line.endswith("...") for line in lines[1:])


def test_a_flag_alone_is_not_a_command(run):
    assert run("--debug")[1] == run("--help")[1]
    assert run("manifest", "--debug")[1] == run("manifest", "--help")[1]
    code, out, err = run("manifest", "--fly")
    assert (code, out) == (2, "")
    assert "--fly" in err


def test_the_help_of_train_tells_what_the_default_recipe_has(run, monkeypatch):
    _, out, _ = run("train", "--help")
    text = " ".join(out.split())
    wanted = load_recipe("finetune")
    assert f"default: {DEFAULT_RECIPE}," in text
    for flag, value in {"--epochs": 12, "--batch-size": 32, "--lr": 0.0001, "--seed": 0}.items():
        assert getattr(wanted, flag[2:].replace("-", "_")) == value
        assert re.search(rf"{flag} <\w+> [^\[]+\[finetune: {value}\]", text), flag
    assert "[finetune: 224, the network's own]" in text
    assert "[finetune: efficientnet_lite0]" in text
    monkeypatch.setattr(train, "_DEFAULT", replace(wanted, size=160))
    assert train._tell_size() == "160"


@pytest.fixture(autouse=True)
def own_name(monkeypatch):
    """Name the program wsol even where pytest was started by `python -m`."""
    monkeypatch.setattr(sys.modules["__main__"], "__package__", None)
    monkeypatch.setattr(sys, "argv", ["wsol"])


def complete(run, monkeypatch, *words):
    """What bash is offered for the last of some words."""
    monkeypatch.setenv("_WSOL_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "\n".join(["wsol", *words]))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    monkeypatch.setenv("TERMINAL_WIDTH", "")  # which is set for the process
    code, out, err = run()
    assert (code, err) == (0, "")
    return out.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["pre"], ["predict"]),
        (["manifest", "c"], ["check"]),
        (["predict", "--cla"], ["--class", "--class-from-folder"]),
        (["predict", "--format", ""], sorted(WRITERS)),
        (["predict", "photos", "--format", "yo"], ["yolo", "yolo-seg"]),
        (["predict", "photos", "--format", "=", "yo"], ["yolo", "yolo-seg"]),  # as bash cuts it
        (["predict", "photos", "--format", "="], sorted(WRITERS)),
        (["evaluate", "--format=yo", "--protocol", "=", "c"], ["clean"]),
        (["evaluate", "D", "--format", "m"], []),  # masks are made of maps
        (["evaluate", "D", "--protocol", ""], ["wsoleval", "tdam", "clean", "all"]),
        (["evaluate", "--save-maps", "f"], ["float64", "float16"]),
        (["benchmark", "--threshold", "o"], ["oracle", "own"]),
        (["shift", "--method", ""], list(METHOD_NAMES)),
        (["app", "--model", ""], list_models()),
        (["train", "--recipe", ""], list_recipes()),
        (["train", "--select", "l"], ["localization", "last"]),
        (["reproduce", ""], list_experiments()),
        (["manifest", "build", ""], list(BUILDERS)),
        (["manifest", "check", "--against", "imagenet"], ["imagenet10"]),
        (["compare", "--by", ""], list(GROUPINGS)),
        (["predict", "--checkpoint", "eff"], ["efficientnet_lite0_tdam"]),
        (["calibrate", "eff"], ["efficientnet_lite0_tdam"]),
        (["export", "--checkpoint", ""], []),  # files are as likely
        (["compare", "nowhere"], []),  # then the shell offers files
    ],
)
def test_names_are_completed(run, monkeypatch, words, offered):
    assert complete(run, monkeypatch, *words) == offered


def test_bash_completes_by_the_script_that_it_is_given():
    script = """
        source <(wsol --show-completion)
        for word in rep trai; do
            COMP_WORDS=(wsol "$word") COMP_CWORD=1
            _wsol_completion wsol
            echo "${COMPREPLY[@]}"
        done
        COMP_WORDS=(wsol train D --attention = td) COMP_CWORD=5
        _wsol_completion wsol
        echo "${COMPREPLY[@]}"
    """
    home = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "PATH": f"{home}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (done.stdout.split(), done.stderr) == (["reproduce", "train", "tdam"], "")


def test_a_description_for_fish_is_one_line(monkeypatch):
    """Each line is a name: one that is wrapped would be offered as one more."""
    command = Path(sys.executable).with_name("wsol")
    asked = {
        "_WSOL_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_ARGS": "wsol evaluate --",
        "COLUMNS": "60",
    }
    done = subprocess.run(
        [command], env={**os.environ, **asked}, capture_output=True, text=True, check=True
    )
    names = [line.partition("\t")[0] for line in done.stdout.splitlines()]
    assert "--allow-overlap" in names
    assert all(name.startswith("--") for name in names)
