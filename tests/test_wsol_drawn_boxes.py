"""What labelling tools export in formats of their own, for `calibrate` and `evaluate --boxes`."""

import copy
import json
import shutil

import numpy as np
import pytest
from json_changes import changed
from labelled_exports import write_export
from listeners import Counter
from PIL import Image

from eval.manifest import ManifestError
from eval.splits import Split
from wsol.drawn_boxes import load_drawn_boxes
from wsol.errors import ArgumentError
from wsol.evaluation.given_boxes import read_given_boxes

BOX = (10, 5, 30, 15)  # outer edges in an image of 40 x 20
REGION = {
    "from_name": "label", "to_name": "image", "type": "rectanglelabels", "original_width": 40,
    "original_height": 20, "image_rotation": 0,
    "value": {"x": 25, "y": 25, "width": 50, "height": 50, "rotation": 0,
              "rectanglelabels": ["cat"]},
}  # fmt: skip
TASKS = [
    {
        "id": 1,
        "data": {"image": "/data/local-files/?d=cats/p.jpg", "note": "x"},
        "annotations": [
            {"id": 1, "was_cancelled": False, "updated_at": "2026-02-01", "result": [REGION]},
        ],
        "predictions": [{"result": []}],
    },
    {"id": 2, "data": {"image": "/data/local-files/?d=q.jpg"}, "annotations": []},
]
DATUMARO = {
    "info": {},
    "categories": {"label": {"labels": [{"name": "dog"}, {"name": "cat"}]}},
    "items": [
        {
            "id": "cats/p",
            "annotations": [{"id": 0, "type": "bbox", "label_id": 1, "bbox": [10, 5, 20, 10]}],
            "image": {"path": "cats/p.jpg", "size": [20, 40]},
        },
        {"id": "q", "annotations": [], "image": {"path": "q.jpg"}},
    ],
}
CVAT = (
    '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
    "<meta><task><labels><label><name>cat</name></label></labels></task></meta>\n"
    '<image id="0" name="cats/p.jpg" width="40" height="20">\n'
    '<box label="cat" source="manual" occluded="0" xtl="10.00" ytl="5.00" xbr="30.00" ybr="15.00"'
    ' z_order="0"><attribute name="a">1</attribute></box>\n</image>\n'
    '<image id="1" name="q.jpg" width="40" height="20">\n</image>\n</annotations>\n'
)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "photos"
    for file in ("cats/p.jpg", "q.jpg"):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 20)).save(root / file)
    return root


def write(folder, content, suffix="json"):
    path = folder / f"export.{suffix}"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def tasks(**value):
    """Label Studio's, whose region has other values."""
    region = REGION | {"value": {k: v for k, v in value.items() if k != "type"}}
    return changed(TASKS, **{"0__annotations__0__result": [region]})


def cvat(shape):
    start = CVAT.index("<box")
    return CVAT[:start] + shape + CVAT[CVAT.index("</box>") + 6 :]


def check(path, root, box=BOX, name="cat"):
    listener = Counter()
    split, home = load_drawn_boxes(path, "drawn", root, listener)
    assert home == root
    assert (split.ids, split.class_names, split.labels.tolist()) == (("cats/p.jpg",), (name,), [0])
    assert split.sizes.tolist() == [[40, 20]]
    np.testing.assert_allclose(np.add(split.boxes[0], [0, 0, 1, 1]), [box], atol=1e-6)
    assert [line.split(": expected boxes of one")[1:] != [] for line in listener.said] == [True] * (
        len(listener.said) - 1
    ) + [False] * bool(listener.said)


FILES = [(TASKS, "json"), (DATUMARO, "json"), (CVAT, "xml")]


