"""Paths of images as other programs spell them, and the files that they mean."""

import json

import pytest
from PIL import Image

from eval.coco import load_coco
from eval.image_paths import ImageFinder, list_ends, read_address
from eval.manifest import ManifestError, load_split
from eval.yolo import load_yolo
from wsol.drawn_boxes import load_drawn_boxes
from wsol.errors import ArgumentError
from wsol.evaluation.id_paths import IdPaths
from wsol.workflows.evaluate_boxes import evaluate_boxes

FILES = ("cats/p.jpg", "dogs/q.jpg", "dogs/p2.jpg", "p2.jpg", "r.png", "1a2b3c4d-own.jpg")


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "photos"
    for file in FILES:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 20)).save(path)
    return root


@pytest.mark.parametrize(
    ("text", "image_id"),
    [
        ("cats/p.jpg", "cats/p.jpg"),
        ("./cats//p.jpg", "cats/p.jpg"),
        ("{root}/cats/p.jpg", "cats/p.jpg"),
        ("/somewhere/else/photos/cats/p.jpg", "cats/p.jpg"),
        ("../../media/upload/1/r.png", "r.png"),
        ("../../media/upload/1/1a2b3c4d-r.png", "r.png"),
        ("images/9f8e7d6c__r.png", "r.png"),
        ("images/1a2b3c4d-own.jpg", "1a2b3c4d-own.jpg"),  # a name that begins so
        (r"images\r.png", "r.png"),
        (r"C:\Users\me\photos\cats\p.jpg", "cats/p.jpg"),
        (r"dogs\..\cats\p.jpg", "cats/p.jpg"),
        ("/data/local-files/?d=cats/p.jpg", "cats/p.jpg"),
        ("http://localhost:8080/data/local-files/?d=photos/cats%2Fp.jpg", "cats/p.jpg"),
        ("/data/upload/3/1a2b3c4d-r.png", "r.png"),
        ("s3://bucket/photos/cats/p.jpg", "cats/p.jpg"),
        ("https://host/photos/r.png?token=1", "r.png"),
        ("p.jpg", None),  # in a folder that the path does not name
        ("images/1a2b3c4d-p.jpg", None),
        ("cats/none.jpg", None),
        ("..", None),
        ("", None),
        ("cats", None),  # a folder
        ("a\0b.jpg", None),
        ("x" * 5000, None),
        ("http://[half/r.png", "r.png"),
    ],
)
def test_a_path_means_a_file(root, text, image_id):
    assert ImageFinder(root).find(text.format(root=root)) == image_id


@pytest.mark.parametrize(
    ("text", "image_id"),
    [
        ("p.jpg", "cats/p.jpg"),
        ("images/1a2b3c4d-q.jpg", "dogs/q.jpg"),
        ("p2.jpg", "p2.jpg"),
        ("birds/p2.jpg", "p2.jpg"),  # as the end of the path has it
        ("q.png", None),
        ("none.jpg", None),
    ],
)
def test_a_name_may_be_enough(root, text, image_id):
    assert ImageFinder(root, anywhere=True).find(text) == image_id
    (root / "p2.jpg").unlink()
    assert ImageFinder(root, anywhere=True).find("birds/p2.jpg") == "dogs/p2.jpg"
    (root / "cats" / "q.jpg").touch()
    assert ImageFinder(root, anywhere=True).find("q.jpg") is None  # either of two


def test_what_is_no_address_stays():
    assert read_address("s3://bucket/photos/e#1.jpg") == "photos/e#1.jpg"
    assert read_address("gs://bucket/f%20g.jpg?x") == "f%20g.jpg?x"
    assert read_address("HTTPS://host/f%20g.jpg?x#y") == "f g.jpg"
    for text in ("a?b.jpg", "100%25.jpg", "data/local-files/p.jpg"):
        assert read_address(text) == text
    assert [*list_ends("../..")] == []


def coco(folder, *names):
    content = {
        "images": [
            {"id": i, "file_name": name, "width": 40, "height": 20} for i, name in enumerate(names)
        ],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 0, "bbox": [1, 2, 3, 4]}
            for i in range(len(names))
        ],
        "categories": [{"id": 0, "name": "cat"}],
    }
    path = folder / "found.json"
    path.write_text(json.dumps(content))
    return path


def test_a_coco_file_of_another_machine(root):
    path = coco(root, r"images\r.png", "../../media/cats/1a2b3c4d-p.jpg", f"{root}/dogs/q.jpg")
    assert load_split(path).ids == ("r.png", "cats/p.jpg", "dogs/q.jpg")
    with pytest.raises(ManifestError, match=r"images\[1\] .*'r.png' too"):
        load_coco(coco(root, "r.png", "x/r.png"), "mine", finder=ImageFinder(root))
    with pytest.raises(ManifestError, match=r"images\[0\] .*below the image root but got '\.\./s"):
        load_split(coco(root, "../s.png"))
    assert load_split(coco(root, "p.jpg")).ids == ("p.jpg",)  # of a data set it is missing
    assert load_drawn_boxes(coco(root, "p.jpg"), "drawn")[0].ids == ("cats/p.jpg",)


def test_flat_labels_of_images_in_class_folders(root, tmp_path):
    labels = tmp_path / "export" / "labels"
    labels.mkdir(parents=True)
    for stem in ("1a2b3c4d-p", "q"):
        (labels / f"{stem}.txt").write_text("0 0.5 0.5 0.5 0.5")
    split, home = load_yolo(labels.parent, "mine", root)
    assert sorted((home / image_id).relative_to(root).as_posix() for image_id in split.ids) == [
        "cats/p.jpg", "dogs/q.jpg",
    ]  # fmt: skip
    (labels / "p.txt").write_text("0 0.5 0.5 0.5 0.5")
    with pytest.raises(ManifestError, match=r"p\.txt: expected an image of its own but .*cats/p"):
        load_yolo(labels.parent, "mine", root)
    (labels / "p.txt").unlink()
    (root / "cats" / "q.png").touch()
    with pytest.raises(ManifestError, match=r"q\.txt: q is the name of 2 images below .*q\.png, "):
        load_yolo(labels.parent, "mine", root)


