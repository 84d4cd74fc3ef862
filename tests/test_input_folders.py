"""Which files of a folder are images, by one rule, whatever lies there beside them."""

import os
import socket

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from eval.folders import list_images, load_folders
from eval.image_errors import ImageError
from eval.image_files import MAX_PIXELS, set_max_pixels
from eval.image_names import OTHER_SUFFIXES, SUFFIXES
from eval.splits import ManifestError
from eval.yolo import load_yolo
from wsol.cli import app
from wsol.images import SourceError, describe_passed_over, find_images, read_image

PASSED_OVER = (
    ".hidden.jpg", "._dog.jpg", ".trash/dog.jpg", "__MACOSX/dog.jpg", "__MACOSX/._dog.jpg",
    "cats/.ipynb_checkpoints/dog-checkpoint.jpg", "@eaDir/dog.jpg", "cats/@eaDir/cat.jpg/t.jpg",
    "$RECYCLE.BIN/dog.jpg", "Thumbs.db", ".DS_Store", "notes.txt", "dog.jpg.part",
)  # fmt: skip


def fill(folder, names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6)).save(path, "png")


@pytest.fixture
def folder(tmp_path):
    """Pictures of all suffixes in two folders, and what is passed over."""
    fill(tmp_path / "all", [f"cats/{n:02}{suffix}" for n, suffix in enumerate(SUFFIXES)])
    fill(tmp_path / "all", [f"dogs/{n:02}{suffix.upper()}" for n, suffix in enumerate(SUFFIXES)])
    fill(tmp_path / "all", PASSED_OVER)
    return tmp_path / "all"


def relative(paths, folder):
    return [path.relative_to(folder).as_posix() for path in paths]


@pytest.mark.fault("input: which files are images")
def test_all_searches_agree(folder):
    images = relative(find_images([folder]), folder)
    assert len(images) == 2 * len(SUFFIXES)
    assert {name.split("/")[0] for name in images} == {"cats", "dogs"}
    assert list_images(folder) == images
    assert list(load_folders(folder, "test").ids) == images
    for pattern in ("**/*", "**", "*/*", "**/**/*", "[cd]*s/*.*"):
        assert relative(find_images([f"{folder}/{pattern}"]), folder) == images


@pytest.mark.fault("input: which files are images")
def test_what_is_named_is_taken(folder, monkeypatch):
    for name in (".hidden.jpg", "._dog.jpg", "__MACOSX/dog.jpg"):
        assert find_images([folder / name]) == [folder / name]
    for name in (".trash", "__MACOSX", "cats/.ipynb_checkpoints"):
        assert len(find_images([folder / name])) == 1
    assert relative(find_images([f"{folder}/.trash/*.jpg"]), folder) == [".trash/dog.jpg"]
    assert relative(find_images([f"{folder}/.*.jpg"]), folder) == ["._dog.jpg", ".hidden.jpg"]
    monkeypatch.chdir(folder)
    assert [str(path) for path in find_images([".trash/*", "cats/*.jfif"])] == [
        ".trash/dog.jpg", f"cats/{SUFFIXES.index('.jfif'):02}.jfif"]  # fmt: skip


@pytest.mark.fault("input: which files are images")
def test_jfif_jpe_and_ppm_are_read(tmp_path):
    for suffix, kind in ((".jfif", "jpeg"), (".JPE", "jpeg"), (".ppm", "ppm"), (".Pgm", "ppm")):
        image = Image.new("L" if suffix == ".Pgm" else "RGB", (8, 6))
        image.save(tmp_path / f"image{suffix}", kind)
    assert {read_image(path).size for path in find_images([tmp_path])} == {(8, 6)}


@pytest.mark.fault("input: which files are images")
def test_other_pictures_are_named(tmp_path):
    fill(tmp_path, [f"image{suffix.upper()}" for suffix in OTHER_SUFFIXES])
    fill(tmp_path, ["image.jpg", ".hidden.heic"])
    passed_over = []
    assert len(find_images([tmp_path], passed_over.append)) == 1
    assert len(passed_over) == len(OTHER_SUFFIXES)
    text = describe_passed_over(passed_over)
    for suffix in (".heic", ".avif", ".svg", ".psd", ".jp2", ".nef"):
        assert suffix in text
    with pytest.raises(SourceError, match="no images here"):
        find_images([tmp_path / "*.HEIC"])


