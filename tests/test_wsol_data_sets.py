"""Folders of photographs and labels: names, links, parts, upright copies, and the way back."""

import json
import warnings
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from PIL import Image, ImageCms
from small_results import NAMES, found, image_file, write

from eval.image_errors import ImageError
from eval.splits import Split
from tdam import create_model
from wsol.cli import main
from wsol.images import read_image
from wsol.out_files import listing
from wsol.prediction import predict
from wsol.readers import read_boxes
from wsol.sources import find_root
from wsol.upright_copies import is_turned, save_upright
from wsol.workflows.evaluate_boxes import evaluate_boxes
from wsol.writers import create_writer
from wsol.writers.label_studio import image_address
from wsol.writers.splits import choose_val

BOX = [10, 4, 30, 20]


def turned_file(path, tag, **options):
    """A picture, 40 x 60 as people see it where it lies on its side, whose corner is red."""
    pixels = np.full((40, 60, 3), 90, np.uint8)
    pixels[:12, :12] = (250, 10, 10)
    exif = Image.Exif()
    exif[274] = tag
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, exif=exif, **options)
    return path


@pytest.fixture
def pictures(tmp_path):
    """Pictures of one name in three folders; the second and third are turned."""
    paths = [turned_file(tmp_path / f"in/{tag}/x.jpg", tag) for tag in (1, 6, 3)]
    sizes = [read_image(path).size for path in paths]
    out = tmp_path / "out"
    out.mkdir()
    return out, [found(path, [BOX], size=size) for path, size in zip(paths, sizes, strict=True)]


def elements(path, *tags):
    root = ElementTree.parse(path).getroot()
    return [root.findtext(tag) for tag in tags]


def test_voc_is_the_standard_tree(pictures):
    out, results = pictures
    write(out, "voc", results)
    home = out / "voc"
    for stem, result in zip(("x", "x-2", "x-3"), results, strict=True):
        name, path = elements(home / f"Annotations/{stem}.xml", "filename", "path")
        assert (name, path) == (f"{stem}.jpg", str(result.path))
        assert (home / "JPEGImages" / name).samefile(result.path)
        assert (home / "JPEGImages" / name).resolve().is_relative_to(home.resolve())
    assert (home / "ImageSets/Main/train.txt").read_text() == "x\nx-2\nx-3\n"
    assert not (home / "ImageSets/Main/val.txt").exists()


@pytest.mark.parametrize(
    ("name", "link"),
    [("a.JPEG", "a.jpg"), ("a.jpe", "a.jpg"), ("a.PNG", "a.PNG"), ("a.b.JPG", "a.b.jpg")],
)
def test_voc_calls_a_jpeg_jpg(tmp_path, name, link):
    path = tmp_path / "in" / name
    path.parent.mkdir()
    Image.new("RGB", (60, 40)).save(path, "PNG" if "PNG" in name else "JPEG")
    write(tmp_path, "voc", [found(path, [BOX])])
    assert [each.name for each in (tmp_path / "voc/JPEGImages").iterdir()] == [link]


