"""The programs that written files are for, reading them: how far their boxes lie from ours."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tdam import create_model
from wsol.prediction import predict
from wsol.writers import create_writer

FORMATS = ["coco", "coco-dataset", "huggingface", "voc", "yolo", "yolo-seg"]
TURNS = {
    1: None,
    3: Image.Transpose.ROTATE_180,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}  # what stores an upright picture so that the EXIF orientation turns it back


@pytest.fixture(scope="module")
def written(photos, tmp_path_factory):
    """Photographs of one name in several folders, most of them turned, and all their files."""
    home = tmp_path_factory.mktemp("clients")
    paths = sorted(path for path in photos.rglob("*") if path.suffix in (".jpg", ".png"))
    for folder, first in (("cats", 0), ("dogs", 1)):
        (home / "in" / folder).mkdir(parents=True)
        for number, (tag, turn) in enumerate(TURNS.items()):
            image = Image.open(paths[(number + first) % len(paths)]).convert("RGB")
            image.thumbnail((320, 320))
            exif = Image.Exif()
            exif[274] = tag
            stored = image if turn is None else image.transpose(turn)
            stored.save(home / "in" / folder / f"{number}.jpg", exif=exif)
    found = {}
    options = {"multi": True, "names": ["cats", "dogs"], "class_from_folder": True,
               "upright_copies": True, "threshold": 0.7}  # fmt: skip
    torch.manual_seed(1)
    network = create_model("resnet18", num_classes=2)
    predict(
        network, home / "in", home / "out", formats=FORMATS, val=0.25, **options,
        on_result=lambda path, result: found.update({str(path): result}),
    )  # fmt: skip
    (home / "zero").mkdir()
    names, options = options["names"], {"zero_based": True, "upright_copies": True}
    with create_writer("voc", home / "zero", names, **options) as writer:
        for result in found.values():
            writer.add(result)
    assert any(len(result.boxes) > 1 for result in found.values())
    return home, found


@pytest.fixture
def compare(written, record_property):
    """Compare what a program read with what was found, and keep the largest error in pixels."""
    _, found = written

    def check(read, limit, originals):
        """Take (path of a file, name of the class, box) of every box."""
        boxes = {}
        for path, name, box in read:
            key = originals[str(path)]
            boxes.setdefault(key, []).append((name, *map(float, box)))
            with Image.open(path) as image:  # as it is stored
                assert image.size == (found[key].width, found[key].height)
        assert boxes.keys() == {key for key, result in found.items() if len(result.boxes)}
        largest = 0.0
        for key, result in found.items():
            wanted = sorted((result.name, *box) for box in result.boxes.tolist())
            # Whole pixels may change the order of boxes that are close.
            for name, *box in boxes.get(key, []):
                gaps = [np.abs(np.subtract(box, each)).max() for _, *each in wanted]
                nearest = int(np.argmin(gaps))
                assert wanted.pop(nearest)[0] == name
                largest = max(largest, float(gaps[nearest]))
            assert not wanted
        record_property("pixels", largest)
        assert largest <= limit
        return largest

    return check


def coco_originals(home):
    images = json.loads((home / "out/coco_images.json").read_text())["images"]
    return {each["file_name"]: each["original"] for each in images}


def in_folder(home, folder):
    """Originals by their names in a folder: all writers of a run give the same names."""
    by_name = {Path(name).name: path for name, path in coco_originals(home).items()}
    files = sorted((home / folder).iterdir())
    return {str(path): by_name[path.name] for path in files if path.suffix == ".jpg"}


def corners(x, y, width, height):
    return x, y, x + width, y + height


@pytest.mark.clients("pycocotools")
def test_pycocotools(written, compare):
    from pycocotools.coco import COCO

    home, _ = written
    truth = COCO(home / "out/coco_images.json")
    for loaded in (
        truth.loadRes(str(home / "out/coco_results.json")),
        COCO(home / "out/coco_dataset.json"),
    ):
        root = home / "out/images"
        rows = [
            (root / Path(loaded.imgs[each["image_id"]]["file_name"]).name,
             loaded.cats[each["category_id"]]["name"], corners(*each["bbox"]))
            for each in loaded.anns.values()
        ]  # fmt: skip
        compare(rows, 1e-9, coco_originals(home))


@pytest.mark.clients("supervision")
@pytest.mark.parametrize("kind", ["coco", "voc", "yolo", "yolo-seg"])
def test_supervision(written, compare, kind):
    import supervision

    home, _ = written
    load, limit = supervision.DetectionDataset, 0.01
    if kind == "coco":
        folders = {"images": load.from_coco(
            str(home / "out/images"), str(home / "out/coco_dataset.json")
        )}  # fmt: skip
    elif kind == "voc":
        folder, limit = home / "out/voc", 0.5
        folders = {"voc/JPEGImages": load.from_pascal_voc(
            str(folder / "JPEGImages"), str(folder / "Annotations")
        )}  # fmt: skip
    else:
        folder = home / "out" / kind
        folders = {
            f"{kind}/images/{part}": load.from_yolo(
                str(folder / "images" / part), str(folder / "labels" / part),
                str(folder / "data.yaml"),
            )
            for part in ("train", "val")
        }  # fmt: skip
    rows, originals = [], {}
    for name, data in folders.items():
        originals |= in_folder(home, f"out/{name}")
        for path, _, found in data:
            rows += [
                (path, data.classes[label], box)
                for box, label in zip(found.xyxy, found.class_id, strict=True)
            ]
    compare(rows, limit, originals)


@pytest.mark.clients("datumaro")
@pytest.mark.parametrize("stream", [False, True])
def test_datumaro_reads_coco(written, compare, tmp_path, stream):
    import datumaro

    home, _ = written
    (tmp_path / "annotations").mkdir()
    content = (home / "out/coco_dataset.json").read_text()
    (tmp_path / "annotations/instances_train.json").write_text(content)
    (tmp_path / "images").symlink_to(home / "out/images")
    kind = datumaro.StreamDataset if stream else datumaro.Dataset
    data = kind.import_from(str(tmp_path), "coco_instances")
    rows = read_datumaro(datumaro, data, home / "out/images")
    compare(rows, 0.01, coco_originals(home))  # it rounds to hundredths


@pytest.mark.clients("datumaro")
@pytest.mark.parametrize(("folder", "mode"), [("out", "voc-one-based"), ("zero", None)])
def test_datumaro_reads_voc(written, compare, folder, mode):
    import datumaro

    home, _ = written
    options = {"coordinate_mode": mode} if mode else {}
    data = datumaro.Dataset.import_from(str(home / folder / "voc"), "voc_detection", **options)
    images = home / folder / "voc/JPEGImages"
    rows = read_datumaro(datumaro, data, images)
    assert set(data.subsets()) == ({"train", "val"} if folder == "out" else {"train"})
    compare(rows, 0.5, in_folder(home, f"{folder}/voc/JPEGImages"))


def read_datumaro(datumaro, data, images):
    names = data.categories()[datumaro.AnnotationType.label]
    return [
        (images / Path(item.media.path).name, names[each.label].name, each.points)
        for item in data
        for each in item.annotations
        if each.type == datumaro.AnnotationType.bbox
    ]


@pytest.mark.clients("ultralytics")
@pytest.mark.parametrize("kind", ["yolo", "yolo-seg"])
def test_ultralytics(written, compare, kind):
    from ultralytics.data import utils

    home, _ = written
    data = utils.check_det_dataset(str(home / "out" / kind / "data.yaml"), autodownload=False)
    rows, originals = [], {}
    for part in ("train", "val"):
        images = in_folder(home, f"out/{kind}/images/{part}")
        originals |= images
        labels = utils.img2label_paths(list(images))
        for path, label in zip(images, labels, strict=True):
            _, boxes, (height, width), *_, corrupt, message = utils.verify_image_label(
                (path, label, "", False, len(data["names"]), 0, 0, False)
            )
            assert (corrupt, message) == (0, "")
            for number, xc, yc, w, h in boxes.astype(float):
                shares = np.array([xc - w / 2, yc - h / 2, xc + w / 2, yc + h / 2])
                box = shares * (width, height, width, height)
                rows.append((path, data["names"][int(number)], box))
    compare(rows, 0.01, originals)


@pytest.mark.clients("globox")
def test_globox(written, compare):
    import globox

    home, _ = written
    voc = globox.AnnotationSet.from_pascal_voc(home / "zero/voc/Annotations")
    images = home / "zero/voc/JPEGImages"
    rows = [(images / a.image_id, box.label, box.ltrb) for a in voc for box in a.boxes]
    compare(rows, 0.5, in_folder(home, "zero/voc/JPEGImages"))
    coco = globox.AnnotationSet.from_coco(home / "out/coco_dataset.json")
    rows = [
        (home / "out/images" / a.image_id, box.label, box.ltrb) for a in coco for box in a.boxes
    ]
    compare(rows, 1e-9, coco_originals(home))


@pytest.mark.clients("torchvision")
def test_torchvision(written, compare, tmp_path):
    from torchvision.datasets import VOCDetection

    home, _ = written
    (tmp_path / "VOCdevkit").mkdir()
    (tmp_path / "VOCdevkit/VOC2012").symlink_to(home / "out/voc")
    rows = []
    for part in ("train", "val"):
        data = VOCDetection(tmp_path, image_set=part)
        for row in range(len(data)):
            image, target = data[row]
            told = target["annotation"]
            assert image.size == tuple(int(told["size"][side]) for side in ("width", "height"))
            for each in told["object"]:
                box = [int(each["bndbox"][side]) for side in ("xmin", "ymin", "xmax", "ymax")]
                rows.append(
                    (home / "out/voc/JPEGImages" / told["filename"], each["name"],
                     np.subtract(box, (1, 1, 0, 0)))
                )  # fmt: skip
    compare(rows, 0.5, in_folder(home, "out/voc/JPEGImages"))


@pytest.mark.clients("datasets")
def test_hugging_face(written, compare, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    home, _ = written
    folder = home / "out/huggingface"
    data = datasets.load_dataset("imagefolder", data_dir=str(folder), cache_dir=str(tmp_path))
    names = (folder / "classes.txt").read_text().splitlines()
    rows, originals = [], {}
    for part, split in (("train", "train"), ("val", "validation")):
        originals |= in_folder(home, f"out/huggingface/{part}")
        kept = data[split].cast_column("image", datasets.Image(decode=False))
        for row in kept:
            path, objects = row["image"]["path"], row["objects"]
            rows += [
                (path, names[number], corners(*box))
                for box, number in zip(objects["bbox"], objects["categories"], strict=True)
            ]
    compare(rows, 1e-9, originals)