def test_ids_of_copies_with_codes():
    known = IdPaths(["val/a.jpg", "val/b.jpg", "test/b.jpg"])
    names = ("../../media/1a2b3c4d-a.jpg", r"x\val\b.jpg", "/data/local-files/?d=test/b.jpg")
    assert [known.find(name) for name in names] == ["val/a.jpg", "val/b.jpg", "test/b.jpg"]
    assert known.find("1a2b3c4d-b.jpg") is None


@pytest.mark.parametrize("start", ["../../media/", "C:\\photos\\", "/srv/x/photos/"])
def test_data_of_another_machine_are_scored_below_their_root(root, tmp_path, start):
    (tmp_path / "elsewhere").mkdir()
    path = coco(tmp_path / "elsewhere", f"{start}cats/p.jpg", f"{start}r.png")
    (tmp_path / "b.csv").write_text("id,x0,y0,x1,y1\ncats/p.jpg,1,2,4,6\nr.png,1,2,4,6\n")
    found = evaluate_boxes(path, tmp_path / "b.csv", root, protocol="clean")
    assert found.result.gt_known_loc == 100
    with pytest.raises(ManifestError, match="expected a path below the image root"):
        evaluate_boxes(path, tmp_path / "b.csv", protocol="clean")  # where no image is found


CLEANED = {  # as Label Studio names its copies
    "with space 1.jpg": "c3fbde2b-with_space_1.jpg",
    "it's 50%, #1.png": "21fcf679-its_50_1.png",
    "vogel ä.jpg": "4b895b2b-vogel_ä.jpg",
    "plain-1.v2.jpg": "0a1b2c3d-plain-1.v2.jpg",
}


@pytest.mark.parametrize(("name", "copy"), CLEANED.items())
def test_cleaned_names_of_copies(root, name, copy):
    (root / "cats" / name).touch()
    stem = copy.rsplit(".", 1)[0]
    finder = ImageFinder(root, anywhere=True)
    assert finder.find(f"../../media/upload/1/{copy}") == f"cats/{name}"
    assert finder.find_stem(stem) == f"cats/{name}"
    assert ImageFinder(root).find(f"cats/{copy}") == f"cats/{name}"
    assert ImageFinder(root).find(copy) is None  # its folder is not told
    known = IdPaths([f"cats/{name}", "cats/other.jpg"])
    assert [known.find(text) for text in (f"images/{copy}", copy, stem)] == [f"cats/{name}"] * 3
    bare = name.replace(" ", "") + "x"
    assert (known.find(bare), finder.find(bare)) == (None, None)


def test_a_cleaned_name_of_two_images_is_none(root):
    for name in ("a b.jpg", "a, b.jpg"):
        (root / name).touch()
    finder = ImageFinder(root, anywhere=True)
    assert finder.find("1a2b3c4d-a_b.jpg") is None
    assert "a_b.jpg is the name of 2 images below" in finder.tell_several("1a2b3c4d-a_b.jpg")
    known = IdPaths(["a b.jpg", "a, b.jpg"])
    assert known.find("1a2b3c4d-a_b.jpg") is None
    (root / "cats" / "a_b.jpg").touch()  # whose very name it is
    assert ImageFinder(root, anywhere=True).find("1a2b3c4d-a_b.jpg") == "cats/a_b.jpg"


def test_names_of_several_images_are_told(root, tmp_path):
    for folder in ("cats", "dogs", "birds", "new/birds", "old"):
        (root / folder).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 20)).save(root / folder / "a.jpg")
    message = r"a\.jpg is the name of 5 images below .*: birds/a\.jpg, cats/a\.jpg, .*\.\.\.; give"
    path = coco(tmp_path, "a.jpg")
    with pytest.raises(ManifestError, match=rf"images\[0\] \(id 0\): {message} its folder"):
        load_drawn_boxes(path, "drawn", root)
    cvat = tmp_path / "a.xml"
    box = '<box label="cat" xtl="1" ytl="2" xbr="4" ybr="6"/>'
    cvat.write_text(
        f'<annotations><image name="a.jpg" width="40" height="20">{box}</image></annotations>'
    )
    with pytest.raises(ManifestError, match=rf"a\.xml:1: {message} its folder"):
        load_drawn_boxes(cvat, "drawn", root)
    voc = tmp_path / "voc" / "Annotations" / "a.xml"
    voc.parent.mkdir(parents=True)
    corners = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), "2346",
                                                        strict=True))  # fmt: skip
    voc.write_text(
        "<annotation><filename>a.jpg</filename><object><name>cat</name>"
        f"<bndbox>{corners}</bndbox></object></annotation>"
    )
    with pytest.raises(ManifestError, match=rf"a\.xml: {message} its folder"):
        load_drawn_boxes(voc.parent.parent, "drawn", root)
    truth = coco(root, "cats/a.jpg", "dogs/a.jpg")
    for boxes in (path, cvat, voc.parent.parent):
        with pytest.raises(ArgumentError, match=r"1 name of several images: .*a\.jpg \(a\.jpg is"):
            evaluate_boxes(truth, boxes)
    assert load_drawn_boxes(coco(tmp_path, "old/a.jpg"), "drawn", root)[0].ids == ("old/a.jpg",)
