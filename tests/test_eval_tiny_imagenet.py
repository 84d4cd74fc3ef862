"""The builder of Tiny ImageNet, on a download of two classes in the official layout."""

import pytest
from tiny_download import GOLDFISH, SALAMANDER, write

from eval.builders import find_download
from eval.manifest import ManifestError, load_classes, load_split
from eval.tiny_imagenet import build_tiny_imagenet


@pytest.mark.parametrize("above", [False, True])
def test_splits(tmp_path, above):
    folder = write(tmp_path / "in" / "tiny-imagenet-200")
    source = folder.parent if above else folder
    assert find_download(source) == "tiny-imagenet"
    built = build_tiny_imagenet(source, tmp_path / "out")
    assert built.root == folder
    train, val, test = (load_split(tmp_path / "out", name) for name in ("train", "val", "test"))
    assert train.ids == (
        f"train/{GOLDFISH}/images/{GOLDFISH}_2.JPEG",
        f"train/{GOLDFISH}/images/{GOLDFISH}_10.JPEG",
        f"train/{SALAMANDER}/images/{SALAMANDER}_0.JPEG",
    )
    assert train.labels.tolist() == [0, 0, 1]
    assert train.class_names == ("goldfish", "European fire salamander")
    assert [boxes.tolist() for boxes in train.boxes[:2]] == [[[3, 4, 5, 60]], [[0, 1, 63, 9]]]
    assert val.ids == tuple(f"val/images/val_{number}.JPEG" for number in range(10))
    assert test.ids == tuple(f"val/images/val_{number}.JPEG" for number in (10, 11, 12, 13))
    assert test.labels.tolist() == [0, 1, 0, 1]
    assert test.boxes[0].tolist() == [[10, 1, 40, 50]]
    assert test.sizes.tolist() == [[64, 64]] * 4
    table = load_classes(tmp_path / "out" / "classes.csv")
    assert table == {0: 1, 1: 25}  # outputs of ImageNet's networks


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wnids.txt": f"{GOLDFISH}\n{GOLDFISH}\n"}, r"wnids.txt:2: expected a new wnid"),
        ({"words.txt": f"{GOLDFISH}\tgoldfish\n"}, f"a name for {SALAMANDER} in"),
        (
            {"val/val_annotations.txt": "val_0.JPEG\tn00000001\t0\t1\t2\t3\n"},
            r"val_annotations.txt:1: expected a name, a wnid and x0 y0 x1 y1",
        ),
        (
            {"val/val_annotations.txt": f"val_0.JPEG\t{GOLDFISH}\t0\t1\t2\n"},
            r"val_annotations.txt:1: expected a name, a wnid and x0 y0 x1 y1",
        ),
        (
            {"val/val_annotations.txt": f"../a.JPEG\t{GOLDFISH}\t0\t1\t2\t3\n"},
            r"val_annotations.txt:1: expected the name of an image",
        ),
        (
            {"val/val_annotations.txt": f"val_99.JPEG\t{GOLDFISH}\t0\t1\t2\t3\n"},
            r"val_99.JPEG: expected an image but there is no such file",
        ),
        (
            {"val/val_annotations.txt": f"val_0.JPEG\t{GOLDFISH}\t70\t1\t90\t3\n"},
            r"val_annotations.txt:1: expected a box x0 y0 x1 y1 in an image of 64 x 64",
        ),
        (
            {f"train/{GOLDFISH}/{GOLDFISH}_boxes.txt": f"{GOLDFISH}_2.JPEG\t9\t4\t5\t60\n"},
            r"_boxes.txt:1: expected a box x0 y0 x1 y1",
        ),
    ],
)
def test_faults_are_named_by_file_and_line(tmp_path, changes, message):
    with pytest.raises(ManifestError, match=message):
        build_tiny_imagenet(write(tmp_path / "in", **changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_folders_and_shares_are_refused(tmp_path):
    with pytest.raises(ManifestError, match=r"expected wnids.txt here or in tiny-imagenet-200"):
        build_tiny_imagenet(tmp_path, tmp_path / "out")
    with pytest.raises(ValueError, match=r"no share for val but got 0.1: the first 5 official"):
        build_tiny_imagenet(tmp_path, tmp_path / "out", val=0.1)


def test_the_command(tmp_path, run):
    source = write(tmp_path / "in")
    code, out, err = run(
        "manifest", "build", "tiny-imagenet", "--source", source, "--out", tmp_path / "out"
    )
    assert code == 0, err
    assert "test: 4 images, 2 classes, 4 boxes" in out
    code, _, err = run(
        "manifest", "build", "tiny-imagenet", "--source", source, "--out", tmp_path / "b",
        "--val", 0.2,
    )  # fmt: skip
    assert code == 2
    assert "no share for val" in " ".join(err.split())
