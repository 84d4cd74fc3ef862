import csv
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools.coco import COCO

from wsol.cli import main
from wsol.results import Localization, Step
from wsol.writers import WRITERS, create_writer

NAMES = ("tench", 'a "quoted", name')
HOSTILE = (
    "tench",
    "",
    'a "quoted", \\ name',
    "<b>&amp;'",
    "süß ☃ 😀",
    "\x00\x07\r\n\t\x1f",
    "\x7f\x85\u2028\ufeff\ufffe",
    "\ud800 alone",
    "null",
    "- a: # b",
)
STEP = Step(np.linspace(0, 1, 12).reshape(3, 4), 0.9, (0.0, 0.0, 60.0, 40.0))


def found(path, boxes, label=1, others=(), size=(60, 40), names=NAMES):
    boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    scores = np.linspace(0.9, 0.5, len(boxes))
    path = None if path is None else Path(path)
    return Localization(
        label, names[label], 0.9, boxes, scores, (STEP,), *size, path=path, others=others
    )


FIRST = found("a/x.jpg", [[1.25, 2, 30, 39.5], [0, 0, 60, 40]])
FIRST = replace(FIRST, others=(found("a/x.jpg", [[5, 6, 7, 8]], label=0),))
SECOND = found("b/x.jpg", [])


@pytest.fixture(params=list(WRITERS))
def name(request):
    return request.param


def write(folder, name, localizations=(FIRST, SECOND), names=NAMES, **options):
    """Write localizations, with an error behind the first."""
    writer = create_writer(name, folder, names, **options)
    writer.add(localizations[0])
    writer.add_error(Path("bad.jpg"), "the file is empty")
    for each in localizations[1:]:
        writer.add(each)
    writer.close()


# Readers by the rules of each format: one list an image of (class name, box, score).


def read_coco(folder):
    truth = COCO(folder / "coco_images.json")
    results = json.loads((folder / "coco_results.json").read_text())
    return coco_boxes(truth.loadRes(results) if results else truth)


def read_coco_dataset(folder):
    return coco_boxes(COCO(folder / "coco_dataset.json"))


def coco_boxes(coco):
    images = []
    for image in coco.loadImgs(sorted(coco.getImgIds())):
        rows = []
        for each in coco.loadAnns(coco.getAnnIds(imgIds=image["id"])):
            x, y, width, height = each["bbox"]
            assert each["area"] == pytest.approx(width * height)
            assert each["iscrowd"] == 0
            category = coco.loadCats(each["category_id"])[0]["name"]
            rows.append((category, (x, y, x + width, y + height), each["score"]))
        images.append(rows)
    return images


def read_label_studio(folder):
    images = []
    view = ElementTree.parse(folder / "labelstudio_config.xml").getroot()
    control, image = view.find("RectangleLabels"), view.find("Image")
    known = [label.get("value") for label in control]
    for task in json.loads((folder / "labelstudio.json").read_text()):
        assert set(task["data"]) == {image.get("value").removeprefix("$")}
        (prediction,) = task["predictions"]
        rows = []
        for each in prediction["result"]:
            assert (each["from_name"], each["to_name"]) == (control.get("name"), image.get("name"))
            assert (each["type"], each["image_rotation"]) == ("rectanglelabels", 0)
            value = each["value"]
            (label,) = value["rectanglelabels"]
            assert label in known
            assert value["rotation"] == 0
            shares = [value[key] / 100 for key in ("x", "y", "width", "height")]
            assert all(0 <= share <= 1 for share in shares)
            x0, width = shares[0] * each["original_width"], shares[2] * each["original_width"]
            y0, height = shares[1] * each["original_height"], shares[3] * each["original_height"]
            rows.append((label, (x0, y0, x0 + width, y0 + height), each["score"]))
        images.append(rows)
    return images


