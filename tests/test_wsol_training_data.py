"""What a training takes from a data set: splits, classes, images in a packed file."""

import os
import shutil

import numpy as np
import pytest
import torch
from labelled_exports import NAMES, write_export
from listeners import Counter
from PIL import Image
from small_objects import COLOURS, FLAGS, fill

from eval.manifest import ManifestError, load_split, open_data_set
from eval.splits import take_rows
from tdam.training import UnreadableImageError
from tdam.training.recipe import load_recipe
from wsol.training.data import load_training_data
from wsol.training.images import PackedImages, SplitImages, pack_images, packed_side, side_needed
from wsol.training.run_events import announce
from wsol.workflows.train import train


@pytest.mark.slow
def test_a_changed_file_is_packed_anew(objects, run, tmp_path):
    data = fill(tmp_path / "data", 2)
    flags = ("--epochs", 1, "--size", 32, "--workers", 0, "--cache", tmp_path / "cache")
    for out in ("one", "two"):
        assert run("train", data, "--out", tmp_path / out, *flags)[0] == 0
    assert len(list((tmp_path / "cache").glob("*.u8"))) == 1
    os.utime(data / "red_ball" / "0.png", ns=(1, 1))
    assert run("train", data, "--out", tmp_path / "three", *flags)[0] == 0
    assert len(list((tmp_path / "cache").glob("*.u8"))) == 2
    assert not list((tmp_path / "cache").glob(".*"))


def test_splits_that_exist_are_taken(tmp_path):
    fill(tmp_path / "data" / "train", 3)
    fill(tmp_path / "data" / "valid", 2, first=9)
    found = load_training_data(tmp_path / "data")
    assert (len(found.train), len(found.val), found.held_out) == (9, 6, False)
    assert found.describe() == (
        "9 training images of 3 classes; validation: 6 images of split valid"
    )
    shutil.rmtree(tmp_path / "data" / "train" / "red_ball")
    with pytest.raises(ManifestError, match="training images of every class but 1 of 3 have none"):
        load_training_data(tmp_path / "data")


@pytest.mark.parametrize("form", ["coco", "yolo"])
def test_classes_without_any_image_are_passed_over(tmp_path, form):
    """Such as the root of a tree of classes, or names in a list that none of the labels has."""
    data = write_export(tmp_path / "data", form)
    if form == "yolo":
        names = ["none", *NAMES, "no more"]
        (data / "data.yaml").write_text(f"names: {names}")
        for path in data.glob("*/labels/*.txt"):
            label, *numbers = path.read_text().split()
            path.write_text(" ".join([str(int(label) + 1), *numbers]))
    found = load_training_data(data)
    assert found.unused == (("things",) if form == "coco" else ("none", "no more"))
    assert found.class_names == found.train.class_names == found.val.class_names == NAMES
    for split in (found.train, found.val):
        named = [NAMES[label] for label in split.labels]
        assert named == [NAMES[int(image_id.split("/")[-1][0])] for image_id in split.ids]
    listener = Counter()
    announce(found, load_recipe("finetune"), listener)
    told = "2 classes, 'none', 'no more'" if form == "yolo" else "1 class, 'things'"
    assert f"passed over, since no image has it: {told}" in listener.said
    for path in (data / "train").rglob("1_*"):
        path.unlink()
    if form == "yolo":  # which no image of train alone has: it is no class that nobody needs
        with pytest.raises(ManifestError, match="every class but 1 of 3 have none"):
            load_training_data(data)


def test_wordnet_ids_go_with_the_classes_that_stay(tmp_path):
    root = fill(tmp_path / "root", 2)
    ids = load_split(root, "all").ids
    (tmp_path / "four" / "train").mkdir(parents=True)
    (tmp_path / "four" / "train" / "image_ids.txt").write_text("\n".join(ids))
    labels = {name: 2 * i + 1 for i, name in enumerate(COLOURS)}  # 1, 3, 5
    lines = [f"{i},{labels[i.split('/')[0]]}" for i in ids]
    (tmp_path / "four" / "train" / "class_labels.txt").write_text("\n".join(lines))
    with pytest.raises(ManifestError, match="every class but 3 of 6 have none, such as 'class 0'"):
        load_training_data(
            tmp_path / "four", root
        )  # numbers are all that tells these classes apart
    table = "\n".join(["label,name,wnid", *(f"{i},n{i},w{i}" for i in range(6))])
    (tmp_path / "four" / "classes.csv").write_text(table)
    data = load_training_data(tmp_path / "four", root)
    assert (data.class_names, data.train.wnids) == (("n1", "n3", "n5"), ("w1", "w3", "w5"))
    assert sorted(set(data.whole.labels.tolist())) == [0, 1, 2]


def test_a_part_of_every_class_is_held_out(objects):
    found, again, other = (load_training_data(objects, seed=seed) for seed in (0, 0, 1))
    assert found.val.ids == again.val.ids
    assert found.val.ids != other.val.ids
    assert not set(found.val.ids) & set(found.train.ids)
    assert set(found.val.ids) | set(found.train.ids) == set(load_split(objects, "train").ids)
    assert np.bincount(found.val.labels).tolist() == [2, 2, 2]
    assert found.whole.ids == other.whole.ids
    assert found.digest() != other.digest()


