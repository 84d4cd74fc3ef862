import json
import shutil
from functools import partial

import pytest
from PIL import Image

from eval.coco import to_coco
from eval.manifest import load_split
from wsol.shipped import check_data, list_data_sets, manifests_folder

PHOTOS = manifests_folder() / "photos"


@pytest.fixture
def run(run):
    return partial(run, "manifest")


@pytest.fixture
def cub(tmp_path):
    """A download with two classes, two training images and a test image."""
    folder = tmp_path / "CUB_200_2011"
    files = ["001.Crow/a.jpg", "001.Crow/b.jpg", "002.Rook/c.jpg"]
    for file in files:
        (folder / "images" / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 10)).save(folder / "images" / file)
    for name, values in (
        ("images", files),
        ("classes", ["001.Crow", "002.Rook"]),
        ("image_class_labels", [1, 1, 2]),
        ("train_test_split", [1, 1, 0]),
        ("bounding_boxes", ["0 0 20 10", "1 1 5 5", "2 2 6 6"]),
    ):
        text = "\n".join(f"{i} {value}" for i, value in enumerate(values, start=1))
        (folder / f"{name}.txt").write_text(text)
    return folder


def test_build_then_check(run, cub, tmp_path):
    out = tmp_path / "out"
    code, text, err = run("build", "cub", "--source", cub, "--out", out)
    assert (code, err) == (0, "")
    assert text.splitlines() == [
        "train: 2 images, 1 classes, 2 boxes",
        "test: 1 images, 1 classes, 1 boxes",
        f"in {out}; images: --root {cub / 'images'}",
    ]
    code, text, _ = run("check", out, "--root", cub / "images")
    assert (code, len(text.splitlines())) == (0, 2)
    code, _, err = run("build", "cub", "--source", cub, "--out", out)
    assert code == 2
    assert "Invalid value for --out" in err
    assert "--force" in err
    code, text, _ = run("build", "cub", "--source", cub, "--out", out, "--force", "--val", "0.5",
                        "--seed", 3)  # fmt: skip
    assert code == 0
    assert text.splitlines()[1] == "val: 1 images, 1 classes, 1 boxes"


