"""What the commands do, called from Python: same data, same scores, same messages, no output."""

import json
import subprocess
import sys

import numpy as np
import pytest
from listeners import Counter
from shapes import make_shapes, make_weights
from small_experiments import TOML
from small_maps import many, write_maps
from small_objects import boxed, fill

import wsol
from eval.coco import to_coco
from eval.manifest import ManifestError, load_split, open_data_set
from tdam import load_checkpoint
from tdam.training.recipe import load_recipe
from wsol.errors import ArgumentError
from wsol.evaluation.metric_names import name_score

PUBLIC = {
    *("Localization", "Localizer", "benchmark", "calibrate", "compare", "evaluate"),
    *("evaluate_maps", "export_network", "reproduce", "shift", "sweep_boxes", "threshold_boxes"),
    "train",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Images with boxes in manifest/, and two networks for them."""
    home = tmp_path_factory.mktemp("workflows")
    make_shapes(home / "data")
    for seed, attention in enumerate(("none", "tdam")):
        recipe = load_recipe("finetune").change(size=32, seed=seed, attention=attention)
        make_weights(recipe, home / f"{attention}.safetensors")
    return home


def test_the_package_lists_its_public_names_and_no_other():
    assert set(dir(wsol)) == PUBLIC == set(wsol.__all__)
    assert all(callable(getattr(wsol, name)) for name in PUBLIC)


@pytest.mark.slow
def test_public_functions_need_no_command_line():
    code = (
        "import sys, wsol; [getattr(wsol, name) for name in dir(wsol)]; import wsol.prediction; "
        "print([m for m in sys.modules if m == 'typer' or m.startswith('wsol.cli')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_folder_of_images_with_its_manifest_is_data_everywhere(world):
    home, manifest = world / "data", world / "data" / "manifest"
    assert load_split(home, "val").ids == load_split(manifest, "val").ids
    opened = open_data_set(home)
    assert (opened.path, opened.root) == (manifest, home)
    assert opened.load("val") is opened.load("val")  # read once
    assert opened.ids == {i for name in opened.splits for i in load_split(home, name).ids}
    with pytest.raises(ManifestError, match="no such file or folder"):
        load_split(home / "nothing")


@pytest.mark.slow
def test_evaluate_is_the_command(world, run, tmp_path, capsys):
    weights = world / "tdam.safetensors"
    listener = Counter()
    scores = wsol.evaluate(
        weights, world / "data", threshold="val", method="layercam", out=tmp_path / "one",
        events=listener,
    )  # fmt: skip
    assert capsys.readouterr() == ("", "")
    assert [task for task, _, _ in listener.tasks] == ["evaluate val", "evaluate test"]
    assert scores.rule == "val"
    code, _, told = run(
        "evaluate", world / "data", "--checkpoint", weights, "--threshold", "val", "--method",
        "layercam", "--json", tmp_path / "scores.json",
    )  # fmt: skip
    assert code == 0, told
    assert json.loads((tmp_path / "scores.json").read_text()) == json.loads(
        json.dumps(scores.to_dict())
    )
    model, _ = load_checkpoint(weights)
    test, val = (load_split(world / "data", name) for name in ("test", "val"))
    again = wsol.evaluate(
        model, test, world / "data", threshold="val", choose=val, method="layercam"
    )
    assert again.result == scores.result
    with pytest.raises(ArgumentError, match="needs the split to choose on"):
        wsol.evaluate(model, test, world / "data", threshold="val")


def test_several_protocols_from_the_same_maps(world):
    model, _ = load_checkpoint(world / "none.safetensors")
    several = wsol.evaluate(model, world / "data", protocol=["wsoleval", "clean"])
    alone = wsol.evaluate(model, world / "data", protocol="clean")
    assert [each.protocol.name for each in several] == ["wsoleval", "clean"]
    assert several[1].result == alone.result
    with pytest.raises(ArgumentError, match="different names"):
        wsol.evaluate(model, world / "data", protocol=["clean", "clean"])


@pytest.mark.parametrize(
    ("options", "argument", "message"),
    [
        ({"split": "nothing"}, "split", "has no split 'nothing'"),
        ({"threshold": "val", "split": "val+test"}, "threshold", "while 'val\\+test' scores it"),
        ({"threshold": 2}, "threshold", "0 to 1 but got 2"),
        ({"threshold": True}, "threshold", "but got True"),
        ({"protocol": "best"}, "protocol", "but got 'best'"),
        ({"formats": ["csv"]}, "formats", "needs --out"),
        ({"save_maps": "int3", "out": "maps"}, "save_maps", "but got 'int3'"),
        ({"root": "nowhere"}, "root", "nowhere: no such folder"),
        ({"method": "eyecam"}, "method", "but got 'eyecam'"),
        ({"layer": "nothing"}, "layer", "but got 'nothing'"),
        ({"step": 3}, "step", "from 1 to 2 but got 3"),
        ({"device": "abacus"}, "device", "but got 'abacus'"),
    ],
)
def test_wrong_use_names_the_argument(world, options, argument, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArgumentError, match=message) as caught:
        wsol.evaluate(world / "tdam.safetensors", world / "data", **options)
    assert caught.value.argument == argument
    assert isinstance(caught.value, ValueError)


def test_results_are_not_overwritten(tmp_path):
    split = many(4)
    write_maps(split, tmp_path / "maps")
    first = wsol.evaluate_maps(split, tmp_path / "maps", out=tmp_path / "out")
    with pytest.raises(ArgumentError, match="choose another folder or add --force"):
        wsol.evaluate_maps(split, tmp_path / "maps", out=tmp_path / "out")
    again = wsol.evaluate_maps(split, tmp_path / "maps", out=tmp_path / "out", force=True)
    assert first == again


@pytest.mark.slow
def test_benchmark_compare_and_reproduce_agree(world, tmp_path, capsys):
    weights = {name: world / f"{name}.safetensors" for name in ("none", "tdam")}
    outcome = wsol.benchmark(
        world / "data", weights, thresholds=["oracle"], methods=["layercam"], out=tmp_path / "b"
    )
    folders = [tmp_path / "b" / name / "layercam-32" / "scored" for name in weights]
    (comparison,) = wsol.compare(*folders)
    row = next(row for row in outcome.rows if row.model == "tdam")
    for score, value in row.values.items():
        gap = comparison.differences[score]
        assert value.difference.difference == pytest.approx(gap.difference)
        assert (value.difference.low, value.difference.high) == pytest.approx((gap.low, gap.high))
    assert outcome.good
    assert outcome.verdicts[0].startswith("tdam vs none, Top-1 Loc, threshold oracle: ")
    with pytest.raises(ArgumentError, match="no such file or folder, and no network"):
        wsol.benchmark(world / "data", {"none": "nothing"})
    (tmp_path / "shapes.toml").write_text(TOML.replace("seeds = [0, 1]\n", "seeds = [1]\n"))
    homes = tmp_path / "weights"
    homes.mkdir()
    (homes / "none-1.safetensors").write_bytes(weights["none"].read_bytes())
    (homes / "tdam_joint-1.safetensors").write_bytes(weights["tdam"].read_bytes())
    reproduced = wsol.reproduce(
        tmp_path / "shapes.toml", world / "data", tmp_path / "out", weights=homes, workers=0
    )
    assert reproduced.good, reproduced.failures
    scores = {(each.model, each.threshold): each for each in reproduced.rows}
    found = wsol.evaluate(
        load_checkpoint(weights["tdam"], output_stride=16)[0], world / "data", threshold=0.2,
        method="layercam",
    )  # fmt: skip
    top1 = scores["tdam_joint", "0.2"].value("top1_loc")
    assert top1 == pytest.approx(found.result.top1_loc)
    assert capsys.readouterr() == ("", "")
    with pytest.raises(ArgumentError, match="holds experiment 'shapes'"):
        wsol.reproduce("cub10_lite0", world / "data", tmp_path / "out")


@pytest.mark.slow
def test_from_labels_to_a_calibrated_localizer(objects, tmp_path, capsys):
    listener = Counter()
    trained = wsol.train(
        objects, tmp_path / "run", epochs=2, size=64, batch_size=8, lr=0.0005, workers=0,
        events=listener,
    )  # fmt: skip
    assert [row["epoch"] for row in listener.rows] == [0, 1, 2]
    assert any(line.startswith("epoch 2/2  loss ") for line in listener.said)
    assert trained.recipe.epochs == 2
    new = fill(tmp_path / "new", 2, first=70)
    (tmp_path / "boxes.json").write_text(json.dumps(to_coco(boxed(new))))
    stored = wsol.calibrate(
        tmp_path / "run", tmp_path / "boxes.json", new, out=tmp_path / "own.safetensors"
    )
    model, _ = load_checkpoint(stored.path)
    assert model.threshold == stored.threshold
    assert capsys.readouterr() == ("", "")
    with pytest.raises(ArgumentError, match="go on with --resume") as caught:
        wsol.train(objects, tmp_path / "run")
    assert caught.value.argument == "out"
    with pytest.raises(ArgumentError) as caught:
        wsol.train(objects, tmp_path / "other", epochs="many")
    assert caught.value.argument == "epochs"
    with pytest.raises(ArgumentError, match="a recipe to have keys among"):
        wsol.train(objects, tmp_path / "other", epoch=3)


def test_scores_have_one_name(world, run, tmp_path):
    for name in ("none", "tdam"):
        weights = world / f"{name}.safetensors"
        wsol.evaluate(weights, world / "data", method="layercam", out=tmp_path / name)
    _, printed, _ = run("compare", tmp_path / "none", tmp_path / "tdam")
    _, told, _ = run("evaluate", world / "data", "--checkpoint", world / "none.safetensors")
    for score in ("max_box_acc", "max_box_acc_v2", "gt_known_loc", "top1_loc"):
        assert name_score(score) in printed
        assert name_score(score) in told
        assert score not in printed


def test_an_interruption_leaves_a_run_that_goes_on(tmp_path):
    split = many(70)
    write_maps(split, tmp_path / "maps")
    whole = wsol.evaluate_maps(split, tmp_path / "maps")

    class Stop(Counter):
        def advance(self, count=1, **figures):
            super().advance(count)
            if len(self.counts) == 40:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wsol.evaluate_maps(split, tmp_path / "maps", out=tmp_path / "out", events=Stop())
    listener = Counter()
    again = wsol.evaluate_maps(split, tmp_path / "maps", out=tmp_path / "out", events=listener)
    assert any(line.startswith("going on with the unfinished run") for line in listener.said)
    assert np.sum(listener.counts) == 70
    assert again.result == whole.result


@pytest.mark.parametrize(
    "ask",
    [
        lambda data: wsol.benchmark(data, {"a": "efficientnet_lite0"}),
        lambda data: wsol.evaluate("efficientnet_lite0", data),
        lambda data: wsol.train(data, out="run"),
    ],
)
def test_a_manifest_that_comes_along_is_found_by_its_name(ask, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ArgumentError, match=r"photos: no such .* comes along is .*images"
    ) as caught:
        ask("photos")
    assert caught.value.argument == "data"
    for other in ("elsewhere/photos", "photo"):
        with pytest.raises(ArgumentError, match=r"no such file or folder$"):
            ask(other)
