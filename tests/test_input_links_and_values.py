"""Links that lead to nothing and pixels that are no numbers: errors of these images, told of."""

import io
from pathlib import Path

import numpy as np
import pytest
from image_samples import picture, saved, tiff
from PIL import Image
from small_objects import FLAGS

from eval.folders import load_folders
from eval.masks import read_mask
from eval.splits import ManifestError, MaskPaths
from wsol.images import ImageError, find_images, read_image
from wsol.writers.names import unique_stem

NETWORK = ("--model", "efficientnet_lite0", "--weights", "random")


@pytest.fixture
def photographs(tmp_path):
    """Two photographs, a link to nothing and one to itself."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name in ("a.png", "d.png"):
        Image.new("RGB", (8, 6), "red").save(folder / name)
    (folder / "b.jpg").symlink_to("nowhere.jpg")
    (folder / "c.jpg").symlink_to("c.jpg")
    return folder


@pytest.mark.fault("input: links to nothing")
@pytest.mark.parametrize("named", ["folder", "pattern", "files", "list"])
def test_links_to_nothing_are_unreadable_images(photographs, run, named):
    files = sorted(photographs.iterdir())
    (photographs / "list.txt").write_text("".join(f"{path}\n" for path in files))
    sources = {"folder": [photographs], "pattern": [f"{photographs}/*.*g"], "files": files,
               "list": [photographs / "list.txt"]}[named]  # fmt: skip
    assert find_images(sources) == files
    code, out, err = run("predict", *sources, *NETWORK)
    assert code == 1
    assert out.count("a link to nothing") == 2
    assert [line.split("\t")[0] for line in out.splitlines()] == list(map(str, files))
    assert "2" in err


@pytest.mark.fault("input: links to nothing")
def test_predictions_go_on_beside_links(photographs, run, tmp_path):
    asked = ("predict", photographs, *NETWORK, "--format", "csv", "--out", tmp_path / "out")
    assert run(*asked)[0] == 1
    table = (tmp_path / "out" / "predictions.csv").read_text()
    assert table.count("a link to nothing") == 2
    assert run(*asked, "--resume")[0] in (0, 1)
    assert (tmp_path / "out" / "predictions.csv").read_text() == table


@pytest.mark.fault("input: links to nothing")
def test_class_folders_keep_links(photographs, tmp_path):
    split = load_folders(tmp_path, "test")
    assert split.ids == tuple(
        f"photographs/{name}" for name in ("a.png", "b.jpg", "c.jpg", "d.png")
    )
    (tmp_path / "birds").symlink_to("/nowhere/birds")  # without it, labels would shift
    with pytest.raises(ManifestError, match=r"birds: cannot be read .a link to nothing"):
        load_folders(tmp_path, "test")


@pytest.mark.slow
@pytest.mark.fault("input: links to nothing")
def test_trainings_name_links(objects, tmp_path, run):
    data = tmp_path / "data"
    for path in sorted(objects.rglob("*.*")):
        copy = data / path.relative_to(objects)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.symlink_to(path)
    first = next(path for path in sorted(data.rglob("*.*")) if path.is_symlink())
    first.unlink()
    first.symlink_to("nowhere.png")
    code, _, err = run("train", data, "--out", tmp_path / "run", *FLAGS)
    assert (code, first.name in err, "a link to nothing" in err) == (1, True, True)


@pytest.mark.fault("input: pixels that are not finite")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["float32", "float64", "lzw", "rgb", "alpha", "pfm", "mask"])
def test_pixels_that_are_not_finite(tmp_path, value, kind):
    shape = (6, 8, {"rgb": 3, "alpha": 4}.get(kind, 1))
    pixels = np.full(shape, 0.5, "float64" if kind == "float64" else "float32")
    pixels[2, 3, -1] = value
    path = tmp_path / "image.tif"
    if kind == "pfm":
        path.write_bytes(b"Pf\n8 6\n-1.0\n" + pixels.tobytes())
    elif kind == "lzw":
        buffer = io.BytesIO()
        Image.fromarray(pixels[..., 0]).save(buffer, "tiff", compression="tiff_lzw")
        path.write_bytes(buffer.getvalue())
    else:
        options = {"extrasamples": ["unassalpha"]} if kind == "alpha" else {}
        photometric = "rgb" if shape[2] > 1 else "minisblack"
        path.write_bytes(tiff(np.squeeze(pixels), photometric=photometric, **options))
    if kind == "mask":
        with pytest.raises(ManifestError, match="holds values that are not finite"):
            read_mask(MaskPaths(("image.tif",), None), tmp_path, 8)
        return
    with pytest.raises(ImageError, match="holds values that are not finite"):
        read_image(path)


@pytest.mark.fault("input: JPEGs whose scans are missing")
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_progressive_jpegs_that_are_cut(tmp_path, mode, record_property):
    whole = saved(picture(96, 64).convert(mode), "jpeg", progressive=True)
    starts = [at for at in range(len(whole)) if whole[at : at + 2] == b"\xff\xda"]
    path = tmp_path / "image.jpg"
    for good in (whole, whole + b"\0garbage", whole + whole):
        path.write_bytes(good)
        assert read_image(path).size == (96, 64)
        assert read_image(path, at_least=8).height >= 8
    for start in starts[1:]:
        for content in (whole[:start], whole[:start] + b"\xff\xd9", whole[: start + 30]):
            path.write_bytes(content)
            with pytest.raises(ImageError, match="truncated"):
                read_image(path)
    record_property("tried", 3 * len(starts))
    assert len(starts) > 3


@pytest.mark.fault("input: names of several lines")
def test_names_in_lists_have_one_line():
    taken = set()
    names = [unique_stem(Path(name), taken) for name in ("a\nb.jpg", "a_b.png", "a\u2028b.gif")]
    assert names == ["a_b", "a_b-2", "a_b-3"]


@pytest.mark.fault("input: names that collide")
@pytest.mark.parametrize("kind", ["voc", "yolo", "npy"])
def test_names_that_collide_have_files_of_their_own(tmp_path, run, kind):
    names = [
        "a.jpg",
        "a.png",
        "A.png",
        "\u00e9.png",
        "e\u0301.png",
        "x\ny.png",
        "x_y.png",
        "x...png",
    ]
    for name in names:
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.new("RGB", (8, 6)).save(tmp_path / "in" / name, "png")
    out = tmp_path / "out"
    code, _, err = run("predict", tmp_path / "in", *NETWORK, "--format", kind, "--out", out)
    assert code == 0, err
    folder = out / {"voc": "voc/Annotations", "yolo": "yolo/labels/train", "npy": "maps"}[kind]
    files = [path.name.casefold() for path in folder.iterdir()]
    assert len(files) == len(set(files)) == len(names)
    if kind == "voc":
        lines = (out / "voc/ImageSets/Main/train.txt").read_text().splitlines()
        assert sorted(lines) == sorted(path.stem for path in folder.iterdir())
