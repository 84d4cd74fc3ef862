"""What would fail only after hours is told before the first run is trained or scored."""

import shutil

import pytest
from shapes import make_shapes, make_weights
from small_experiments import TOML, reproduce

from tdam.training.recipe import load_recipe
from wsol.benchmarking.expected import check_measurable
from wsol.benchmarking.experiment_files import load_experiment
from wsol.benchmarking.experiment_names import list_experiments

pytestmark = pytest.mark.slow

EXPECTED = '[[expected]]\nscore = "top1_loc"\nvalue = 1\ntolerance = 100\n'


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    home = tmp_path_factory.mktemp("preflight")
    make_shapes(home / "data")
    (home / "weights").mkdir()
    for number, names in enumerate((("a", "b", "c"), ("a", "b"))):
        recipe = load_recipe("finetune").change(size=32)
        make_weights(recipe, home / "weights" / f"none-{number}.safetensors", names)
    return home


@pytest.fixture
def world(made, tmp_path):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def drop(home, *names):
    for name in names:
        for path in (home / "data" / "manifest").glob(name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def one_image_a_class(home):
    """Leave nothing that could be held out."""
    drop(home, "val")
    for path in (home / "data" / "manifest" / "train").iterdir():
        path.write_text("\n".join(path.read_text().splitlines()[::4]))


NOTHING = {"a threshold off the grid": (
    TOML.replace("0.2", "0.12345"), None, "grid of 0.001"),
    "no boxes to choose by": (
        TOML.replace(', 0.2, "oracle"', ""), lambda h: drop(h, "val/localization.txt"),
        "Expected boxes"),
    "no val and nothing held out": (TOML, one_image_a_class, "two images, to hold one out"),
    "no split to report": (
        TOML.replace("[scoring]", '[scoring]\nsplit = "holdout"'), None, "holdout"),
    "no boxes to score": (TOML, lambda h: drop(h, "test/localization.txt"), "boxes"),
    "no images to score": (TOML, lambda h: shutil.rmtree(h / "data" / "test"), "none of 12 images"),
    "an expected rule that is not scored": (
        TOML + EXPECTED + 'model = "none"\nthreshold = 0.3\n', None, "Expected threshold among"),
    "an expected stride": (
        TOML + EXPECTED + 'model = "none"\noutput_stride = 8\n', None, "output_stride among 16"),
    "an expected difference from nothing": (
        TOML + EXPECTED + 'model = "none"\ndifference = true\n', None, "compared with another"),
    "starting weights that are gone": (
        TOML.replace("[recipe]", '[recipe]\nweights = "gone.safetensors"'), None, "no such file"),
    "boxes to choose an epoch by": (
        TOML.replace("[recipe]", '[recipe]\nselect = "localization"'),
        lambda h: drop(h, "val/localization.txt"), "boxes of validation images"),
    "a file where trainings go": (TOML, lambda h: block(h, "runs"), "runs"),
    "a file where scores go": (TOML, lambda h: block(h, "scores"), "scores"),
    "a folder where the table goes": (TOML, lambda h: block(h, "table.md/x"), "table.md"),
}  # fmt: skip


def block(home, name):
    path = home / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text("in the way")
    (home / "out" / "experiment.toml").write_text(TOML)


@pytest.mark.fault("runs: a fault that is told after hours")
@pytest.mark.parametrize("kind", NOTHING)
def test_an_experiment_tells_before_it_trains(world, kind):
    text, do, message = NOTHING[kind]
    if do is not None:
        do(world)
    more = ("--expect", "--models", "none,tdam_joint") if "[[expected]]" in text else ()
    code, _, told = reproduce(world, world / "out", *more, text=text)
    assert code in (1, 2), told
    assert message in told
    assert "epoch" not in told.replace("training epochs", "")
    assert not list((world / "out").glob("runs/*/recipe.toml"))


@pytest.mark.fault("runs: a fault that is told after hours")
def test_weights_that_cannot_be_scored_are_named_first(world):
    """One of two networks has other classes; the other file is gone in a second call."""
    flags = ("--weights", world / "weights", "--models", "none")
    code, _, told = reproduce(world, world / "out", *flags, text=TOML)
    assert code == 1
    lines = told.splitlines()
    first = next(i for i, line in enumerate(lines) if "expected num_classes 3" in line)
    assert first < next(i for i, line in enumerate(lines) if line.startswith("score "))
    (world / "weights" / "none-0.safetensors").unlink()
    code, _, told = reproduce(world, world / "out", *flags)
    assert code == 1
    assert not any(line.startswith("score ") for line in told.splitlines())


@pytest.mark.fault("runs: a fault that is told after hours")
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--threshold", "0.12345"), "--threshold: Expected thresholds on the grid"),
        (("--method", "magic"), "--method: "),
        (("--threshold", "val", "--expect", "TOML"), "--expect: Expected values of a"),
    ],
)
def test_a_benchmark_tells_before_it_scores(run, world, flags, message):
    file = world / "expected.toml"
    file.write_text(EXPECTED + 'model = "b"\n')
    code, _, told = run(
        "benchmark", world / "data", "--run", f"a={world / 'weights' / 'none-0.safetensors'}",
        *(file if each == "TOML" else each for each in flags),
    )  # fmt: skip
    assert (code, "score " in told) == (2, False)
    assert message in told


@pytest.mark.fault("runs: a fault that is told after hours")
def test_a_benchmark_needs_boxes_to_choose_by(run, world):
    drop(world, "val/localization.txt")
    flags = ("benchmark", world / "data", "--run", f"a={world / 'weights' / 'none-0.safetensors'}")
    code, _, told = run(*flags, "--threshold", "val")
    assert (code, "--threshold: " in told, "score " in told) == (2, True, False), told


@pytest.mark.parametrize("name", list_experiments())
def test_what_comes_along_can_be_measured(name):
    experiment = load_experiment(name)
    check_measurable(experiment.expected, experiment.references, experiment.scoring)