@pytest.mark.parametrize(("content", "suffix"), FILES)
def test_a_file_of_each_tool(root, tmp_path, content, suffix):
    path = write(tmp_path, content, suffix)
    check(path, root)
    for folder, name in (("one", "annotations.xml" if suffix == "xml" else "result.json"),
                         ("two", f"annotations/default.{suffix}")):  # fmt: skip
        inside = tmp_path / folder / name
        inside.parent.mkdir(parents=True)
        shutil.copy(path, inside)
        if suffix == "json" or folder == "one":
            check(tmp_path / folder, root)


@pytest.mark.parametrize(("content", "suffix"), FILES)
def test_they_can_be_scored_too(root, tmp_path, content, suffix):
    sizes = np.array([[40, 20]])
    true = (np.array([[0, 0, 9, 9]]),)
    split = Split("test", ("cats/p.jpg",), np.array([0]), sizes, true, class_names=("cat",))
    given = read_given_boxes(
        write(tmp_path, content, suffix), split, data_file=None, count=lambda _: 1,
        others=lambda: ["q.jpg"],
    )  # fmt: skip
    np.testing.assert_allclose(given.boxes[0], [BOX], atol=1e-6)
    assert given.missing == {}


@pytest.mark.parametrize(
    ("value", "box"),
    [
        ({"points": [[25, 25], [75, 25], [50, 75]], "polygonlabels": ["cat"]}, BOX),
        (
            {"x": 50, "y": 50, "radiusX": 25, "radiusY": 25, "rotation": 0,
             "ellipselabels": ["cat"]}, BOX,
        ),
        ({"x": 50, "y": 50, "radiusX": 12.5, "radiusY": 50, "rotation": 90,
          "ellipselabels": ["cat"]}, BOX),  # 5 and 10 pixels, turned
        (  # 10 x 20 pixels, turned around the upper left corner to the left of it
            {"x": 75, "y": 25, "width": 25, "height": 100, "rotation": 90,
             "rectanglelabels": ["cat"]}, BOX,
        ),
        ({"x": 25, "y": 25, "width": 50, "height": 50, "labels": ["cat"]}, BOX),
        ({"x": 25, "y": 25, "width": 75.4, "height": 75, "rectanglelabels": ["cat"]},
         (10, 5, 40, 20)),
    ],
)  # fmt: skip
def test_shapes_of_label_studio(root, tmp_path, value, box):
    check(write(tmp_path, tasks(**value)), root, box)
    short = [{"id": 1, "image": "cats/p.jpg", "annotator": 1, "lead_time": 2.5,
              "label": [value | {"original_width": 40, "original_height": 20}]}]  # fmt: skip
    check(write(tmp_path, short), root, box)


def test_the_annotation_that_was_changed_last_counts(root, tmp_path):
    other = copy.deepcopy(REGION)
    other["value"]["x"] = 30
    for later, box in (({"updated_at": "2026-01-01"}, BOX), ({"updated_at": "2026-03-01"}, None),
                       ({"updated_at": "2026-03-01", "was_cancelled": True}, BOX)):  # fmt: skip
        both = [*TASKS[0]["annotations"], {"id": 2, "result": [other], **later}]
        path = write(tmp_path, changed(TASKS, **{"0__annotations": both}))
        check(path, root, box or (12, 5, 32, 15))


def test_regions_without_boxes_are_passed_over(root, tmp_path):
    more = [
        REGION,
        {"type": "relation", "from_id": "a", "to_id": "b"},
        {"type": "choices", "value": {"choices": ["good"]}, "from_name": "c", "to_name": "image"},
        {"type": "brushlabels", "value": {"brushlabels": ["cat"], "format": "rle", "rle": [1]}},
        {"type": "rectangle", "value": {"x": 1, "y": 1, "width": 2, "height": 2}},
    ]
    check(write(tmp_path, changed(TASKS, **{"0__annotations__0__result": more})), root)


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ('<polygon label="cat" points="10.0,5.0;30.0,5.0;20.0,15.0" z_order="0"/>', BOX),
        ('<ellipse label="cat" cx="20" cy="10" rx="10" ry="5"/>', BOX),
        ('<ellipse label="cat" cx="20" cy="10" rx="5" ry="10" rotation="90.0"/>', BOX),
        ('<mask label="cat" rle="1, 2" left="10" top="5" width="20" height="10"/>', BOX),
        ('<box label="cat" xtl="15" ytl="0" xbr="25" ybr="20" rotation="90"/>', BOX),
        ('<box label="cat" xtl="-1" ytl="5" xbr="30" ybr="15"/>', (0, 5, 30, 15)),
        ('<box label="cat" xtl="10" ytl="5" xbr="30" ybr="15"/><tag label="cat"/><points '
         'label="cat" points="1,1"/>', BOX),
    ],
)  # fmt: skip
def test_shapes_of_cvat(root, tmp_path, shape, box):
    check(write(tmp_path, cvat(shape), "xml"), root, box)


