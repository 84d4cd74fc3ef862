"""Drafts of classes that a network does not know: folders name them, and a vote chooses the map."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from small_objects import COLOURS, draw
from small_results import NAMES, SECOND, write

from tdam.preprocessing import Preprocessing
from tdam.registry import create_model
from wsol.classes import imagenet_names, near_names
from wsol.errors import ArgumentError, OutputError
from wsol.folder_classes import classify_folders
from wsol.folder_votes import MOST_VOTERS, hold_vote
from wsol.localizer import Localizer
from wsol.prediction import predict

KNOWN = ("cat", "blue box", "7")
SMALL = Preprocessing(size=64)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    model = create_model("resnet18", num_classes=3)
    model.class_names = KNOWN
    return model


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of two classes that the network does not know, and of one that it does."""
    home = tmp_path_factory.mktemp("folders") / "in"
    for name, colour in (
        ("001.Emu/day 1", "red_ball"),
        ("blue_box", "blue box"),
        ("yak", "sea-green"),
    ):
        (home / name).mkdir(parents=True)
        for i in range(3):
            draw(COLOURS[colour], i).save(home / name / f"{i}.png")
    (home / "yak" / "0.png").write_bytes(b"")
    draw(COLOURS["red_ball"], 9).save(home / "001.Emu" / "9.png")
    return home


class Lines(list):
    """Listens to what is said."""

    def __getattr__(self, name):
        return self.append if name == "say" else lambda *rest, **more: None


@pytest.mark.parametrize(
    ("path", "sources", "name"),
    [
        ("in/emu/a.jpg", ["in"], "emu"),
        ("in/emu/b/c/a.jpg", ["in"], "emu"),
        ("in/emu/a.jpg", ["in/emu"], "emu"),
        ("in/emu/a.jpg", ["in/emu/a.jpg"], "emu"),
        ("in/emu/b/a.jpg", ["list.txt"], "b"),
        ("in/emu/cat/a.jpg", ["in"], "cat"),
        ("in/cat/day/a.jpg", ["in"], "cat"),
        ("in/emu/7/a.jpg", ["in"], "emu"),  # a number there is hardly a class's
        ("in/7/a.jpg", ["in"], "7"),
        ("emu/a.jpg", ["."], "emu"),
    ],
)
def test_a_folder_below_the_source_names_the_class(path, sources, name):
    known = classify_folders([Path(path)], sources, ("dog", "cat"))
    assert known.names[known.labels[0]] == name


def test_folders_of_splits_are_no_classes(tmp_path):
    for name in ("train/emu", "val/emu"):
        (tmp_path / name).mkdir(parents=True)
        Image.new("RGB", (2, 2)).save(tmp_path / name / "a.png")
    paths = sorted(tmp_path.rglob("*.png"))
    assert classify_folders(paths, [tmp_path], KNOWN).names == ("emu",)


def test_maps_are_of_the_class_that_the_network_sees(network, folders, tmp_path):
    results, lines = {}, Lines()
    out = tmp_path / "out"
    summary = predict(
        network, folders, out, formats=["coco-dataset", "labelstudio", "yolo", "jsonl"],
        class_from_folder=True, preprocessing=SMALL, on_result=results.__setitem__, events=lines,
    )  # fmt: skip
    assert (summary.images, summary.failed) == (10, 1)
    votes = {line.split(": maps of ")[0]: line for line in lines if ": maps of " in line}
    assert list(votes) == ["001.Emu", "yak"]
    assert "of 4 images" in votes["001.Emu"]
    assert "of 2 images" in votes["yak"]
    localizer = Localizer(network, preprocessing=SMALL)
    for path, result in results.items():
        if path.name == "0.png" and path.parent.name == "yak":
            continue
        name = path.relative_to(folders).parts[0]
        assert result.name == name.replace("_", " ")
        whose = next((each for each in KNOWN if f'"{each}"' in votes.get(name, "")), "blue box")
        wanted = localizer(path, KNOWN.index(whose))
        np.testing.assert_allclose(result.boxes, wanted.boxes)
        assert result.score == pytest.approx(wanted.score, rel=1e-5)
    names = ["001.Emu", "blue box", "yak"]
    categories = COCO(out / "coco_dataset.json").dataset["categories"]
    assert [each["name"] for each in categories] == names
    labels = json.loads(
        (out / "yolo" / "data.yaml").read_text().split("names:")[1].split("0: ")[1].splitlines()[0]
    )
    assert labels == "001.Emu"