def test_links_become_copies_where_there_are_none(pictures, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    out, results = pictures
    monkeypatch.setattr(Path, "symlink_to", refuse)
    monkeypatch.setattr(Path, "hardlink_to", refuse)
    write(out, "voc", results)
    copy = out / "voc/JPEGImages/x-2.jpg"
    assert not copy.is_symlink()
    assert not copy.samefile(results[1].path)
    assert copy.read_bytes() == results[1].path.read_bytes()


def test_voc_counts_from_0_where_that_is_asked_for(tmp_path):
    boxes = [[0, 0, 60, 40], [1.6, 2.2, 3.4, 9], [59.7, 39.8, 60, 40]]
    for zero_based, wanted in (
        (False, [[1, 1, 60, 40], [3, 3, 3, 9], [60, 40, 60, 40]]),
        (True, [[0, 0, 60, 40], [2, 2, 3, 9], [59, 39, 60, 40]]),
    ):
        write(tmp_path, "voc", [found("a.jpg", boxes)], zero_based=zero_based)
        root = ElementTree.parse(tmp_path / "voc/Annotations/a.xml").getroot()
        assert [[int(side.text) for side in box] for box in root.iter("bndbox")] == wanted
        (image,) = read_boxes(tmp_path / "voc")
        edges = [box.edges for box in image.boxes]
        assert edges == [(0, 0, 60, 40), (2, 2, 3, 9), (59, 39, 60, 40)]


def test_yolo_names_its_classes_in_a_list_too(tmp_path):
    names = (*NAMES, "two\nlines", "half \ud800")
    write(tmp_path, "yolo", names=names)
    text = (tmp_path / "yolo/classes.txt").read_bytes().decode()
    assert text == f"{NAMES[0]}\n{NAMES[1]}\ntwo_lines\nhalf ?\n"


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 0.5, 0.9, 0.999])
def test_all_classes_give_their_share(share):
    random = np.random.default_rng(1)
    for total in (2, 3, 10, 101):
        labels = random.integers(0, 4, total).tolist()
        chosen = choose_val(labels, share)
        assert len(chosen) == min(max(round(share * total), 1), total - 1)
        for label in set(labels):
            rows = [row for row, each in enumerate(labels) if each == label]
            assert abs(len(chosen & set(rows)) - len(rows) * len(chosen) / total) <= 1
    assert choose_val([], share) == choose_val([3], share) == frozenset()


@pytest.mark.parametrize("name", ["yolo", "yolo-seg"])
def test_yolo_keeps_a_part_to_validate_on(tmp_path, name):
    paths = [image_file(tmp_path / f"in/{i}/x.jpg") for i in range(8)]
    results = [found(path, [BOX], label=i % 2) for i, path in enumerate(paths)]
    for _ in range(2):  # always the same ones
        with listing(tmp_path) as files:
            files.remove()
            write(tmp_path, name, results, val=0.25)
        home = tmp_path / name
        for part, count in (("train", 6), ("val", 2)):
            images = sorted((home / "images" / part).iterdir())
            labels = sorted((home / "labels" / part).iterdir())
            assert [each.stem for each in images] == [each.stem for each in labels]
            assert len(labels) == count
        classes = [each.read_text()[0] for each in (home / "labels/val").iterdir()]
        assert sorted(classes) == ["0", "1"]
        text = (home / "data.yaml").read_text()
        assert yaml.safe_load(text)["val"] == "images/val"
        assert "2 of 8 images" in text
    assert sorted(each.stem for each in (home / "labels/val").iterdir()) == ["x-5", "x-6"]


def test_val_of_voc_and_hugging_face(pictures):
    out, results = pictures
    write(out, "voc", results, val=0.3)
    lists = [(out / f"voc/ImageSets/Main/{part}.txt").read_text() for part in ("train", "val")]
    assert lists == ["x\nx-3\n", "x-2\n"]
    write(out, "huggingface", results, val=0.3)
    for part, names in (("train", ["x.jpg", "x-3.jpg"]), ("val", ["x-2.jpg"])):
        lines = (out / f"huggingface/{part}/metadata.jsonl").read_text().splitlines()
        assert [json.loads(line)["file_name"] for line in lines] == names
        for each in names:
            assert (out / "huggingface" / part / each).exists()


def test_hugging_face_metadata(pictures):
    out, results = pictures
    write(out, "huggingface", [results[1], found("gone.jpg", [])])
    first, second = (out / "huggingface/train/metadata.jsonl").read_text().splitlines()
    assert json.loads(first) == {
        "file_name": "x.jpg", "width": 40, "height": 60,
        "objects": {"bbox": [[10, 4, 20, 16]], "categories": [1], "scores": [0.9]},
    }  # fmt: skip
    assert json.loads(second)["objects"] == {"bbox": [], "categories": [], "scores": []}
    assert (out / "huggingface/classes.txt").read_text() == "\n".join(NAMES) + "\n"