@pytest.mark.parametrize(
    ("kind", "values"),
    [("polygon", {"points": [10, 5, 30, 5, 20, 15]}), ("ellipse", {"points": [10, 5, 30, 15]})],
)
def test_shapes_of_datumaro(root, tmp_path, kind, values):
    shape = {"type": kind, "label_id": 1, **values}
    label = {"type": "label", "label_id": 1}
    several = [shape, label, {"type": "caption", "caption": "x"}, {"type": "points", "points": [1]}]
    path = write(tmp_path, changed(DATUMARO, items__0__annotations=several))
    check(path, root)
    check(write(tmp_path, changed(DATUMARO, items__0__image__size=None)), root)
    bare = changed(DATUMARO, items__0__image=None)
    check(write(tmp_path, bare), root)  # its id is the path without a suffix
    check(write(tmp_path, changed(bare, items__0__media={"path": "somewhere/cats/p.jpg"})), root)


HUGE = 10**400
HOSTILE = {
    "tasks": (TASKS, "json", [
        ({"0__data": 3}, r"tasks\[0\]\.data: expected an object but got 3"),
        ({"0__data__image": None, "0__data__note": None}, r"tasks\[0\]\.data: expected a text `im"),
        ({"0__data__image": 5}, r"tasks\[0\]\.data: expected a text `image` that names it"),
        ({"0__data__image": "../../x.jpg"}, r"tasks\[0\]: expected an image below .* '\.\./\.\./x"),
        ({"0__data__image": "a\0.jpg"}, r"expected boxes of one class an image but no image has"),
        ({"1": 7}, r"tasks\[1\]: expected an object but got 7"),
        ({"0__annotations": "x"}, r"tasks\[0\]\.annotations: expected a list but got 'x'"),
        ({"0__annotations": None}, r"expected tasks with annotations but 2 have none; predictions"),
        ({"0__annotations__0": 4}, r"annotations\[0\]: expected an object but got 4"),
        ({"0__annotations__0__result": {}}, r"\.result: expected a list but got {}"),
        ({"0__annotations__0__result__0__value": "x"}, r"result\[0\]\.value: expected an object"),
        ({"0__annotations__0__result__0__value__x": None}, r"value\.x: expected a number but got"),
        ({"0__annotations__0__result__0__value__x": "9"}, r"value\.x: expected a number but got"),
        ({"0__annotations__0__result__0__value__x": True}, r"value\.x: expected a number but got"),
        ({"0__annotations__0__result__0__value__width": HUGE}, r"value\.width: expected a number"),
        ({"0__annotations__0__result__0__value__width": 1e300}, r"value\.width: expected a number"),
        ({"0__annotations__0__result__0__value__width": -4}, r"expected a box in an image of 40 x"),
        ({"0__annotations__0__result__0__value__x": 250}, r"expected a box in an image of 40 x 20"),
        ({"0__annotations__0__result__0__value__rectanglelabels": [3]}, r"\[0\]: expected a text"),
        ({"0__annotations__0__result__0__value__rectanglelabels": 3}, r"labels: expected a list"),
        ({"0__annotations__0__result__0__value__points": [[1]]}, r"points\[0\]: expected 2 numb"),
        ({"0__annotations__0__result__0__value__points": []}, r"points: expected points but got"),
        ({"0__annotations__0__result__0__image_rotation": 90}, r"image_rotation: expected 0"),
        ({"0__annotations__0__result__0__value__rotation": 5,
          "0__annotations__0__result__0__original_width": 0}, r"original_width: expected a whole"),
        ({"1": TASKS[0]}, r"tasks\[1\]: expected every image once but 'cats/p.jpg' is that of"),
    ]),
    "datumaro": (DATUMARO, "json", [
        ({"categories": None}, r"file\.categories: expected an object but got None"),
        ({"categories__label__labels": 5}, r"labels: expected a list but got 5"),
        ({"categories__label__labels__1": "cat"}, r"labels\[1\]: expected an object but got 'cat'"),
        ({"items": {}}, r"file\.items: expected a list but got {}"),
        ({"items": []}, r"export\.json: expected items but there are none"),
        ({"items__0": []}, r"items\[0\]: expected an object but got \[\]"),
        ({"items__0__id": None}, r"items\[0\]\.id: expected a text but got None"),
        ({"items__0__image": "x"}, r"items\[0\]\.image: expected an object but got 'x'"),
        ({"items__0__image__size": [20]}, r"image\.size: expected height and width but got \[20\]"),
        ({"items__0__image__size": [20, -4]}, r"image\.size\[1\]: expected a whole number from 1"),
        ({"items__0__annotations__0__type": 3}, r"annotations\[0\]\.type: expected a text but got"),
        ({"items__0__annotations__0__label_id": 2}, r"label_id: expected one of 2 labels but"),
        ({"items__0__annotations__0__label_id": -1}, r"label_id: expected a whole number from 0"),
        ({"items__0__annotations__0__bbox": [1, 2, 3]}, r"bbox: expected 4 numbers but got \[1, 2"),
        ({"items__0__annotations__0__bbox": None}, r"bbox: expected 4 numbers but got None"),
        ({"items__0__annotations__0__bbox": [1, 2, HUGE, 3]}, r"bbox\[2\]: expected a number"),
        ({"items__0__annotations__0__bbox": [90, 2, 3, 3]}, r"expected a box in an image of 40"),
        ({"items__0__annotations__0__type": "polygon"}, r"points: expected x and y of points but"),
        ({"items__1": DATUMARO["items"][0]}, r"items\[1\]: expected every image once but 'cats/p"),
    ]),
}  # fmt: skip