def test_validation_images_are_never_trained_on(tmp_path):
    fill(tmp_path / "only" / "val", 3)
    with pytest.raises(ManifestError, match="expected a split train but it has val"):
        load_training_data(tmp_path / "only")
    four = tmp_path / "four"
    root = fill(tmp_path / "root", 2)
    ids = load_split(root, "all").ids
    for name in ("train", "val"):
        (four / name).mkdir(parents=True)
        (four / name / "image_ids.txt").write_text("\n".join(ids))
        labels = "\n".join(f"{i},{list(COLOURS).index(i.split('/')[0])}" for i in ids)
        (four / name / "class_labels.txt").write_text(labels)
    with pytest.raises(ManifestError, match=r"run and the training .* share 6 images: blue"):
        train(four, tmp_path / "run", root=root, weights="random", freeze_norms=False)
    assert not (tmp_path / "run").exists()


def test_packed_images(tmp_path):
    root = tmp_path / "data"
    fill(root, 2)
    Image.effect_noise((300, 200), 50).convert("RGB").save(root / "red_ball" / "big.jpg")
    (root / "red_ball" / "bad.png").write_bytes(b"no image")
    split = load_split(root, "train")
    packed = pack_images(split, root, 60, tmp_path / "packed.u8")
    plain = SplitImages(split, root)
    assert packed.ids == split.ids
    shapes = {}
    for row, image_id in enumerate(split.ids):
        if image_id.endswith("bad.png"):
            for images in (packed, plain):
                with pytest.raises(UnreadableImageError, match="not an image"):
                    images.read(row)
            continue
        image = packed.read(row)
        shapes[image_id] = tuple(image.shape)
        if "big" not in image_id:
            assert torch.equal(image, plain.read(row))
    assert set(shapes.values()) == {(3, 48, 64), (3, 60, 90)}
    part = PackedImages(take_rows(split, [3, 1], "part"), tmp_path / "packed.u8")
    assert torch.equal(part.read(1), packed.read(1))
    assert torch.equal(part.read(0), packed.read(3))


def test_reduced_decoding_keeps_enough(tmp_path):
    Image.effect_noise((800, 600), 50).convert("RGB").save(tmp_path / "a.jpg")
    folder = fill(tmp_path / "d", 2)
    shutil.copy(tmp_path / "a.jpg", folder / "red_ball" / "a.jpg")
    split = load_split(folder, "train")
    row = split.ids.index("red_ball/a.jpg")
    for at_least, height in ((None, 600), (301, 600), (300, 300), (100, 150), (10, 75)):
        assert SplitImages(split, folder, at_least).read(row).shape[1] == height
    assert side_needed(224, 1.0) == 224
    assert side_needed(60, 0.48) == 100
    assert packed_side(224) == 256


def test_roots(tmp_path, objects):
    assert open_data_set(objects).root == objects
    (tmp_path / "c.json").write_text("{}")
    assert open_data_set(tmp_path / "c.json").root == tmp_path
    four = tmp_path / "four"
    (four / "train").mkdir(parents=True)
    (four / "train" / "image_ids.txt").write_text("")
    assert open_data_set(four).root is None
    (four / "manifest.toml").write_text(f'root = "{tmp_path / "gone"}"')
    assert open_data_set(four).root is None
    (four / "manifest.toml").write_text(f'root = "{objects}"')
    assert open_data_set(four).root == objects


@pytest.fixture
def folders(tmp_path):
    for name, count in (("cat", 6), ("dog", 3)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (8, 8), (10 * i, 0, 0)).save(tmp_path / "data" / name / f"{i}.png")
    return tmp_path / "data"


def test_a_class_gives_its_first_images(folders):
    whole = load_training_data(folders)
    some = load_training_data(folders, per_class=4)
    assert whole.whole.labels.tolist() == [0] * 6 + [1] * 3
    assert some.whole.ids == ("cat/0.png", "cat/1.png", "cat/2.png", "cat/3.png",
                              "dog/0.png", "dog/1.png", "dog/2.png")  # fmt: skip
    assert some.held_out
    assert set(some.val.ids) < set(some.whole.ids)
    assert not set(some.val.ids) & set(some.train.ids)


def test_another_number_of_images_is_other_data(folders):
    digests = {load_training_data(folders, per_class=count).digest() for count in (0, 3, 4)}
    assert len(digests) == 3
    assert load_recipe("finetune").per_class == 0
    with pytest.raises(ValueError, match="per_class"):
        load_recipe("finetune").change(per_class=-1)


@pytest.mark.fault("runs: names of classes that no weights can hold")
@pytest.mark.parametrize("name", [b"caf\xe9", b" ", "\N{NO-BREAK SPACE}".encode()])
def test_names_that_cannot_be_saved_are_told_before_training(name, tmp_path, run):
    data = fill(tmp_path / "data", 3)
    (data / "red_ball").rename(os.fsdecode(os.fsencode(data) + b"/" + name))
    with pytest.raises(ManifestError, match="Expected class_names to be"):
        load_training_data(data)
    code, _, err = run("train", data, "--out", tmp_path / "run", *FLAGS)
    assert code == 1
    assert "class_names" in err
    assert not (tmp_path / "run").exists()