@pytest.mark.fault("input: links that go in circles")
def test_links(folder):
    images = relative(find_images([folder]), folder)
    (folder / "cats" / "up").symlink_to("..")
    (folder / "dogs" / "self").symlink_to(".")
    (folder / "dogs" / "cats").symlink_to("../cats")
    (folder / "cats" / "dogs").symlink_to("../dogs")
    (folder / "endless").symlink_to("endless")
    (folder / "broken.jpg").symlink_to("nowhere.jpg")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    images += ["broken.jpg", "loop.jpg"]  # which are images that cannot be read
    images.sort(key=lambda name: name.split("/"))
    for source in (folder, f"{folder}/**/*", f"{folder}/**", f"{folder}/**/*.*"):
        told = []
        assert relative(find_images([source], told.append), folder) == images
        assert set(told) == {folder / "endless"}
    with pytest.raises(ManifestError, match=r"endless: cannot be read .a link to nothing"):
        list_images(folder)
    (folder / "endless").unlink()
    assert list_images(folder) == images
    (folder / "linked.jpg").symlink_to("cats/00.jpg")
    assert folder / "linked.jpg" in find_images([folder])


def test_linked_folders_are_searched(folder, tmp_path):
    """Under their own names, but each once."""
    fill(tmp_path / "elsewhere", ["cow.jpg"])
    (folder / "cows").symlink_to(tmp_path / "elsewhere")
    (folder / "again").symlink_to(tmp_path / "elsewhere")
    found = relative(find_images([folder]), folder)
    assert [name for name in found if name.endswith("cow.jpg")] == ["again/cow.jpg"]
    assert list_images(folder) == found


@pytest.mark.fault("input: files that are none")
def test_pipes_and_sockets_are_passed_over(folder, monkeypatch):
    images = find_images([folder])
    os.mkfifo(folder / "pipe.jpg")
    os.mkfifo(folder / "cats" / "pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(folder)  # its path may be too long for a socket
        server.bind("socket.jpg")
    (folder / "folder.jpg").mkdir()
    for source in (folder, f"{folder}/**/*"):
        assert find_images([source]) == images
    for name in ("pipe.jpg", "socket.jpg"):  # even if it is named
        with pytest.raises(ValueError, match="no regular file"):
            read_image(folder / name)


@pytest.mark.fault("input: files that are none")
@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_folders_that_cannot_be_read(folder):
    closed = folder / "closed"
    fill(closed, ["image.jpg"])
    images = [path for path in find_images([folder]) if path.parent != closed]
    closed.chmod(0)
    try:
        passed_over = []
        assert find_images([folder], passed_over.append) == images
        assert passed_over == [closed]
        assert f"cannot be read: 1 folder, such as {closed}" in describe_passed_over(passed_over)
        assert find_images([f"{folder}/**/*"]) == images
        with pytest.raises(ManifestError, match="closed: cannot be read"):
            list_images(folder)
    finally:
        closed.chmod(0o700)


@pytest.mark.fault("input: which files are images")
def test_labels_of_hidden_folders_are_none(tmp_path):
    fill(tmp_path, ["images/cat.png", "images/._cat.png", "images/.cache/cat.png"])
    for name in ("labels/cat", "labels/._cat", "labels/.ipynb_checkpoints/cat-checkpoint"):
        path = tmp_path / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("0 0.5 0.5 0.5 0.5\n")
    split, _ = load_yolo(tmp_path, "boxes")
    assert split.ids == ("cat.png",)
    np.testing.assert_array_equal(split.sizes, [[8, 6]])


@pytest.mark.fault("input: the limit of pixels")
def test_the_flag_reaches_the_reader(tmp_path):
    fill(tmp_path, ["image.png"])
    run = CliRunner().invoke
    for command in ("predict", "shift", "evaluate", "train", "calibrate", "app"):
        assert "--max-pixels" in run(app, [command, "--help"], terminal_width=300).output
    asked = ["predict", str(tmp_path), "--model", "efficientnet_lite0", "--weights", "random"]
    try:
        done = run(app, [*asked, "--max-pixels", "47"])
    finally:
        set_max_pixels(MAX_PIXELS)
    assert done.exit_code == 1
    assert (
        "error\tthe image is too large: 8 x 6 pixels, of at most 47 (--max-pixels)" in done.output
    )
    assert run(app, [*asked, "--max-pixels", "0"]).exit_code == 2
    set_max_pixels(47)  # in Python, which has no flag
    try:
        with pytest.raises(ImageError, match=r"at most 47 \(eval\..*set_max_pixels\)"):
            read_image(tmp_path / "image.png")
    finally:
        set_max_pixels(MAX_PIXELS)