@pytest.mark.fault("input: exports of labelling tools with other values")
@pytest.mark.parametrize("tool", HOSTILE)
def test_values_of_another_kind(root, tmp_path, tool, record_property):
    content, suffix, cases = HOSTILE[tool]
    for fields, message in cases:
        path = write(tmp_path, changed(content, **fields), suffix)
        with pytest.raises(ManifestError, match=message) as caught:
            load_drawn_boxes(path, "drawn", root)
        assert str(path) in str(caught.value)
        assert len(str(caught.value)) < 500
    record_property("tried", len(cases))


@pytest.mark.fault("input: exports of labelling tools with other values")
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('xtl="10.00" ', "", r":6: expected <box> to have xtl but got {'label': 'cat'"),
        ("10.00", "ten", r":6: in <box>: Expected a finite number but got 'ten'"),
        ("30.00", "1e999", r":6: in <box>: Expected a finite number but got '1e999'"),
        ("30.00", "3.00", r":5: expected a box in an image of 40 x 20 but got outer edges"),
        ('label="cat" ', "", r":6: expected <box> to have label"),
        ('width="40"', 'width="0"', r":5: in <image>: 0 x 20 pixels of 'cats/p\.jpg'"),
        ('width="40"', "", r":5: expected <image> to have width"),
        ('name="cats/p.jpg"', 'name=""', r":5: in <image>: 40 x 20 pixels of ''"),
        ('name="cats/p.jpg"', 'name="/x/y.jpg"', r":5: expected an image below .* '/x/y\.jpg' is"),
        ('name="q.jpg"', 'name="cats/p.jpg"', r"none of one"),
        ("<version>1.1</version>", "<track/>", r":3: expected CVAT for images 1\.1 but got tracks"),
        ("annotations>", "annotation>", r":2: expected CVAT's annotations but got 'annotation'"),
        ("</image>", "", r"expected XML but mismatched tag"),
        ("image", "frame", r"export\.xml: expected images but there are none"),
        (
            "<annotations>\n<version>",
            '<!DOCTYPE x [<!ENTITY x "y">]><annotations>\n<version>',
            r":2: expected XML without entities of its own",
        ),
    ],
)
def test_xml_of_another_kind(root, tmp_path, old, new, message):
    assert old in CVAT
    path = write(tmp_path, CVAT.replace(old, new), "xml")
    if message == "none of one":  # it has no box, and so no label
        check(path, root)
        path.write_text(
            path.read_text().replace("</image>\n</ann", '<tag label="cat"/></image></ann')
        )
        message = r":8: expected every image once but 'cats/p\.jpg' is that of"
    with pytest.raises(ManifestError, match=message) as caught:
        load_drawn_boxes(path, "drawn", root)
    assert str(path) in str(caught.value)


