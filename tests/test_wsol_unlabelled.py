"""A threshold without a box: frames that follow objects, and what commands make of it."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from listeners import Counter
from PIL import Image
from shapes import make_shapes
from torch import nn

from eval.geometry import pairwise_iou, to_edges
from eval.splits import Split
from tdam.preprocessing import Preprocessing
from wsol.evaluation.calibration import choose_threshold
from wsol.evaluation.network_maps import NetworkMaps
from wsol.evaluation.unlabelled import choose_unlabelled, explain_choice, find_steady_boxes
from wsol.frames import cut_frame, surround
from wsol.prediction import predict

SIDE = 160


class Bright(nn.Module):
    """Two classes: how bright an image is, and how dark."""

    def __init__(self):
        super().__init__()
        self.look = nn.Conv2d(3, 1, 16, 16, bias=False)
        self.out = nn.Linear(1, 2, bias=False)
        nn.init.constant_(self.look.weight, 1 / 768)
        self.out.weight.data = torch.tensor([[4.0], [-4.0]])

    def forward(self, x):
        return self.out(self.look(x).mean(dim=(2, 3)))


def glow(size, seed):
    """An ellipse that fades out, on black, and the box of what is brighter than 0.3."""
    random = np.random.default_rng(seed)
    half = size * SIDE / 2 * random.uniform(0.85, 1.0, 2)
    middle = SIDE / 2 + (SIDE / 2 - half) * random.uniform(-0.9, 0.9, 2)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    away = ((x - middle[0]) / half[0]) ** 2 + ((y - middle[1]) / half[1]) ** 2
    pixels = 255 * np.exp(away * np.log(0.3))
    box = [*(middle - half), *(middle + half - 1)]
    return Image.fromarray(np.repeat(pixels[..., None], 3, axis=2).astype(np.uint8)), box


def fill(folder, size, count=24):
    folder.mkdir()
    boxes = []
    for i in range(count):
        image, box = glow(size, i)
        image.save(folder / f"{i}.png")
        boxes.append(np.array([box]))
    ids = tuple(f"{i}.png" for i in range(count))
    return Split("test", ids, np.zeros(count, int), np.full((count, 2), SIDE), tuple(boxes))


def source_of(split, folder, **options):
    options = {"classes": {0: 0}, **options}
    given = {"preprocessing": Preprocessing(size=112, mean=(0,) * 3, std=(1,) * 3), "workers": 1}
    return NetworkMaps(Bright(), split, folder, "gradcampp", layer="look", **given, **options)


def test_frames_around_boxes():
    boxes = np.array([[0.2, 0.4, 0.4, 0.6], [0.0, 0.4, 1.0, 0.5]])
    expected = [[0.15, 0.35, 0.45, 0.65], [-0.25, 0.0, 1.25, 0.9]]  # a slim one has room beside it
    np.testing.assert_allclose(surround(boxes, 1.5), expected, atol=1e-12)


def test_a_frame_is_a_crop_where_it_can_be_and_goes_on_in_a_blur():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 80, 3)).astype(np.uint8)
    image = Image.fromarray(pixels)
    inside = cut_frame(image, np.array([0.25, 0.25, 0.75, 0.75]), 100)
    np.testing.assert_array_equal(np.asarray(inside), pixels[10:30, 20:60])
    beyond = np.asarray(cut_frame(image, np.array([-0.25, -0.5, 1.25, 1.5]), 200))
    assert beyond.shape == (80, 120, 3)
    np.testing.assert_array_equal(beyond[20:60, 20:100], pixels)
    assert beyond[:20].std() < pixels.std() / 4
    assert abs(float(beyond[:20].mean()) - pixels.mean()) < 12
    assert max(cut_frame(image, np.array([0.0, 0.0, 1.0, 1.0]), 20).size) == 30
    assert cut_frame(image, np.array([2.0, 2.0, 2.5, 2.5]), 20).size == (30, 15)  # all outside


@pytest.mark.parametrize("size", [0.25, 0.5, 0.8])
def test_the_threshold_follows_the_size_of_objects(tmp_path, size):
    """Objects that fill a quarter, half and most of a side ask for different thresholds."""
    split = fill(tmp_path / "images", size)
    source = source_of(split, tmp_path / "images")
    found = choose_unlabelled(replace(source, split=replace(split, boxes=None, sizes=None)))
    best = choose_threshold(source)
    with_boxes, _ = find_steady_boxes(source)
    pairs = zip(with_boxes.boxes, split.boxes, strict=True)
    steady = [pairwise_iou(to_edges(a), to_edges(b))[0, 0] for a, b in pairs]
    assert np.mean(steady) > 0.75 > best.classic_overlap - 0.05
    assert found.threshold == choose_unlabelled(source).threshold  # true boxes play no part
    assert abs(found.threshold - best.threshold) < abs(0.2 - best.threshold)
    assert found.interval[0] <= found.threshold <= found.interval[1]
    assert (found.images, found.unreadable) == (24, ())


def test_too_few_images_and_blank_maps_are_told(tmp_path):
    few = fill(tmp_path / "few", 0.5, 6)
    with pytest.raises(ValueError, match="at least 24 images to choose a threshold on but got 6"):
        choose_unlabelled(source_of(few, tmp_path / "few"))
    (tmp_path / "blank").mkdir()
    for i in range(3):
        Image.new("RGB", (32, 32)).save(tmp_path / "blank" / f"{i}.png")
    blank = Split("blank", tuple(f"{i}.png" for i in range(3)), np.zeros(3, int))
    with pytest.raises(ValueError, match="all of them are blank"):
        choose_unlabelled(source_of(blank, tmp_path / "blank"))
    (tmp_path / "blank" / "0.png").write_bytes(b"none")
    with pytest.raises(ValueError, match="all of them are blank"):
        choose_unlabelled(source_of(blank, tmp_path / "blank"))


def test_what_is_unsure_says_so(tmp_path):
    split = fill(tmp_path / "images", 0.5)
    found = choose_unlabelled(source_of(split, tmp_path / "images"))
    assert explain_choice(found).startswith(f"threshold {found.threshold:.3f} (")
    assert "24 images, no boxes used" in explain_choice(found)
    assert "unsure" not in explain_choice(replace(found, interval=(0.3, 0.39), overlap=0.7))
    assert "quite another" in explain_choice(replace(found, interval=(0.3, 0.41), overlap=0.7))
    assert "hold still" in explain_choice(replace(found, interval=(0.3, 0.39), overlap=0.5))


def test_predict_finds_its_threshold_on_its_own_images(tmp_path):
    """Broken images are passed over; too few images fall back, and say so."""
    split = fill(tmp_path / "images", 0.5, 25)
    (tmp_path / "images" / "3.png").write_bytes(b"none")
    told = Counter()
    options = {
        "method": "gradcampp", "layer": "look", "names": ["bright", "dark"], "threshold": "auto",
        "preprocessing": Preprocessing(size=112, mean=(0,) * 3, std=(1,) * 3), "workers": 1,
    }  # fmt: skip
    boxes = {}
    predict(
        Bright(), tmp_path / "images", events=told, **options,
        on_result=lambda path, result: boxes.__setitem__(path.name, getattr(result, "boxes", None)),
    )  # fmt: skip
    assert any("24 images, no boxes used" in line for line in told.said)
    true = [to_edges(each)[0] for each in split.boxes]
    hits = [pairwise_iou(boxes[f"{i}.png"], [true[i]])[0, 0] for i in range(25) if i != 3]
    assert np.mean(hits) > 0.75
    told.said.clear()
    predict(Bright(), tmp_path / "images" / "1.png", events=told, **options)
    assert any("at least 24 images" in line for line in told.said)


@pytest.mark.slow
def test_commands_that_take_no_boxes(trained, objects, tmp_path, run):
    """evaluate, calibrate and train find the same kind of threshold, and say that none was used."""
    from small_objects import boxed

    from eval.coco import to_coco
    from tdam import load_checkpoint

    out, _, _ = trained
    (tmp_path / "c.json").write_text(json.dumps(to_coco(boxed(objects))))
    flags = ("--root", objects, "--checkpoint", out, "--allow-overlap", "--workers", 1)
    code, printed, err = run("evaluate", tmp_path / "c.json", *flags, "--threshold", "unlabelled",
                             "--json", tmp_path / "s.json")  # fmt: skip
    assert code == 0, err
    scores = json.loads((tmp_path / "s.json").read_text())["threshold"]
    assert scores["rule"] == "unlabelled"
    assert f"threshold {scores['value']:.3f}, found on the images of" in printed
    assert "no boxes used" in printed
    copy = tmp_path / "copy.safetensors"
    code, printed, err = run("calibrate", out, "--unlabelled", objects, "--out", copy)
    assert code == 0, err
    assert "agreement, no boxes used" in printed
    assert 0 < load_checkpoint(copy)[0].threshold < 1
    code, _, err = run("calibrate", out, "--out", tmp_path / "none.safetensors")
    assert code == 2
    assert "unlabelled photographs" in err
    code, printed, err = run(
        "train", objects, "--out", tmp_path / "run", "--epochs", 1, "--size", 64,
        "--pick-threshold", "unlabelled", "--workers", 0,
    )  # fmt: skip
    assert code == 0, err
    assert "training images, no boxes used" in printed
    stored = load_checkpoint(tmp_path / "run")[0].threshold
    assert f"threshold: {stored:.3f}" in printed


def test_maps_alone_have_no_threshold_without_boxes(tmp_path, run):
    make_shapes(tmp_path / "data", {"test": 1})
    (tmp_path / "maps").mkdir()
    flags = ("--maps", tmp_path / "maps", "--threshold", "unlabelled")
    code, _, err = run("evaluate", tmp_path / "data" / "manifest", *flags)
    assert code == 2
    assert "--threshold: unlabelled needs the network" in err


@pytest.mark.slow
def test_commands_that_take_no_boxes_beside_each_other(trained, objects, tmp_path, run):
    """A benchmark finds what evaluate does, keeps it, and refuses what it does not fit."""
    from small_objects import boxed

    from eval.coco import to_coco
    from wsol.benchmarking.score_store import VARIANTS, check_whole
    from wsol.evaluation.comparison import ResultError

    data = tmp_path / "c.json"
    data.write_text(json.dumps(to_coco(boxed(objects))))
    flags = ("--root", objects, "--allow-overlap", "--workers", 1, "--threshold", "unlabelled")
    found = tmp_path / "s.json"
    code, _, err = run("evaluate", data, "--checkpoint", trained[0], *flags, "--json", found)
    assert code == 0, err
    alone = json.loads(found.read_text())
    maps = tmp_path / "maps"
    maps.mkdir()
    command = (
        "benchmark", data, "--run", f"net={trained[0]}", *flags, "--threshold", 0.2,
        "--out", tmp_path / "out",
    )  # fmt: skip
    code, printed, err = run(*command)
    assert code == 0, err
    told = f"threshold {alone['threshold']['value']:.3f} ("
    assert told in err
    assert "no boxes used" in printed
    first, fixed = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    assert (first["threshold"], fixed["threshold"]) == ("unlabelled", "0.2")
    assert first["levels"] == [alone["threshold"]["value"]]
    for score in ("gt_known_loc", "top1_loc"):
        assert first["values"][score]["mean"] == pytest.approx(alone[score])
    code, again, err = run(*command, "--force")
    assert (code, again) == (0, printed)
    assert told not in err  # kept
    code, _, err = run(*command[:2], "--run", f"theirs=maps:{maps}", *flags)
    assert code == 1
    assert "unlabelled needs the network that the maps are of" in err

    _, _, err = run("predict", objects, "--checkpoint", trained[0])
    assert "none is stored with the weights; --threshold auto (threshold='auto') asks these" in err
    _, _, err = run("predict", next(objects.rglob("*.png")), "--checkpoint", trained[0])
    assert "--threshold auto" not in err  # too few

    folder = next((tmp_path / "out").rglob(VARIANTS)).parent
    check_whole(folder)
    variants = json.loads((folder / VARIANTS).read_text())
    variants[0]["unlabelled"] += 0.01
    (folder / VARIANTS).write_text(json.dumps(variants))
    with pytest.raises(ResultError, match="that was chosen but it is"):
        check_whole(folder)


@pytest.mark.slow
def test_commands_that_take_no_boxes_need_some_images(trained, tmp_path, run):
    make_shapes(tmp_path / "data", {"test": 2})
    command = ("benchmark", tmp_path / "data" / "manifest", "--run", f"net={trained[0]}")
    code, _, err = run(*command, "--threshold", "unlabelled", "--root", tmp_path / "data")
    assert code == 1
    assert "Expected at least 24 images for the rule unlabelled but got" in err
