"""Images with a class and nothing else: the classes are scored, and nothing is localized."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from eval.manifest import load_split, open_data_set
from tdam import create_model
from tdam.preprocessing import Preprocessing
from wsol import evaluate
from wsol.classes import imagenet_names
from wsol.errors import ArgumentError
from wsol.label_matching import match_evaluated

SMALL = Preprocessing(size=64)


def fill(folder, names, count=2):
    """Class folders of noise."""
    random = np.random.default_rng(0)
    for name in names:
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = random.integers(0, 256, (24, 32, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


@pytest.mark.parametrize(
    ("names", "outputs"),
    [
        (("0", "1", "10", "2", "999"), (0, 1, 10, 2, 999)),  # ImageNetV2, in the order of text
        (("n01440764", "n03888257", "n15075141"), (0, 701, 999)),
        (("goldfish", "tench"), (1, 0)),
    ],
)
def test_folders_are_classes_by_number_wnid_or_name(tmp_path, names, outputs):
    data = open_data_set(fill(tmp_path / "data", names, 1))
    found, _ = match_evaluated(data.load("test"), imagenet_names(), data=data)
    assert found == dict(enumerate(outputs))


def test_classes_are_those_of_the_network(tmp_path):
    torch.manual_seed(0)
    model = create_model("resnet18", num_classes=1000).eval()
    torch.nn.init.normal_(model.fc.weight, std=0.2)
    data = fill(tmp_path / "data", ("0", "1", "10", "2"), 3)
    split = load_split(data, "test")
    with torch.no_grad():
        inputs = [SMALL(Image.open(data / image_id)) for image_id in split.ids]
        scores = model(torch.stack(inputs))
    wanted = torch.tensor([(0, 1, 10, 2)[label] for label in split.labels])
    wanted[:4] = scores[:4].argsort(1, descending=True)[range(4), [0, 3, 4, 5]]
    table = dict(enumerate(wanted.tolist()))  # a label of its own for every image
    split = replace(split, labels=np.arange(len(split)), class_names=None)
    found = evaluate(
        model, split, data, preprocessing=SMALL, classes=table, out=tmp_path / "out", batch_size=5
    )
    order = scores.argsort(1, descending=True)
    ranks = (order == wanted[:, None]).int().argmax(1)
    content = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert content == json.loads(json.dumps(found.to_dict()))
    assert content["images"] == 12
    assert content["top1_cls"] == pytest.approx(100 * (ranks < 1).float().mean().item())
    assert content["top5_cls"] == pytest.approx(100 * (ranks < 5).float().mean().item())
    assert content["top1_cls"] < content["top5_cls"]
    assert content["gt_known_loc"] is content["box_acc"] is content["errors"] is None
    assert content["threshold"] == {"rule": None, "value": None, "chosen_on": None}
    low, high = content["intervals95"]["top5_cls"]
    assert low < content["top5_cls"] < high
    rows = [json.loads(line) for line in (tmp_path / "out" / "images.jsonl").open()]
    assert [row["rank"] for row in rows] == ranks.tolist()


def test_the_command_says_that_nothing_is_localized(run, tmp_path):
    data = fill(tmp_path / "data", ("0", "1"), 1)
    (data / "1" / "bad.png").write_bytes(b"none")
    code, out, err = run("evaluate", data, "--model", "resnet18", "--weights", "random")
    assert code == 1  # an image that cannot be read
    assert "3 images of test" in out
    assert [line.split()[0] for line in out.splitlines() if " accuracy" in line] == [
        "top-1", "top-5",
    ]  # fmt: skip
    assert "no boxes, so that nothing is localized; image squash" in out
    assert "Loc" not in out
    assert "test has no boxes: classes are scored, nothing is localized" in err


@pytest.mark.parametrize(
    "flags",
    [
        ("--threshold", "val"),
        ("--threshold", 0.2),
        ("--class-map", "predicted"),
        ("--method", "cam"),
        ("--layer", "layer4"),
        ("--protocol", "all"),
        ("--save-maps", "uint8", "--out", "OUT"),
        ("--format", "csv", "--out", "OUT"),
        ("--report", "OUT"),
        ("--steps-rule", "any"),
    ],
)
def test_what_needs_boxes_is_refused(run, tmp_path, flags):
    data = fill(tmp_path / "data", ("0", "1"), 1)
    given = [str(flag).replace("OUT", str(tmp_path / "out")) for flag in flags]
    code, out, err = run("evaluate", data, "--model", "resnet18", "--weights", "random", *given)
    assert (code, out) == (2, "")
    assert f"{flags[0]}: {data} has no boxes: its classes can be scored" in err
    assert not (tmp_path / "out").exists()


def test_maps_alone_tell_no_classes(run, tmp_path):
    data = fill(tmp_path / "data", ("0", "1"), 1)
    code, _, err = run("evaluate", data, "--maps", tmp_path)
    assert code == 2
    assert "DATA: Expected split test to have boxes but it has none" in err


def test_labels_that_do_not_fit_are_named(tmp_path):
    data = fill(tmp_path / "data", ("crow", "rook"), 1)
    model = create_model("resnet18", num_classes=3)
    with pytest.raises(ArgumentError, match="network's 3 classes but got 2 classes"):
        evaluate(model, data, preprocessing=SMALL)