def read_voc(folder):
    images = []
    for stem in (folder / "voc/ImageSets/Main/train.txt").read_text().splitlines():
        root = ElementTree.parse(folder / "voc/Annotations" / f"{stem}.xml").getroot()
        width, height = int(root.findtext("size/width")), int(root.findtext("size/height"))
        rows = []
        for each in root.iter("object"):
            keys = ("xmin", "ymin", "xmax", "ymax")
            x0, y0, x1, y1 = (int(each.findtext(f"bndbox/{key}")) for key in keys)
            assert 1 <= x0 <= x1 <= width
            assert 1 <= y0 <= y1 <= height
            assert [each.findtext(key) for key in ("pose", "truncated", "difficult")] == [
                "Unspecified", "0", "0",
            ]  # fmt: skip
            score = float(each.findtext("score"))
            rows.append((each.findtext("name"), (x0 - 1, y0 - 1, x1, y1), score))
        images.append(rows)
    return images


def read_yolo(folder, sizes):
    """Read the labels in the order of writing, which only the caller knows."""
    config = yaml.safe_load((folder / "yolo/data.yaml").read_text(encoding="utf-8"))
    assert list(config["names"]) == list(range(len(config["names"])))
    images = []
    for stem, (width, height) in sizes.items():
        rows = []
        for line in (folder / "yolo/labels/train" / f"{stem}.txt").read_text().splitlines():
            label, *values = line.split()
            xc, yc, w, h, *score = map(float, values)
            shares = (xc - w / 2, yc - h / 2, xc + w / 2, yc + h / 2)
            assert -1e-15 < min(shares) <= max(shares) < 1 + 1e-15
            box = tuple(np.multiply(shares, (width, height, width, height)))
            rows.append((config["names"][int(label)], box, score[0] if score else None))
        images.append(rows)
    return images


READERS = {
    "coco": read_coco,
    "coco-dataset": read_coco_dataset,
    "labelstudio": read_label_studio,
    "voc": read_voc,
}


def read(folder, name, localizations):
    if name != "yolo":
        return READERS[name](folder)
    sizes = {f"image-{i}": (each.width, each.height) for i, each in enumerate(localizations)}
    return read_yolo(folder, sizes)


def check_round_trip(folder, name, localizations, **options):
    localizations = [
        replace(each, path=Path(f"image-{i}.jpg")) for i, each in enumerate(localizations)
    ]
    write(folder, name, localizations, **options)
    images = read(folder, name, localizations)
    assert len(images) == len(localizations)
    for image, rows in zip(localizations, images, strict=True):
        boxes = np.concatenate([each.boxes for each in image.classes])
        names = [each.name for each in image.classes for _ in each.boxes]
        assert [row[0] for row in rows] == names
        if name != "yolo" or options:
            scores = np.concatenate([each.box_scores for each in image.classes])
            np.testing.assert_allclose([row[2] for row in rows], scores, rtol=1e-6)
        else:
            assert [row[2] for row in rows] == [None] * len(boxes)
        for box, (_, read_box, _) in zip(boxes, rows, strict=True):
            if name == "voc":  # a side under a pixel has no nearer whole one
                sides = np.tile(box[2:] - box[:2], 2)
                limits = np.where(sides < 1, 1, 0.5)
            else:
                limits = 0.01
            assert (np.abs(np.subtract(read_box, box)) <= limits).all(), (box, read_box)


ODD = [
    found(None, [[0, 0, 1, 1], [0.2, 0.4, 0.8, 0.6], [0, 0, 0.3, 1]], size=(1, 1)),
    found(None, [[0, 0, 20000, 3], [19999.26, 1.5, 20000, 2.5]], size=(20000, 3)),
    found(None, [[0.5, 1.5, 1.5, 2.5], [2.6, 2.4, 3.4, 3.6]], size=(5, 4)),
    found(None, [[1 / 3, 19998.7, 3, 20000]], size=(3, 20000)),
    found(None, [], size=(7, 7)),
    replace(
        found(None, [], size=(50, 50)), others=(found(None, [[1, 2, 3, 4]], 0, size=(50, 50)),)
    ),
]


@pytest.mark.parametrize("name", [*READERS, "yolo"])
def test_odd_sizes_come_back(tmp_path, name):
    check_round_trip(tmp_path, name, ODD)