@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_upright_copies_show_what_people_see(tmp_path, tag, suffix):
    options = {"quality": 95} if suffix == ".jpg" else {}
    path = turned_file(tmp_path / f"in{suffix}", tag, **options)
    assert is_turned(path) is (tag != 1)
    copy = save_upright(path, tmp_path / "copy")
    assert copy.suffix == (".jpg" if suffix == ".jpg" else ".png")
    with Image.open(copy) as stored:
        assert stored.getexif().get(274) is None
        assert stored.size == read_image(path).size == ((60, 40) if tag < 5 else (40, 60))
        gap = np.abs(np.asarray(stored, int) - np.asarray(read_image(path), int))
    assert gap.max() <= (12 if suffix == ".jpg" else 0)


def test_upright_copies_keep_what_colours_mean(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    path = turned_file(tmp_path / "a.jpg", 6, icc_profile=profile)
    assert Image.open(save_upright(path, tmp_path / "b")).info["icc_profile"] == profile
    grey = tmp_path / "grey.png"
    Image.new("L", (6, 4)).save(grey, icc_profile=profile)  # one of grey does not describe RGB
    assert "icc_profile" not in Image.open(save_upright(grey, tmp_path / "c")).info
    (tmp_path / "no.jpg").write_bytes(b"no image")
    with pytest.raises(ImageError):
        is_turned(tmp_path / "no.jpg")


@pytest.mark.parametrize(
    ("name", "folder"),
    [("coco", "images"), ("coco-dataset", "images"), ("voc", "voc/JPEGImages"),
     ("yolo", "yolo/images/train"), ("yolo-seg", "yolo-seg/images/train"),
     ("huggingface", "huggingface/train")],
)  # fmt: skip
def test_turned_photographs_come_upright_and_the_others_as_links(pictures, name, folder):
    out, results = pictures
    write(out, name, results, upright_copies=True)
    for stem, result in zip(("x", "x-2", "x-3"), results, strict=True):
        path = out / folder / f"{stem}.jpg"
        assert path.samefile(result.path) is (stem == "x")
        with Image.open(path) as stored:
            assert stored.size == (result.width, result.height)
            assert stored.getexif().get(274) in (None, 1)
    if name != "yolo-seg":  # whose labels are polygons, which nothing reads as boxes
        images = list(read_boxes(out))
        known = [{Path(each).as_posix() for each in image.names} for image in images]
        for result in results:
            assert sum(result.path.as_posix() in names for names in known) == 1


@pytest.mark.parametrize("name", ["coco", "coco-dataset", "voc", "yolo", "huggingface"])
def test_all_options_together_give_the_scores_of_plain_boxes(pictures, tmp_path, name):
    _, results = pictures
    shifts = ([0, 0, 0, 0], [3, 1, 0, 2], [9, 9, 5, 0])
    results = [replace(r, boxes=r.boxes + shift) for r, shift in zip(results, shifts, strict=True)]
    ids = tuple("/".join(each.path.parts[-2:]) for each in results)
    sizes = np.array([[each.width, each.height] for each in results])
    truth = tuple(np.array([BOX]) - [0, 0, 1, 1] for _ in ids)
    data = Split("test", ids, np.ones(3, np.int64), sizes, truth, class_names=NAMES)
    options = {"upright_copies": True, "val": 0.3, "zero_based": True, "confidence": True}
    scores = {}
    for kind, more in (("jsonl", {}), (name, options)):
        (tmp_path / kind).mkdir()
        with create_writer(kind, tmp_path / kind, NAMES, **more) as writer:
            for each in results:
                writer.add(each)
        scores[kind] = evaluate_boxes(data, tmp_path / kind, protocol="clean").to_dict()
    assert scores[name] == scores["jsonl"]
    assert 0 < scores[name]["gt_known_loc"] < 100


def test_coco_names_the_copies_and_their_originals(pictures):
    out, results = pictures
    write(out, "coco", results, upright_copies=True)
    images = json.loads((out / "coco_images.json").read_text())["images"]
    assert [each["file_name"] for each in images] == [
        str(out / "images" / name) for name in ("x.jpg", "x-2.jpg", "x-3.jpg")
    ]
    assert [each["original"] for each in images] == [str(each.path) for each in results]
    write(out, "coco-dataset", results, upright_copies=True)
    content = json.loads((out / "coco_dataset.json").read_text())
    assert content["info"]["image_root"] == str(out / "images")
    assert [each["file_name"] for each in content["images"]] == ["x.jpg", "x-2.jpg", "x-3.jpg"]


def test_a_photograph_in_its_own_place_is_never_overwritten(tmp_path):
    path = turned_file(tmp_path / "yolo/images/train/x.jpg", 6)
    before = path.read_bytes()
    write(tmp_path, "yolo", [found(path, [BOX], size=(40, 60))], upright_copies=True)
    assert path.read_bytes() == before


def test_a_photograph_that_has_changed_is_told_of(tmp_path):
    path = tmp_path / "in/x.jpg"
    path.parent.mkdir()
    path.write_bytes(b"no image any more")
    writer = create_writer("yolo", tmp_path, NAMES, upright_copies=True)
    writer.add(found(path, [BOX]))
    writer.close()
    assert writer.notes == [f"{path}: no upright copy (not an image)"]
    assert (tmp_path / "yolo/images/train/x.jpg").samefile(path)


@pytest.mark.parametrize(
    ("prefix", "root", "path", "address"),
    [
        ("/data/local-files/?d=photos/", "in", "in/cats/a.jpg",
         "/data/local-files/?d=photos/cats/a.jpg"),
        ("/data/local-files/?d=", "in", "in/a & b#.jpg", "/data/local-files/?d=a%20%26%20b%23.jpg"),
        ("https://host/x", "/srv/in", "/srv/in/ü.jpg", "https://host/x/%C3%BC.jpg"),
        ("s3://bucket/x", "in", "in/a b.jpg", "s3://bucket/x/a b.jpg"),
        ("https://host/", "in", "/srv/a.jpg", "https://host/srv/a.jpg"),  # lies elsewhere
        ("https://host/", ".", "in/a.jpg", "https://host/in/a.jpg"),
    ],
)  # fmt: skip
def test_addresses_of_label_studio(prefix, root, path, address):
    assert image_address(prefix, root, path) == address


def test_roots_of_sources(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("p/a/x.jpg", "p/b/x.jpg", "q/x.jpg"):
        image_file(tmp_path / name)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/some.txt").write_text("../q/x.jpg\n")
    for sources, root in [
        (["p"], "p"), (["p/"], "p"), (["./p/a"], "p/a"), (["p/a/x.jpg"], "p/a"),
        (["p/*/*.jpg"], "p"),
        (["p/a", "p/b"], "p"), (["p", "q"], "."), (["p", str(tmp_path / "q")], "."),
        (["lists/some.txt"], "lists"), ([str(tmp_path / "p")], str(tmp_path / "p")), (["-"], "."),
    ]:  # fmt: skip
        assert find_root(sources) == root, sources


def test_predict_takes_the_options_of_formats(tmp_path, spot, capsys):
    for tag in (1, 6):
        exif = Image.Exif()
        exif[274] = tag
        (tmp_path / f"in/a {tag}").mkdir(parents=True)
        spot.save(tmp_path / f"in/a {tag}/x.png", exif=exif)
    command = ["predict", str(tmp_path / "in"), "--model", "resnet18", "--weights", "random",
               "--out", str(tmp_path / "out")]  # fmt: skip
    names = ("labelstudio", "voc", "yolo")
    formats = [word for name in names for word in ("--format", name)]
    options = ["--val", "0.5", "--image-prefix", "/data/p", "--upright-copies", "--zero-based"]
    with pytest.raises(SystemExit) as stop:
        main([*command, *formats, *options])
    assert not stop.value.code, capsys.readouterr().err
    out = tmp_path / "out"
    tasks = json.loads((out / "labelstudio.json").read_text())
    addresses = [task["data"]["image"] for task in tasks]
    assert addresses == ["/data/p/a%201/x.png", "/data/p/a%206/x.png"]
    assert len(list((out / "yolo/images/val").iterdir())) == 1
    told = [elements(path, "zero_based", "original") for path in (out / "voc").rglob("*.xml")]
    assert sorted(told, key=str) == [["1", str(tmp_path / "in/a 6/x.png")], ["1", None]]
    for flag, kind in (("--upright-copies", "csv"), ("--zero-based", "yolo"), ("--val", "csv"),
                       ("--image-prefix", "csv")):  # fmt: skip
        value = {"--val": ["0.1"], "--image-prefix": ["x"]}.get(flag, [])
        with pytest.raises(SystemExit) as stop:
            main([*command, "--format", kind, flag, *value, "--force"])
        assert stop.value.code == 2
        assert flag in capsys.readouterr().err
    for kind, share in (("yolo", "1"), ("csv", "1"), ("yolo", "1.5"), ("voc", "-0.1")):
        with pytest.raises(SystemExit) as stop:
            main([*command, "--format", kind, "--val", share, "--force"])
        assert stop.value.code == 2
        err = " ".join(capsys.readouterr().err.split())
        assert f"--val: Expected val to be a share from 0 to below 1 but got {float(share)}" in err


def test_help_names_the_formats_of_an_option(capsys):
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    text = "".join(capsys.readouterr().out.split())  # wherever lines end
    for said in ("yolo-seg,vocandhuggingfacefolders", "yolo,vocandhuggingface,andinonebeside"):
        assert said in text


def test_faults_of_hugging_face_metadata_are_named(tmp_path):
    good = {"file_name": "a.jpg", "objects": {"bbox": [[1, 2, 3, 4]], "categories": [0]}}
    path = tmp_path / "metadata.jsonl"
    path.write_text(json.dumps(good) + "\n")
    (image,) = read_boxes(tmp_path)
    assert (image.boxes[0].edges, image.boxes[0].score, image.size) == ((1, 2, 4, 6), None, None)
    for objects in ({"bbox": [[1, 2, 3]], "categories": [0]}, {"bbox": [], "categories": [0]}, []):
        path.write_text(json.dumps({**good, "objects": objects}) + "\n")
        with pytest.raises(ValueError, match=r"metadata\.jsonl:1: expected an image's file_name"):
            list(read_boxes(tmp_path))


def test_images_without_a_box_are_read_back_without_any(tmp_path):
    for name in ("voc", "yolo", "huggingface"):
        write(tmp_path, name, [found("a/x.jpg", [])])
        (image,) = read_boxes(tmp_path / name)
        assert image.boxes == []


def test_images_over_the_limit_of_pil_are_read_without_its_warning(tmp_path, spot, monkeypatch):
    """PIL warns above its own limit, and fails above twice that; `max_pixels` is the limit here."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", spot.width * spot.height - 1)
    (tmp_path / "in").mkdir()
    exif = Image.Exif()
    exif[274] = 6
    for suffix in ("jpg", "png", "tif", "webp"):
        spot.save(tmp_path / f"in/{suffix}.{suffix}", exif=exif)
    for suffix in ("bmp", "gif", "ppm"):
        spot.save(tmp_path / f"in/{suffix}.{suffix}")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        predict(
            create_model("resnet18"), tmp_path / "in", tmp_path / "out",
            formats=["voc", "masks", "yolo-seg"], upright_copies=True, page=tmp_path / "page",
        )  # fmt: skip
    assert [each for each in told if each.category is Image.DecompressionBombWarning] == []
    assert len(list((tmp_path / "out/voc/JPEGImages").iterdir())) == 7
