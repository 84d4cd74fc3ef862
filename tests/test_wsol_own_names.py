"""What a network calls its classes goes before a data set's `classes.csv`."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import wsol
from eval.imagenet import imagenet_outputs
from eval.manifest import open_data_set
from tdam import create_model
from wsol.classes import find_class, imagenet_names
from wsol.label_matching import match_evaluated

FAULT = pytest.mark.fault("numbers: whose class names count")
CLASSES = {0: 0, 1: 217, 2: 482, 3: 497}  # tench, English springer, cassette player, church
REVERSED = imagenet_names()[::-1]
RIGHT = {label: 999 - index for label, index in CLASSES.items()}
WNIDS = tuple(sorted(imagenet_outputs(), key=lambda wnid: imagenet_outputs()[wnid]))


@pytest.fixture
def data(tmp_path):
    """Four images of four classes in splits test and val, with ImageNet's numbers beside them."""
    rows = [f"{label},{index},{imagenet_names()[index]}" for label, index in CLASSES.items()]
    (tmp_path / "classes.csv").write_text("\n".join(["label,imagenet1k_index,name", *rows]))
    for split, labels in (("test", (0, 1, 2)), ("val", (3,))):
        ids = [f"{label}.png" for label in labels]
        home = tmp_path / split
        home.mkdir()
        (home / "image_ids.txt").write_text("\n".join(ids))
        (home / "class_labels.txt").write_text("\n".join(f"{n}.png,{n}" for n in labels))
        (home / "image_sizes.txt").write_text("\n".join(f"{name},40,30" for name in ids))
        (home / "localization.txt").write_text("\n".join(f"{name},0,0,39,29" for name in ids))
        for label in labels:
            Image.new("RGB", (40, 30), (60 * label, 90, 30)).save(tmp_path / f"{label}.png")
    return tmp_path


def match(data, names, **options):
    opened = open_data_set(data)
    return match_evaluated(opened.load("test"), names, data=opened, **options)


@FAULT
@pytest.mark.parametrize("names", [REVERSED, WNIDS[::-1]])
def test_names_in_another_order(data, names):
    outputs, note = match(data, names)
    assert outputs == RIGHT  # label 3, which occurs in another split, too
    assert "own names, not by the numbers" in note


@FAULT
def test_imagenets_own_order_goes_by_the_table(data):
    outputs, note = match(data, imagenet_names())
    assert outputs == CLASSES
    assert "mapped onto ImageNet's 1000 classes" in note


@FAULT
def test_a_table_without_names_is_read_by_imagenets(data):
    rows = [f"{label},{index}" for label, index in CLASSES.items()]
    (data / "classes.csv").write_text("\n".join(["label,imagenet1k_index", *rows]))
    assert match(data, REVERSED)[0] == RIGHT


@FAULT
def test_names_of_the_data_that_only_the_network_shares(data):
    text = (data / "classes.csv").read_text()
    (data / "classes.csv").write_text(text.replace("tench", "a fish"))
    names = tuple("a fish" if name == "tench" else name for name in REVERSED)
    assert match(data, names)[0] == RIGHT


@FAULT
def test_names_that_fit_in_part_and_contradict_the_table_are_refused(data):
    names = tuple("Schleie" if name == "tench" else name for name in REVERSED)
    with pytest.raises(ValueError, match=r"to agree but label 1 is .* no name for 'tench'"):
        match(data, names)
    names = tuple("Schleie" if name == "tench" else name for name in imagenet_names())
    assert match(data, names)[0] == CLASSES  # in part, but in the table's order


@FAULT
def test_names_that_do_not_fit_at_all_leave_it_to_the_table(data):
    names = tuple(f"Klasse {number}" for number in range(1000))
    assert match(data, names)[0] == CLASSES


@FAULT
def test_a_table_that_is_named_wins_and_is_told(data):
    outputs, note = match(data, REVERSED, classes=data / "classes.csv")
    assert outputs == CLASSES
    assert "whatever the network's own names say" in note
    assert "whatever" in match(data, REVERSED, classes=CLASSES)[1]
    assert "whatever" not in match(data, imagenet_names(), classes=CLASSES)[1]


@FAULT
def test_wordnet_ids_mean_the_class_and_not_its_number():
    assert find_class("n01440764", imagenet_names()) == 0
    assert find_class("n01440764", REVERSED) == 999
    assert find_class("tench", WNIDS[::-1]) == 999
    with pytest.raises(ValueError, match="name or number of a class"):
        find_class("n01440764", tuple(f"Klasse {number}" for number in range(1000)))


@FAULT
def test_a_permuted_network_scores_as_the_same_network(data, lite0):
    """The same network with its outputs, and their names, in another order."""
    turned = create_model("efficientnet_lite0")
    state = {name: tensor.clone() for name, tensor in lite0.state_dict().items()}
    for name in ("classifier.weight", "classifier.bias"):
        state[name] = state[name].flip(0)
    turned.load_state_dict(state)
    turned.class_names = REVERSED
    small = replace(lite0.spec.preprocessing, size=64)
    options = {"root": data, "preprocessing": small, "threshold": 0.2, "workers": 0}
    first, second = (wsol.evaluate(model, data, **options).to_dict() for model in (lite0, turned))
    assert first["top1_cls"] == second["top1_cls"]
    assert first["top5_cls"] == second["top5_cls"]
    assert np.isclose(first["box_acc"]["30"], second["box_acc"]["30"])
    with torch.inference_mode():
        images = torch.rand(1, 3, 64, 64)
        torch.testing.assert_close(lite0(images).flip(1), turned(images))
