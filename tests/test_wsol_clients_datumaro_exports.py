"""What Datumaro, and CVAT by it, exports: data sets, and boxes to calibrate with, as they are."""

import numpy as np
import pytest
from PIL import Image

from eval.manifest import load_split
from wsol.drawn_boxes import load_drawn_boxes

pytest.importorskip("datumaro")
pytestmark = pytest.mark.clients("datumaro")

BOXES = {"cats/p": (1.25, 2, 11.5, 7.5), "cats/q": (0, 0, 40, 20), "dogs/r": (8, 6, 30, 14)}
FORMS = ("coco", "yolo", "voc", "datumaro", "cvat")


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    from datumaro.components.annotation import Bbox
    from datumaro.components.dataset import Dataset
    from datumaro.components.dataset_base import DatasetItem
    from datumaro.components.media import Image as Media

    home = tmp_path_factory.mktemp("datumaro")
    items = []
    for name, (x0, y0, x1, y1) in BOXES.items():
        path = home / "photos" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 20)).save(path)
        box = Bbox(x0, y0, x1 - x0, y1 - y0, label=int(name.startswith("dogs")))
        items.append(
            DatasetItem(name, subset="train", media=Media.from_file(str(path)), annotations=[box])
        )
    made = Dataset.from_iterable(items, categories=["cat", "dog"])
    for form in FORMS:
        made.export(str(home / form), form, save_media=True)
    return home


def check(split, home):
    found = {}
    for image_id, each, label in zip(split.ids, split.boxes, split.labels, strict=True):
        path = (home / image_id).resolve()
        assert path.is_file()
        assert split.class_names[label] == ("dog" if path.stem.endswith("r") else "cat")
        found[path.stem[-1]] = np.add(each, [0, 0, 1, 1])[0]
    assert sorted(found) == ["p", "q", "r"]
    for name, box in BOXES.items():
        np.testing.assert_allclose(found[name[-1]], box, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("root", [None, "photos"])
def test_boxes_to_calibrate_with(exports, form, root):
    path = exports / form / "train.xml" if form == "cvat" else exports / form
    check(*load_drawn_boxes(path, "drawn", root and exports / root))


@pytest.mark.parametrize("form", ["coco", "yolo", "voc"])
def test_data_sets(exports, form):
    check(load_split(exports / form, "train"), exports / form)