@pytest.mark.parametrize("name", [*READERS, "yolo"])
def test_no_images_and_no_boxes(tmp_path, name):
    check_round_trip(tmp_path, name, [ODD[4]])
    create_writer(name, tmp_path, NAMES).close()
    assert read(tmp_path, name, []) == []


@pytest.mark.parametrize("name", ["labelstudio", "voc", "yolo"])
def test_boxes_end_with_the_image(tmp_path, name):
    image = found("image-0.jpg", [[-1e-9, -2, 60.5, 40 + 1e-9]])
    write(tmp_path, name, [image])
    (((_, box, _),),) = read(tmp_path, name, [image])
    np.testing.assert_allclose(box, (0, 0, 60, 40), rtol=0, atol=1e-12)


def side(length):
    edges = st.floats(0, length, allow_nan=False)
    return st.tuples(edges, edges).map(sorted).filter(lambda edge: edge[1] - edge[0] > 1e-3)


@st.composite
def images(draw):
    size = draw(st.tuples(st.integers(1, 20000), st.integers(1, 20000)))
    pairs = draw(st.lists(st.tuples(*map(side, size)), max_size=3))
    return found(None, [[x[0], y[0], x[1], y[1]] for x, y in pairs], size=size)


@pytest.mark.parametrize("name", [*READERS, "yolo"])
@settings(max_examples=25, deadline=None)
@given(localizations=st.lists(images(), min_size=1, max_size=4))
def test_any_box_comes_back(tmp_path_factory, name, localizations):
    check_round_trip(tmp_path_factory.mktemp("any"), name, localizations)


def test_every_writer_writes(tmp_path, name):
    write(tmp_path, name)
    assert any(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())


def test_coco_loads_in_pycocotools(tmp_path):
    write(tmp_path, "coco")
    truth = COCO(tmp_path / "coco_images.json")
    results = truth.loadRes(str(tmp_path / "coco_results.json"))
    assert [image["file_name"] for image in truth.loadImgs([1, 2])] == ["a/x.jpg", "b/x.jpg"]
    (first, second, third) = results.loadAnns(results.getAnnIds())
    assert first["bbox"] == [1.25, 2, 28.75, 37.5]
    assert (first["score"], second["score"]) == (0.9, 0.5)
    assert truth.loadCats([first["category_id"]])[0]["name"] == NAMES[1]
    assert truth.loadCats([third["category_id"]])[0]["name"] == NAMES[0]
    assert truth.dataset["errors"] == [{"file_name": "bad.jpg", "error": "the file is empty"}]


def test_coco_data_set(tmp_path):
    write(tmp_path, "coco-dataset", names=("none", "of", "these"), localizations=(SECOND,))
    assert json.loads((tmp_path / "coco_dataset.json").read_text())["categories"] == []
    write(tmp_path, "coco-dataset", names=(*NAMES, "absent"))
    truth = COCO(tmp_path / "coco_dataset.json")
    assert truth.dataset["categories"] == [
        {"id": 1, "name": NAMES[0]},
        {"id": 2, "name": NAMES[1]},
    ]
    assert truth.getAnnIds() == [1, 2, 3]
    assert truth.loadAnns([1]) == [
        {"id": 1, "image_id": 1, "category_id": 2, "bbox": [1.25, 2, 28.75, 37.5],
         "area": 28.75 * 37.5, "iscrowd": 0, "segmentation": [], "score": 0.9},
    ]  # fmt: skip
    assert truth.loadImgs([2]) == [{"id": 2, "file_name": "b/x.jpg", "width": 60, "height": 40}]
    assert truth.dataset["errors"] == [{"file_name": "bad.jpg", "error": "the file is empty"}]


