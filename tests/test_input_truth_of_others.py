"""Images and masks that their truth is not of: told, and no score."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from small_maps import write_maps

from eval.manifest import ManifestError, Split
from eval.masks import read_mask
from eval.splits import MaskPaths
from tdam import create_model
from wsol import evaluate, evaluate_maps
from wsol.evaluation.true_images import TrueImages
from wsol.images import ImageError

SIZES = [(60, 40), (40, 60), (50, 50), (90, 30)]
IDS = tuple(f"{i}.png" for i in range(4))
SWAPPED = "width and height are swapped"
OTHER = "the truth has no position in it"


def store(folder, sizes):
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for name, (width, height) in zip(IDS, sizes, strict=False):
        pixels = random.integers(0, 255, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


def split_of(sizes=SIZES, **truth):
    truth = truth or {"boxes": tuple(np.array([[0, 0, 9, 9]]) for _ in sizes)}
    ids = IDS[: len(sizes)]
    return Split("test", ids, np.zeros(len(sizes), np.int64), np.array(sizes), **truth)


def reasons(folder, split):
    images, told = TrueImages(split, folder), {}
    for row, image_id in enumerate(split.ids):
        try:
            images.read(row)
        except ImageError as error:
            told[image_id] = str(error)
    return told


def four_files(folder, split, lines):
    folder.mkdir(parents=True)
    sizes = [] if split.sizes is None else split.sizes.tolist()
    for name, rows in {
        "image_ids": split.ids,
        "class_labels": [f"{image_id},0" for image_id in split.ids],
        "image_sizes": [f"{i},{w},{h}" for i, (w, h) in zip(split.ids, sizes, strict=False)],
        "localization": lines,
    }.items():
        (folder / f"{name}.txt").write_text("\n".join(rows))


@pytest.mark.fault("input: images of another size than their true boxes")
@pytest.mark.parametrize(
    ("stored", "sizes"),
    [
        (SIZES, SIZES),
        ([(30, 20), (20, 30), (224, 224), (45, 15)], SIZES),
        ([(31, 20), (40, 61), (50, 49), (91, 30)], SIZES),  # rounded
        ([(64, 64)] * 4, SIZES),
        ([(64, 64)], [(90, 30)]),
        ([(40, 30)] * 4, SIZES),  # squashed, since it stands for several aspects
    ],
)
def test_copies_are_read(stored, sizes, tmp_path):
    assert reasons(store(tmp_path, stored), split_of(sizes)) == {}


@pytest.mark.fault("input: images of another size than their true boxes")
@pytest.mark.parametrize(
    ("stored", "sizes", "wrong"),
    [
        ([size[::-1] for size in SIZES], SIZES, {0: SWAPPED, 1: SWAPPED, 3: SWAPPED}),
        ([(40, 60)] * 3, [(60, 40)] * 3, dict.fromkeys(range(3), SWAPPED)),
        ([(20, 30), *SIZES[1:]], SIZES, {0: SWAPPED}),
        ([*SIZES[:3], (90, 60)], SIZES, {3: OTHER}),
        ([(64, 64), *SIZES[1:]], SIZES, {0: OTHER}),  # cropped
        ([(900, 30)], [(90, 30)], {0: OTHER}),
        ([(64, 64)] * 3 + [(30, 90)], SIZES, {3: SWAPPED}),  # the others are squashed all the same
    ],
)
def test_images_of_another_aspect_are_named(stored, sizes, wrong, tmp_path):
    folder = store(tmp_path, stored)
    told = reasons(folder, split_of(sizes))
    assert told.keys() == {IDS[row] for row in wrong}
    for row, reason in wrong.items():
        assert reason in told[IDS[row]]
    labels_only = Split("test", IDS[: len(sizes)], np.zeros(len(sizes)), np.array(sizes))
    assert reasons(folder, labels_only) == {}


@pytest.mark.fault("input: images of another size than their true boxes")
def test_a_turned_image_counts_as_missed(run, tmp_path):
    torch.manual_seed(0)
    model = create_model("efficientnet_lite0", num_classes=1)
    root = store(tmp_path / "images", SIZES)
    Image.open(root / IDS[0]).transpose(Image.Transpose.ROTATE_90).save(root / IDS[0])
    scored = evaluate(model, split_of(), root, threshold=0.2)
    assert [line.split(":")[0] for line in scored.unreadable] == [IDS[0]]
    assert SWAPPED in scored.to_dict()["unreadable"][0]
    data = tmp_path / "data"
    four_files(data / "test", split_of(), [f"{image_id},0,0,9,9" for image_id in IDS])
    code, _, told = run("manifest", "check", data, "--root", root)
    assert (code, SWAPPED in told) == (1, True)


def mask_set(folder, masks, sizes=True):
    """Masks by image, each (ignore, instances), and maps of the images."""
    (folder / "masks").mkdir(parents=True)
    paths = []
    for name, parts in zip(IDS, masks, strict=False):
        names = []
        for number, pixels in enumerate(parts):
            names.append(f"{name}-{number}.png")
            Image.fromarray(np.asarray(pixels, np.uint8)).save(folder / "masks" / names[-1])
        paths.append(MaskPaths(tuple(names), None))
    split = split_of(SIZES[: len(masks)], masks=tuple(paths))
    if not sizes:
        split = Split("test", split.ids, split.labels, masks=split.masks)
    write_maps(split, folder / "maps")
    four_files(
        folder / "data" / "test",
        split,
        [f"{i},{part}," for i, each in zip(split.ids, paths, strict=True)
         for part in each.instances],
    )  # fmt: skip
    return split


def blob(size, value=255):
    pixels = np.zeros(size[::-1], np.uint8)
    pixels[3:20, 5:25] = value
    return pixels


@pytest.mark.fault("numbers: images without foreground")
@pytest.mark.parametrize("empty", [1, 2])
def test_images_without_foreground_are_counted(empty, run, tmp_path):
    values = [0] * empty + [255] * (3 - empty)
    masks = [[blob(size, value)] for size, value in zip(SIZES, values, strict=False)]
    split = mask_set(tmp_path, masks)
    found = evaluate_maps(split, tmp_path / "maps", mask_root=tmp_path / "masks")
    assert found.result.without_foreground == empty
    flags = ("--maps", tmp_path / "maps", "--mask-root", tmp_path / "masks")
    code, out, _ = run(
        "evaluate", tmp_path / "data", *flags, "--json", tmp_path / "x.json",
        "--out", tmp_path / "out", "--report", tmp_path / "page",
    )  # fmt: skip
    sentence = ("1 image has no true mask and counts as background",
                "2 images have no true mask and count as background")[empty - 1]  # fmt: skip
    assert (code, sentence in out) == (0, True)
    assert sentence in (tmp_path / "page" / "index.html").read_text()
    for path in (tmp_path / "x.json", tmp_path / "out" / "scores.json"):
        assert json.loads(path.read_text())["without_foreground"] == empty
    code, out, _ = run("evaluate", tmp_path / "data", *flags, "--protocol", "all")
    assert (code, sentence in out) == (0, True)


@pytest.mark.fault("input: masks of another shape than their image")
@pytest.mark.parametrize(
    ("shape", "sizes"), [((900, 30), True), ((40, 60), True), ((40, 60), False)]
)
def test_masks_of_another_shape_are_refused(shape, sizes, run, tmp_path):
    masks = [[blob(SIZES[0]), blob(shape)], [blob(SIZES[1])]]
    split = mask_set(tmp_path, masks, sizes)
    with pytest.raises(ManifestError, match=r"0\.png-1\.png: a mask of another image: expected 60"):
        evaluate_maps(split, tmp_path / "maps", mask_root=tmp_path / "masks")
    code, _, told = run("evaluate", tmp_path / "data", "--maps", tmp_path / "maps",
                        "--mask-root", tmp_path / "masks")  # fmt: skip
    assert (code != 0, "0.png-1.png: a mask of another image" in told) == (True, True)


@pytest.mark.fault("input: masks of another shape than their image")
def test_masks_are_held_against_an_image_that_a_network_reads(tmp_path):
    torch.manual_seed(0)
    model = create_model("efficientnet_lite0", num_classes=1)
    split = mask_set(tmp_path, [[blob((40, 60))]], sizes=False)
    root = store(tmp_path / "images", SIZES[:1])
    with pytest.raises(ManifestError, match=SWAPPED):
        evaluate(model, split, root, mask_root=tmp_path / "masks")


@pytest.mark.fault("input: masks of another shape than their image")
def test_copies_of_masks_are_read(tmp_path):
    small = mask_set(tmp_path / "small", [[blob((30, 20))], [blob((80, 120))]])
    square = mask_set(tmp_path / "square", [[blob((64, 64))], [blob((64, 64))]])
    for name, split in (("small", small), ("square", square)):
        home = tmp_path / name
        evaluate_maps(split, home / "maps", mask_root=home / "masks")
    paths = MaskPaths((f"{IDS[0]}-0.png",), None)
    assert read_mask(paths, tmp_path / "small" / "masks", 8, (60, 40)).any()