def test_build_of_a_broken_download_is_one_line(run, cub, tmp_path):
    (cub / "classes.txt").write_text("1 001.Crow\n")
    code, out, err = run("build", "cub", "--source", cub, "--out", tmp_path / "out")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "image_class_labels.txt:3: expected a class of classes.txt but got '2'" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (
            ["build", "coco", "--source", ".", "--out", "x"],
            ["NAME", "cub, ilsvrc, tiny-imagenet", "'coco'"],
        ),
        (["build", "cub", "--source", "nowhere", "--out", "x"], ["--source", "nowhere"]),
        (["build", "cub", "--source", ".", "--out", "x", "--val", "1"], ["--val", "0 and 1"]),
        (["build", "cub", "--source", "."], ["--out"]),
        (["check", "nowhere"], ["DATA", "nowhere"]),
        (["check", ".", "--root", "nowhere"], ["--root", "nowhere"]),
        (["check", ".", "--against", "mine"], ["--against", "cub, cub10, ilsvrc", "'mine'"]),
    ],
)
def test_wrong_use_is_one_line(run, arguments, parts, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    for part in parts:
        assert part in err


def test_check_against_a_shipped_data_set(run, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(manifests_folder() / "photos" / "test", data / "test")
    assert run("check", data, "--against", "photos")[0] == 0
    sizes = data / "test" / "image_sizes.txt"
    sizes.write_text(sizes.read_text() + "\n")  # the same content to a reader
    assert run("check", data)[0] == 0
    code, _, err = run("check", data, "--against", "photos")
    assert code == 1
    assert "image_sizes.txt: expected sha256 bbe3841344f9" in err
    code, _, err = run("check", data, "--against", "cub")
    assert code == 1
    assert "expected split train, as data set cub has it" in err
    shutil.copytree(data / "test", data / "train")
    code, _, err = run("check", data, "--against", "cub")
    assert code == 1
    assert "test: expected 5794 images, as data set cub has it, but got 5" in err


def test_check_keeps_the_promises_of_its_own_manifest(run, cub, tmp_path):
    out = tmp_path / "out"
    run("build", "cub", "--source", cub, "--out", out)
    path = out / "train" / "localization.txt"
    path.write_text(path.read_text().splitlines()[0])
    code, _, err = run("check", out)
    assert code == 1
    assert "train: expected 2 boxes, as manifest.toml has it, but got 1" in err
    path.unlink()
    (out / "manifest.toml").write_text(
        'description = "a"\nlicence = "b"\n[splits.train.sha256]\n"localization.txt" = "0"\n'
    )
    code, _, err = run("check", out)
    assert code == 1
    assert "localization.txt: cannot be read" in err


def check_image(run, cub, out, size, orientation=None, save_as="JPEG"):
    """Store the test image, which has 20 x 10 pixels in the manifest, in another way."""
    exif = Image.Exif()
    if orientation:
        exif[0x112] = orientation
    Image.new("RGB", size).save(cub / "images" / "002.Rook" / "c.jpg", save_as, exif=exif)
    code, text, err = run("check", out, "--root", cub / "images")
    return code, text.splitlines()[0] if text else err


def test_check_tells_how_images_are_stored(run, cub, tmp_path):
    out = tmp_path / "out"
    run("build", "cub", "--source", cub, "--out", out)
    plain = "test: 1 images, 1 classes, 1 boxes"
    resized = f"{plain}; 1 stored in another size, boxes scale with them"
    turned = f"{plain}; 1 turned by EXIF but boxed as stored, such as "
    assert check_image(run, cub, out, (20, 10)) == (0, plain)
    assert check_image(run, cub, out, (10, 20), orientation=6) == (0, plain)  # upright: 20 x 10
    assert check_image(run, cub, out, (20, 10), orientation=3) == (0, plain)
    assert check_image(run, cub, out, (40, 20)) == (0, resized)
    assert check_image(run, cub, out, (224, 224)) == (0, resized)
    assert check_image(run, cub, out, (41, 20), save_as="PNG") == (0, resized)
    code, text = check_image(run, cub, out, (20, 10), orientation=6)
    assert (code, text.startswith(turned)) == (0, True)
    for size in ((10, 20), (100, 200)):
        code, text = check_image(run, cub, out, size)
        assert code == 1
        assert "c.jpg: expected 20 x 10 pixels, or a resized copy, but got" in text
        assert "swapped" in text


def test_images_squashed_to_one_size_are_not_swapped(run, cub, tmp_path):
    out = tmp_path / "out"
    run("build", "cub", "--source", cub, "--out", out)
    first, *_ = paths = sorted((cub / "images").rglob("*.jpg"))
    Image.new("RGB", (20, 14)).save(first)
    run("build", "cub", "--source", cub, "--out", out, "--force")
    for path in paths:
        Image.new("RGB", (100, 200)).save(path)
    code, text, _ = run("check", out, "--root", cub / "images")
    assert code == 1  # test has one image only, which could be another's
    shutil.rmtree(out / "test")
    (out / "manifest.toml").unlink()
    code, text, _ = run("check", out, "--root", cub / "images")
    assert (code, "; 2 stored in another size" in text) == (0, True)


def test_check_names_images_that_are_no_images(run, cub, tmp_path):
    out = tmp_path / "out"
    run("build", "cub", "--source", cub, "--out", out)
    path = cub / "images" / "002.Rook" / "c.jpg"
    path.write_bytes(b"no image")
    code, _, err = run("check", out, "--root", cub / "images")
    assert code == 1
    assert "c.jpg: expected an image but it is none" in err
    path.unlink()
    code, _, err = run("check", out, "--root", cub / "images")
    assert code == 1
    assert "c.jpg: expected an image but there is no such file" in err


def test_check_reads_deep_tiffs(run, tmp_path):
    import numpy as np
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", np.zeros((9, 12, 3), np.uint16), photometric="rgb")
    (tmp_path / "data" / "test").mkdir(parents=True)
    for file, text in (("image_ids", ""), ("class_labels", ",0"), ("image_sizes", ",24,18")):
        (tmp_path / "data" / "test" / f"{file}.txt").write_text(f"a.tif{text}")
    code, out, _ = run("check", tmp_path / "data", "--root", tmp_path)
    assert (code, "1 stored in another size" in out) == (0, True)
    (tmp_path / "a.tif").write_bytes(b"broken")
    code, _, err = run("check", tmp_path / "data", "--root", tmp_path)
    assert code == 1
    assert "a.tif: expected an image but" in err


def test_check_takes_other_forms_too(run, cub, tmp_path):
    code, out, _ = run("check", cub / "images")
    assert (code, out) == (0, "test: 3 images, 2 classes, 0 boxes\n")
    assert run("check", cub / "images", "--root", cub / "images")[0] == 0
    run("build", "cub", "--source", cub, "--out", tmp_path / "out")
    content = to_coco(load_split(tmp_path / "out"))
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(content))
    code, out, _ = run("check", path, "--root", cub / "images")
    assert (code, out) == (0, "test: 1 images, 1 classes, 1 boxes\n")
    content["annotations"][0]["bbox"] = [0, 0, 0, 0]
    path.write_text(json.dumps(content))
    code, _, err = run("check", path)
    assert code == 1
    assert "coco.json: annotations[0] (id 1): expected bbox to have an area" in err
    (tmp_path / "empty").mkdir()
    code, _, err = run("check", tmp_path / "empty")
    assert code == 1
    assert "expected a folder with one folder a split, a COCO file, a folder of COCO" in err


def test_check_counts_masks(run, tmp_path):
    (tmp_path / "test").mkdir()
    for file, text in (("image_ids", ""), ("class_labels", ",0"), ("localization", ",m.png,")):
        (tmp_path / "test" / f"{file}.txt").write_text(f"a.jpg{text}")
    assert run("check", tmp_path) == (0, "test: 1 images, 1 classes, 1 masks\n", "")


def test_shipped_descriptions_hold_no_foreign_files(run):
    sets = {each.name: each for each in list_data_sets()}
    assert list(sets) == ["cub", "cub10", "ilsvrc", "imagenet10", "photos"]
    counts = {
        name: {split: (n["images"], n["boxes"]) for split, n in each.splits.items()}
        for name, each in sets.items()
    }
    assert counts == {
        "cub": {"train": (5994, 5994), "test": (5794, 5794)},
        "cub10": {"train": (300, 300), "test": (243, 243)},
        "ilsvrc": {"train": (1281167, 0), "test": (50000, 80477)},
        "imagenet10": {"train": (12894, 0), "val": (100, 121), "test": (400, 692)},
        "photos": {"test": (5, 5)},
    }
    for name in sets.keys() - {"photos"}:
        assert "non-commercial research" in sets[name].licence
        files = [path.name for path in (manifests_folder() / name).rglob("*")]
        assert files == ["manifest.toml"]
    out = run("list")[1]
    assert all(text in out for text in ("80477", "cub10", "imagenet10"))


def test_real_data_against_the_shipped_descriptions(run, data, tmp_path):
    run("build", "cub", "--source", data / "cub10", "--out", tmp_path / "out")
    code, out, _ = run("check", tmp_path / "out", "--against", "cub10", "--root",
                       data / "cub10" / "CUB_200_2011" / "images")  # fmt: skip
    assert code == 0
    assert sorted(out.splitlines()) == [
        "test: 243 images, 10 classes, 243 boxes",
        "train: 300 images, 10 classes, 300 boxes",
    ]
    code, out, _ = run("check", data / "imagenet10" / "manifest", "--against", "imagenet10",
                       "--root", data / "imagenet10")  # fmt: skip
    assert code == 0
    assert "test: 400 images, 10 classes, 692 boxes; 400 stored in another size" in out


def test_manifests(run, photos, tmp_path):
    code, out, _ = run("list")
    assert code == 0
    assert "photos" in out
    code, out, _ = run("check", PHOTOS, "--root", photos)
    assert (code, out) == (0, "test: 5 images, 5 classes, 5 boxes\n")
    assert run("check", PHOTOS, "--root", "nowhere")[0] == 2
    code, _, err = run("check", PHOTOS, "--root", tmp_path)
    assert code == 1
    assert "chelsea.png: expected an image" in err


def test_shipped_manifests_keep_their_promises(photos):
    assert [each.name for each in list_data_sets()] == [
        "cub",
        "cub10",
        "ilsvrc",
        "imagenet10",
        "photos",
    ]
    assert check_data(PHOTOS, photos)