@pytest.mark.parametrize(
    ("paths", "root", "names"),
    [
        (["p/a.jpg", "p/b.jpg"], "p", ["a.jpg", "b.jpg"]),
        (["/q/p/a.jpg", "/q/r/a.jpg"], "/q", ["p/a.jpg", "r/a.jpg"]),
        (["a.jpg"], ".", ["a.jpg"]),
        (["../p/a.jpg", "p/a.jpg"], ".", ["../p/a.jpg", "p/a.jpg"]),
        (["/p/a.jpg", "p/a.jpg"], ".", ["/p/a.jpg", "p/a.jpg"]),  # nothing in common
        (["p/a.jpg", None, None], ".", ["p/a.jpg", "image", "image-2"]),
    ],
)
def test_coco_data_sets_name_images_below_their_folder(tmp_path, paths, root, names):
    write(tmp_path, "coco-dataset", [found(path, []) for path in paths])
    data = json.loads((tmp_path / "coco_dataset.json").read_text())
    assert data["info"]["image_root"] == root
    assert [image["file_name"] for image in data["images"]] == names


def test_csv_keeps_names_and_empty_images(tmp_path):
    write(tmp_path, "csv")
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [NAMES[1], NAMES[1], NAMES[0], "", NAMES[1]]
    assert [float(rows[0][key]) for key in ("x0", "y0", "x1", "y1")] == [1.25, 2, 30, 39.5]
    assert (rows[3]["file"], rows[3]["error"]) == ("bad.jpg", "the file is empty")
    assert (rows[4]["x0"], rows[4]["box_score"]) == ("", "")


def test_json_lines_lose_nothing(tmp_path):
    write(tmp_path, "jsonl")
    lines = [json.loads(line) for line in (tmp_path / "predictions.jsonl").open()]
    assert lines == [
        FIRST.to_dict(),
        {"file": "bad.jpg", "error": "the file is empty"},
        SECOND.to_dict(),
    ]
    assert len(lines[0]["predictions"]) == 2


def test_maps_of_images_with_one_name(tmp_path):
    write(tmp_path, "npy")
    with (tmp_path / "maps.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["map"] for row in rows] == ["maps/x.npy", "", "maps/x-2.npy"]
    assert rows[1]["error"] == "the file is empty"
    found = np.load(tmp_path / rows[0]["map"])
    np.testing.assert_allclose(found, FIRST.steps[0].map[None])
    assert [float(rows[0][key]) for key in ("x0", "y0", "x1", "y1")] == [0, 0, 60, 40]


def test_localizations_without_steps(tmp_path, name):
    writer = create_writer(name, tmp_path, NAMES)
    if name == "npy":
        with pytest.raises(ValueError, match=r"with steps but got none for a/x\.jpg"):
            writer.add(replace(FIRST, steps=()))
    else:
        writer.add(replace(FIRST, steps=()))
    writer.close()


def test_voc_annotations(tmp_path):
    write(tmp_path, "voc")
    root = ElementTree.parse(tmp_path / "voc/Annotations/x.xml").getroot()
    assert [root.findtext(tag) for tag in ("folder", "filename", "path")] == [
        "a", "x.jpg", str(Path("a/x.jpg")),
    ]  # fmt: skip
    assert [each.text for each in root.find("size")] == ["60", "40", "3"]
    first, full, other = root.iter("object")
    assert [each.text for each in first.find("bndbox")] == ["2", "3", "30", "40"]
    assert [each.text for each in full.find("bndbox")] == ["1", "1", "60", "40"]
    assert (first.findtext("score"), other.findtext("name")) == ("0.9", "tench")
    assert (tmp_path / "voc/ImageSets/Main/train.txt").read_text() == "x\nx-2\n"
    assert ElementTree.parse(tmp_path / "voc/Annotations/x-2.xml").getroot().find("object") is None
    assert read_errors(tmp_path / "voc/errors.csv") == [["bad.jpg", "the file is empty"]]


def read_errors(path):
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["file", "error"]
    return rows


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("voc", "voc/errors.csv"),
        ("yolo", "yolo/errors.csv"),
        ("labelstudio", "labelstudio_errors.csv"),
    ],
)
def test_errors_are_those_of_this_run(tmp_path, name, path):
    for _ in range(2):
        writer = create_writer(name, tmp_path, NAMES)
        assert not (tmp_path / path).exists()
        writer.add_error(Path("a, b.jpg"), 'not "an" image')
        writer.add_error(Path("ü.jpg"), "no such file")
        writer.close()
    rows = [["a, b.jpg", 'not "an" image'], ["ü.jpg", "no such file"]]
    assert read_errors(tmp_path / path) == rows


