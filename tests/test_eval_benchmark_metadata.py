"""The standard evaluation's metadata folders: recognised, checked, and its loose lists refused."""

import pytest

from eval.benchmark_metadata import find_benchmark
from eval.cub import build_cub
from eval.manifest import ManifestError, load_split

CUB = {
    "train": [("001.Black_footed_Albatross/Black_Footed_Albatross_0009_34.jpg", 0)],
    "val": [("001.Black_footed_Albatross/30107316117.jpg", 0), ("002.Rook/33844942958.jpg", 1)],
    "test": [("002.Rook/Rook_0046_18.jpg", 1)],
}
ILSVRC = {
    "val": [("val2/0/0.jpeg", 0), ("val2/65/9.jpeg", 65)],
    "test": [("val/ILSVRC2012_val_00000001.JPEG", 65)],
}
BOXES = "176,136,459,291", "44,183,426,254"


def write(folder, splits, boxes=BOXES):
    for name, images in splits.items():
        home = folder / name
        home.mkdir(parents=True, exist_ok=True)
        files = {
            "image_ids": [image for image, _ in images],
            "class_labels": [f"{image},{label}" for image, label in images],
            "image_sizes": [f"{image},576,432" for image, _ in images],
            "localization": [f"{i},{box}" for (i, _), box in zip(images, boxes, strict=False)],
        }
        for file, lines in files.items():
            (home / f"{file}.txt").write_text("\n".join(lines))
    return folder


def test_check_says_how_the_metadata_is_used(run, tmp_path):
    code, out, _ = run("manifest", "check", write(tmp_path / "CUB", CUB))
    assert code == 0
    assert "val: 2 images, 2 classes, 2 boxes" in out
    assert "CUB of the standard evaluation (val: CUBV2); DATA as it is, with --root: " in out
    assert "release/CUBV2_boxes.txt holds x, y, width and height" in out
    assert "val is a part: 2 of 1,000 images" in out
    code, out, _ = run("manifest", "check", write(tmp_path / "ILSVRC", ILSVRC))
    assert code == 0
    assert "ILSVRC of the standard evaluation (val: ImageNetV2)" in out
    assert "train is missing, which has 1,281,167 images" in out


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({**CUB, "test": [("001.A/a.jpg", 0), ("val2/0/0.jpeg", 1)]}, "ids as CUB of the standard"),
        (
            {**CUB, "val": [("001.A/a.jpg", 0), ("003.C/c.jpg", 1)]},
            "label 2, as '003.C/c.jpg'",
        ),
        ({**ILSVRC, "val": [("val2/7/0.jpeg", 3)]}, "label 7, as 'val2/7/0.jpeg' says"),
    ],
)
def test_ids_and_labels_are_held_against_each_other(run, tmp_path, splits, message):
    code, _, told = run("manifest", "check", write(tmp_path / "data", splits))
    assert (code, message in told) == (1, True), told


def test_other_data_is_not_taken_for_it(tmp_path):
    assert find_benchmark(write(tmp_path / "a", {"test": [("a/b.jpg", 0)]})) is None
    assert find_benchmark(write(tmp_path / "b", {"more": CUB["val"]})) is None
    assert find_benchmark(tmp_path) is None
    write(tmp_path / "c", CUB)
    (tmp_path / "c" / "manifest.toml").write_text("")  # as a builder of ours leaves it
    assert find_benchmark(tmp_path / "c") is None


def test_there_is_nothing_to_build(run, tmp_path):
    source = write(tmp_path / "CUB", CUB)
    with pytest.raises(ManifestError, match="they are DATA as they are, with --root"):
        build_cub(source, tmp_path / "out")
    flags = ("--source", source, "--out", tmp_path / "out")
    code, _, told = run("manifest", "build", "ilsvrc", *flags)
    assert (code, "nothing has to be built" in told) == (1, True)
    assert not (tmp_path / "out").exists()


LOOSE = "image_id,x0,y0,x1,y1\n11789,176,136,282,155\n11790,44,183,381,70\n"


def test_loose_boxes_are_refused_whatever_they_are_called(run, tmp_path):
    (tmp_path / "CUBV2_boxes.txt").write_text(LOOSE)
    code, _, told = run("manifest", "check", tmp_path / "CUBV2_boxes.txt")
    assert (code, "metadata/CUB/val/localization.txt has the corners" in told) == (1, True)
    write(tmp_path / "CUB", CUB)
    (tmp_path / "CUB" / "val" / "localization.txt").write_text(LOOSE)
    with pytest.raises(ManifestError, match="loose lists of boxes"):
        load_split(tmp_path / "CUB", "val")
    # Under the right ids and without a head they are no corners either, and that is told.
    write(tmp_path / "CUB", CUB, boxes=("176,136,282,155", "44,183,381,70"))
    with pytest.raises(ManifestError, match=r"txt:2: .* are these x, y, width and height\?"):
        load_split(tmp_path / "CUB", "val")
    write(tmp_path / "CUB", CUB, boxes=("9,9,8,900", "1,1,2,2"))  # nothing at all
    with pytest.raises(ManifestError, match=r"txt:1: .* but got 9,9,8,900$"):
        load_split(tmp_path / "CUB", "val")
