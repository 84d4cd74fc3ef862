"""Weights in place of a training, and data that an experiment is not of: what they are held to."""

import json
import shutil
import zipfile

import pytest
from shapes import make_shapes
from small_experiments import TOML, read_rows, reproduce

pytestmark = pytest.mark.slow

ONE = TOML.partition("[[models]]")[0].replace("[0, 1]", "[0]") + '[[models]]\nname = "none"\n'
WHOLE = "\n[whole]\nimages = 12\nclasses = 3\ntraining_images = 9\ntraining_set = {}\n"
ODD = "not the experiment as it stands: "


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Data, and an experiment whose only run is trained and scored in `out`."""
    home = tmp_path_factory.mktemp("given")
    make_shapes(home / "data")
    code, _, told = reproduce(home, home / "out", text=ONE)
    assert code == 0, told
    value = read_rows(home / "out")["none", "oracle"]["values"]["max_box_acc"]["mean"]
    expected = f'\n[[expected]]\nmodel = "none"\nscore = "max_box_acc"\nvalue = {value}\n'
    (home / "expecting.toml").write_text(f"{ONE}{WHOLE.format(9)}{expected}tolerance = 0.1\n")
    return home


def give(world, home, change=("", ""), file=None):
    """Score the run of `world` in place of a training, by an experiment with one change."""
    if not (home / "data").exists():
        (home / "data").symlink_to(world / "data")
    weights = world / "out" / "runs"
    if file is not None:
        weights = home / "weights"
        weights.mkdir()
        shutil.copy(world / "out" / "runs" / "none-0" / "model.safetensors", weights / file)
    text = (world / "expecting.toml").read_text()
    assert change[0] in text
    flags = ("--weights", weights, "--models", "none", "--expect")
    code, printed, told = reproduce(home, home / "new", *flags, text=text.replace(*change))
    return code, printed, told, json.loads((home / "new" / "results.json").read_text())


def test_a_run_of_the_same_training_is_the_experiment(world, tmp_path):
    code, printed, told, results = give(world, tmp_path)
    assert code == 0, told
    assert "1 of 1 expected values found" in printed
    assert not {"departures", "given_weights"} & results.keys()
    page = (tmp_path / "new" / "report" / "index.html").read_text()
    assert "finetune: efficientnet_lite0, 1 epochs" in page
    with zipfile.ZipFile(tmp_path / "new" / "experiment.zip") as record:
        assert {"none-0/recipe.toml", "none-0/training.json"} <= set(record.namelist())


@pytest.mark.parametrize(
    ("change", "keys"),
    [
        (("epochs = 1", "epochs = 2"), "epochs"),
        (("size = 32", "size = 32\nlr = 0.5\nlabel_smoothing = 0.0"), "label_smoothing, lr"),
        (("per_class = 3", "per_class = 3\nflip = 0.0"), "flip"),
    ],
)
def test_a_run_of_another_recipe_is_told(world, tmp_path, change, keys):
    code, printed, told, results = give(world, tmp_path, change)
    line = f"none-0: its weights are of a training of another recipe ({keys})"
    assert (code, results["departures"], results["verdicts"]) == (1, [line], []), told
    assert f"{ODD}{line}" in printed
    assert "expected values found" not in printed
    written = line.replace("_", "\\_")  # in Markdown
    table = (tmp_path / "new" / "table.md").read_text()
    assert f"**Not the experiment as it stands:** {written}" in table


def test_a_run_on_other_images_is_told(world, tmp_path):
    make_shapes(tmp_path / "data", {"train": 3, "val": 1, "test": 4})
    code, _, told, results = give(world, tmp_path)
    assert code == 1, told
    assert "none-0: its weights are of a training on other images" in results["departures"]


def test_a_file_tells_nothing_of_its_training(world, tmp_path):
    code, printed, told, results = give(world, tmp_path, file="none-0.safetensors")
    assert code == 0, told
    line = "given for none-0, and nothing tells how they were trained"
    assert f"weights: {line}" in printed
    assert results["given_weights"] == ["none-0"]
    assert f"**Weights:** {line}" in (tmp_path / "new" / "table.md").read_text()
    page = (tmp_path / "new" / "report" / "index.html").read_text()
    assert line in page
    assert "1 epochs" not in page  # which these weights need not have had


@pytest.mark.parametrize(
    ("extra", "lines"),
    [
        (
            {"pink": 3},
            [
                "15 images to train on, where it has 12",
                "4 classes to train on, where it has 3",
            ],
        ),
        ({"red": 1}, ["13 images to train on, where it has 12"]),
    ],
)
def test_more_data_is_not_the_experiment(world, tmp_path, extra, lines):
    shutil.copytree(world / "data", tmp_path / "data")
    folder = tmp_path / "data" / "manifest" / "train"
    names = ["blue", "red", "green", "pink"]
    for name, count in extra.items():
        for i in range(count):
            image_id = f"train/more-{name}-{i}.png"
            shutil.copy(tmp_path / "data/train/red-0.png", tmp_path / "data" / image_id)
            for file, value in (
                ("image_ids", ""), ("class_labels", f",{names.index(name)}"),
                ("image_sizes", ",64,48"), ("localization", ",1,1,9,9"),
            ):  # fmt: skip
                with (folder / f"{file}.txt").open("a") as text:
                    text.write(f"\n{image_id}{value}")
    whole = ("per_class = 3\n", "")
    text = (world / "expecting.toml").read_text().replace(*whole)
    text = text.replace("training_set = 9", "training_set = 12")
    flags = ("--models", "none", "--expect")
    code, printed, told = reproduce(tmp_path, tmp_path / "new", *flags, text=text)
    results = json.loads((tmp_path / "new" / "results.json").read_text())
    assert (code, results["departures"]) == (1, lines), told
    assert "expected values found" not in printed


def test_a_published_value_is_of_any_seed(world, tmp_path):
    (tmp_path / "data").symlink_to(world / "data")
    text = (world / "expecting.toml").read_text().replace("seeds = [0]", "seeds = [0, 1]")
    flags = ("--weights", world / "out" / "runs", "--seeds", 0, "--expect")
    code, _, told = reproduce(tmp_path, tmp_path / "new", *flags, text=text)
    assert (code, "no expected values for these models and seeds" in told) == (2, True)
    code, printed, told = reproduce(
        tmp_path, tmp_path / "new", *flags, text=f"{text}any_seed = true\n"
    )
    assert code == 0, told
    assert "1 of 1 expected values found" in printed