def test_a_vote_goes_on_to_the_same_bytes(network, folders, tmp_path):
    options = {"formats": ["coco", "masks"], "class_from_folder": True, "batch_size": 1}
    options["preprocessing"] = SMALL
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    predict(network, folders, whole, **options)

    def stop(path, result):
        if path.name == "1.png" and path.parent.name == "yak":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(network, folders, cut, on_result=stop, **options)
    predict(network, folders, cut, resume=True, **options)
    files = [path.relative_to(whole) for path in whole.rglob("*") if path.is_file()]
    written = [name for name in files if ".wsol" not in str(name)]
    assert len(written) > 9
    assert all((whole / name).read_bytes() == (cut / name).read_bytes() for name in written)
    with pytest.raises(OutputError, match="min score"):
        predict(network, folders, whole, resume=True, min_score=0.1, **options)


def test_a_vote_is_of_some_images_of_the_whole_folder(network, folders):
    localizer = Localizer(network, preprocessing=SMALL)
    good, bad = folders / "yak" / "1.png", folders / "yak" / "0.png"
    assert hold_vote(localizer, [good] * (3 * MOST_VOTERS)).voters == MOST_VOTERS
    assert hold_vote(localizer, [bad, good] * MOST_VOTERS).voters == MOST_VOTERS
    assert hold_vote(localizer, [bad, bad]).voters == 0


def test_improbable_classes_have_no_box(network, folders, tmp_path):
    scores, lines = [], Lines()
    options = {"preprocessing": SMALL}
    images = folders / "blue_box"
    predict(network, images, on_result=lambda _, found: scores.append(found.score), **options)
    least = sorted(scores)[1]
    options |= {"min_score": least, "events": lines}
    predict(network, images, tmp_path, formats="csv", **options)
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [bool(row["x0"]) for row in rows] == [score >= least for score in scores]
    assert [line for line in lines if "less probable" in line] == [
        f"1 of 3 predictions are without a box: their class is less probable than {least:g}"
    ]


def test_lists_have_the_classes_of_folders_or_of_ones_own(tmp_path):
    thousand = imagenet_names()
    for names, classes, wanted in (
        (NAMES, (), list(NAMES)),
        (thousand, (), []),
        (thousand, (7, 3), [thousand[3], thousand[7]]),
    ):
        for kind in ("coco-dataset", "labelstudio", "labelstudio-polygons"):
            write(tmp_path, kind, [SECOND], names, classes=classes)
        content = json.loads((tmp_path / "coco_dataset.json").read_text())
        assert [each["name"] for each in content["categories"]] == wanted
        for kind in ("labelstudio", "labelstudio_polygons"):
            config = (tmp_path / f"{kind}_config.xml").read_text()
            assert config.count("<Label ") == len(wanted)


def test_typing_errors_are_hinted_at(network, folders, tmp_path):
    assert near_names("great whyte shark", imagenet_names()) == ["great white shark"]
    assert near_names("ani", imagenet_names()) == []  # but not a Japanese spaniel
    assert near_names("tiger", imagenet_names())[:2] == ["tiger shark", "tiger cat"]
    assert "goldfish" in near_names("fish", imagenet_names())
    lines = Lines()
    (tmp_path / "blue_bxo").symlink_to(folders / "blue_box")
    predict(network, tmp_path, class_from_folder=True, preprocessing=SMALL, events=lines)
    assert any("blue_bxo: " in line and "near it: blue box" in line for line in lines)
    with pytest.raises(ArgumentError, match=r"'001\.Emu', 'yak': its next classes"):
        predict(network, folders, class_from_folder=True, topk=2)