def is_xml(character):
    """Whether XML 1.0 can hold a character, its paragraph 2.2, and a parser leaves it alone."""
    code = ord(character)
    return (
        code in (0x9, 0xA)
        or 0x20 <= code <= 0xD7FF
        or 0xE000 <= code <= 0xFFFD
        or 0x10000 <= code <= 0x10FFFF
    )


def test_xml_names_no_encoding(tmp_path):
    """Parsers of decoded text refuse a declaration of the encoding."""
    for name in ("voc", "labelstudio"):
        write(tmp_path, name)
    assert (tmp_path / "voc/Annotations/x.xml").read_text().startswith("<annotation>\n")
    assert (tmp_path / "labelstudio_config.xml").read_text().startswith("<View>\n")


@pytest.fixture
def hostile():
    """An image with a hostile name, and a box for every hostile class."""
    path = '<a&b>/"x" \udce9 é\x01.jpg'
    parts = [found(path, [[1, 2, 3, 4 + i]], i, names=HOSTILE) for i in range(len(HOSTILE))]
    return replace(parts[0], others=tuple(parts[1:]))


def test_hostile_names_in_xml(tmp_path, hostile):
    for name in ("voc", "labelstudio"):
        write(tmp_path, name, [hostile], HOSTILE)
    wanted = ["".join(c if is_xml(c) else "\ufffd" for c in name) for name in HOSTILE]
    (path,) = (tmp_path / "voc/Annotations").iterdir()
    root = ElementTree.parse(path).getroot()
    assert [each.findtext("name") for each in root.iter("object")] == wanted
    assert root.findtext("folder") == "<a&b>"
    assert root.findtext("filename") == '"x" \ufffd é\ufffd.jpg'
    assert [row[0] for row in read_label_studio(tmp_path)[0]] == wanted
    view = ElementTree.parse(tmp_path / "labelstudio_config.xml").getroot()
    assert [label.get("value") for label in view.find("RectangleLabels")] == wanted


def test_hostile_names_in_json_and_yaml(tmp_path, hostile):
    folder = tmp_path / 'a: "b" # 😀'
    folder.mkdir()
    for name in ("coco", "coco-dataset", "labelstudio", "yolo"):
        write(folder, name, [hostile], HOSTILE)
    for each in (read_coco(folder), read_coco_dataset(folder)):
        assert [row[0] for row in each[0]] == list(HOSTILE)
    config = yaml.safe_load((folder / "yolo/data.yaml").read_text(encoding="utf-8"))
    assert config["names"] == dict(enumerate(HOSTILE))
    assert config["path"] == str(folder / "yolo")
    (task,) = json.loads((folder / "labelstudio.json").read_text())
    assert task["data"]["image"] == str(hostile.path)


def image_file(path, color="red"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (60, 40), color).save(path)
    return path


def label_path(image):
    """Where trainers look for the labels of an image."""
    head, tail = str(image).rsplit(f"{os.sep}images{os.sep}", 1)
    return Path(f"{head}{os.sep}labels{os.sep}{tail}".rsplit(".", 1)[0] + ".txt")


def yolo_files(folder):
    """The images of `data.yaml`, each with its lines of labels."""
    config = yaml.safe_load((folder / "yolo/data.yaml").read_text())
    assert config["train"] == config["val"]
    assert Path(config["path"]).is_absolute()
    images = sorted((Path(config["path"]) / config["train"]).iterdir())
    return {image.name: label_path(image).read_text().splitlines() for image in images}