def test_images_that_are_left_out_are_told(root, tmp_path):
    two = changed(TASKS, **{"1__annotations": [{"result": [REGION]}]})
    two[1]["data"]["image"] = "gone.jpg"
    listener = Counter()
    split, _ = load_drawn_boxes(write(tmp_path, two), "drawn", root, listener)
    assert split.ids == ("cats/p.jpg",)
    assert "tasks[1]: " in listener.said[0]
    assert "expected an image but there is no such file" in listener.said[0]
    assert listener.said[1] == "1 image left out"
    other = copy.deepcopy(REGION)
    other["value"]["rectanglelabels"] = ["dog"]
    several = changed(TASKS, **{"0__annotations__0__result": [REGION, other]})
    with pytest.raises(ManifestError, match="expected boxes of one class an image but no image"):
        load_drawn_boxes(write(tmp_path, several), "drawn", root, listener)
    assert "the image's label, but got ['cat', 'dog']" in listener.said[-2]


def test_tags_alone_are_no_boxes(root, tmp_path):
    path = write(tmp_path, cvat('<tag label="cat" source="manual"/>'), "xml")
    with pytest.raises(ArgumentError, match="holds no box"):
        load_drawn_boxes(path, "drawn", root)


def test_percent_is_of_the_upright_photograph(root, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 40)).save(root / "cats" / "p.jpg", exif=exif)
    check(write(tmp_path, TASKS), root)


def test_folders_whose_files_leave_no_doubt(tmp_path, root):
    """Several files of one tool are read together, several COCO files are not."""
    folder = tmp_path / "export" / "annotations"
    folder.mkdir(parents=True)
    second = changed(DATUMARO, items__0__id="q", items__0__image__path="q.jpg", items__1=None)
    (folder / "train.json").write_text(json.dumps(changed(DATUMARO, items__1=None)))
    (folder / "val.json").write_text(json.dumps(second))
    assert load_drawn_boxes(folder.parent, "drawn", root)[0].ids == ("cats/p.jpg", "q.jpg")
    coco = write_export(tmp_path / "coco", "coco", {"train": (1, 0)}) / "train"
    for name in ("a", "b"):
        shutil.copy(coco / "_annotations.coco.json", folder / f"{name}.json")
    with pytest.raises(ManifestError, match=r"a\.json: expected one file of boxes"):
        load_drawn_boxes(folder.parent, "drawn", root)
    assert len(load_drawn_boxes(coco, "drawn")[0]) == 3