def test_yolo_labels_lie_beside_their_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [image_file(Path(name)) for name in ("images/a.b.jpg", "images/a.b.png", "b/a.b.jpg")]
    image_file(Path("images/images/train/x.jpg"))
    paths.append(Path("images/images/train/x.jpg"))
    out = Path("out")
    out.mkdir()
    write(out, "yolo", [replace(FIRST, path=paths[0]), *(found(path, []) for path in paths[1:])])
    files = yolo_files(out)
    assert list(files) == ["a.b-2.png", "a.b-3.jpg", "a.b.jpg", "x.jpg"]
    assert [len(lines) for lines in files.values()] == [0, 0, 3, 0]
    assert files["a.b.jpg"][0] == "1 0.26041667 0.51875000 0.47916667 0.93750000"
    assert files["a.b.jpg"][2].split()[0] == "0"
    link = out / "yolo/images/train/a.b-3.jpg"
    assert link.is_symlink()
    assert link.samefile(paths[2])
    out.rename("moved")
    assert Path("moved/yolo/images/train/a.b.jpg").samefile(paths[0])
    assert read_errors(Path("moved/yolo/errors.csv")) == [["bad.jpg", "the file is empty"]]


def test_yolo_copies_where_it_cannot_link(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    path = image_file(tmp_path / "a/x.jpg")
    write(tmp_path, "yolo", [replace(FIRST, path=path)])
    copy = tmp_path / "yolo/images/train/x.jpg"
    assert not copy.is_symlink()
    assert copy.read_bytes() == path.read_bytes()


def test_yolo_with_confidence(tmp_path):
    check_round_trip(tmp_path, "yolo", ODD, confidence=True)


def test_confidence_concerns_yolo_only(tmp_path, name):
    for confidence in (False, True):
        folder = tmp_path / str(confidence)
        folder.mkdir()
        write(folder, name, confidence=confidence)
    plain, other = (
        {path.relative_to(tmp_path / top): path.read_bytes()
         for path in (tmp_path / top).rglob("*") if path.is_file() and path.suffix != ".yaml"}
        for top in ("False", "True")
    )  # fmt: skip
    assert plain
    assert (plain == other) is (name != "yolo")


def test_yolo_without_files(tmp_path):
    write(tmp_path, "yolo", [found(None, [[0, 0, 60, 40]]), found(None, []), FIRST])
    assert list((tmp_path / "yolo/images/train").iterdir()) == []
    labels = {path.stem: path.read_text() for path in (tmp_path / "yolo/labels/train").iterdir()}
    assert sorted(labels) == ["image", "image-2", "x"]
    assert labels["image"] == "1 0.50000000 0.50000000 1.00000000 1.00000000\n"
    assert labels["image-2"] == ""


def test_yolo_shows_the_last_run_only(tmp_path):
    cats = [image_file(tmp_path / name) for name in ("a/cat.jpg", "b/cat.jpg")]
    dog = image_file(tmp_path / "c/dog.jpg", "blue")
    write(tmp_path, "yolo", [replace(FIRST, path=path) for path in cats])
    own = image_file(tmp_path / "yolo/images/train/own.jpg")  # a person's, not a link
    cache = tmp_path / "yolo/labels/train.cache"
    cache.touch()
    label_path(own).touch()
    write(tmp_path, "yolo", [replace(FIRST, path=path) for path in (dog, cats[1])])
    assert list(yolo_files(tmp_path)) == ["cat.jpg", "dog.jpg", "own.jpg"]
    assert (tmp_path / "yolo/images/train/cat.jpg").samefile(cats[1])
    assert not cache.exists()


def test_yolo_over_its_own_images(tmp_path):
    """Predicting on a data set's own images into the same folder leaves them as they are."""
    path = image_file(tmp_path / "a/x.jpg")
    write(tmp_path, "yolo", [replace(FIRST, path=path)])
    own = image_file(tmp_path / "yolo/images/train/own.jpg")
    link = tmp_path / "yolo/images/train/x.jpg"
    write(tmp_path, "yolo", [replace(FIRST, path=each) for each in (own, link)])
    assert list(yolo_files(tmp_path)) == ["own.jpg", "x.jpg"]
    assert Image.open(own).size == Image.open(link).size == (60, 40)
    assert not own.is_symlink()


def test_label_studio_tasks(tmp_path):
    third = found(None, [[0, 0, 1, 1]])
    write(tmp_path, "labelstudio", [FIRST, SECOND, third, found(None, [])])
    tasks = json.loads((tmp_path / "labelstudio.json").read_text())
    assert [task["data"]["image"] for task in tasks] == ["a/x.jpg", "b/x.jpg", "image", "image-2"]
    (prediction,) = tasks[0]["predictions"]
    assert prediction["score"] == 0.9
    assert prediction["model_version"].startswith("wsol-tdam ")
    first, full, _ = prediction["result"]
    assert full["value"] == {"x": 0, "y": 0, "width": 100, "height": 100, "rotation": 0,
                             "rectanglelabels": [NAMES[1]]}  # fmt: skip
    assert (first["original_width"], first["original_height"]) == (60, 40)
    ids = [each["id"] for task in tasks for p in task["predictions"] for each in p["result"]]
    assert len(set(ids)) == len(ids) == 4
    assert tasks[1]["predictions"][0]["result"] == []
    view = ElementTree.parse(tmp_path / "labelstudio_config.xml").getroot()
    assert [label.get("value") for label in view.find("RectangleLabels")] == list(NAMES)


def test_unknown_formats_list_the_known(tmp_path):
    with pytest.raises(ValueError, match=r"one of coco, .*, voc, yolo but got 'xml'"):
        create_writer("xml", tmp_path, NAMES)


def test_predict_writes_every_format(tmp_path, spot, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jpg").touch()
    spot.save(tmp_path / "in/b.png")
    formats = [argument for name in WRITERS for argument in ("--format", name)]
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as stop:
        main(["predict", str(tmp_path / "in"), *formats, "--confidence", "--out", str(out)])
    assert stop.value.code == 1  # for the empty file
    line = capsys.readouterr().out.splitlines()[-1].split("\t")
    box = [float(value) for value in line[3].split()]
    images = {name: READERS[name](out) for name in READERS}
    images["yolo"] = read_yolo(out, {"b": spot.size})
    for name, ((row,),) in images.items():
        assert row[0] == line[1]
        np.testing.assert_allclose(row[1], box, atol=0.551 if name == "voc" else 0.051)
        assert row[2] == pytest.approx(images["coco"][0][0][2], rel=1e-6)
    assert list(yolo_files(out)) == ["b.png"]
    for path in ("voc/errors.csv", "yolo/errors.csv", "labelstudio_errors.csv"):
        assert read_errors(out / path) == [[str(tmp_path / "in/a.jpg"), "the file is empty"]]
    with pytest.raises(SystemExit) as stop:
        main(["predict", str(tmp_path / "in"), "--format", "voc", "--confidence"])
    assert stop.value.code == 2
    assert "--confidence" in capsys.readouterr().err


def check_detections(detections):
    assert detections.xyxy.dtype == detections.confidence.dtype == np.float32
    np.testing.assert_array_equal(
        detections.xyxy, [[1.25, 2, 30, 39.5], [0, 0, 60, 40], [5, 6, 7, 8]]
    )
    np.testing.assert_allclose(detections.confidence, [0.9, 0.5, 0.9])
    assert detections.class_id.dtype.kind == "i"
    assert detections.class_id.tolist() == [1, 1, 0]
    assert detections.data["class_name"].tolist() == [NAMES[1], NAMES[1], NAMES[0]]


def test_arrays_for_supervision(monkeypatch):
    module = SimpleNamespace(Detections=SimpleNamespace)
    monkeypatch.setitem(sys.modules, "supervision", module)
    check_detections(FIRST.to_supervision())
    assert SECOND.to_supervision().xyxy.shape == (0, 4)


def test_supervision_takes_them():
    supervision = pytest.importorskip("supervision")
    detections = FIRST.to_supervision()
    assert isinstance(detections, supervision.Detections)
    check_detections(detections)
    assert detections[detections.class_id == 0].data["class_name"].tolist() == [NAMES[0]]
    assert SECOND.to_supervision().is_empty()
    assert len(supervision.Detections.merge([detections, detections])) == 6


def test_supervision_may_be_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match="pip install supervision"):
        FIRST.to_supervision()
