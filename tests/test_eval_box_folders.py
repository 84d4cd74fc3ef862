"""Folders of COCO, YOLO and VOC files as data sets, by the splits that tools export them with."""

import json
import shutil

import numpy as np
import pytest
from labelled_exports import NAMES, write_export
from small_maps import write_maps
from small_objects import BOX

from eval.manifest import ManifestError, list_splits, load_split, open_data_set
from eval.voc import load_voc
from tdam import load_checkpoint
from wsol.drawn_boxes import load_drawn_boxes

FORMS = ("coco", "yolo", "voc")
LAST = np.array(BOX) - [0, 0, 1, 1]


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    return {form: write_export(folder / form, form) for form in FORMS}


@pytest.mark.parametrize("form", FORMS)
def test_splits_are_read(exports, form):
    data = open_data_set(exports[form])
    assert data.splits == ("test", "train", "val")
    assert data.image_root == exports[form]
    for name, count in (("train", 12), ("val", 6), ("valid", 6), ("test", 6)):
        split = data.load(name)
        assert (split.name, len(split)) == ({"valid": "val"}.get(name, name), count)
        assert all((exports[form] / image_id).is_file() for image_id in split.ids)
        named = [split.class_names[label] for label in split.labels]
        assert named == [NAMES[int(image_id.split("/")[-1][0])] for image_id in split.ids]
        np.testing.assert_allclose(np.concatenate(split.boxes), [LAST] * count, atol=1e-9)
        assert split.sizes.tolist() == [[64, 48]] * count
    assert len(data.load("valid+test")) == 12
    with pytest.raises(ManifestError, match=r"expected a split of .* but got 'night'; splits"):
        data.load("night")


@pytest.mark.parametrize("form", FORMS)
def test_images_below_another_root(exports, form, tmp_path):
    """A root that is laid out alike, such as smaller copies."""
    copies = tmp_path / "copies"
    shutil.copytree(exports[form], copies)
    split = open_data_set(exports[form], copies).load("val")
    assert split.ids == load_split(exports[form], "val").ids
    bare = tmp_path / "bare"
    shutil.move(copies, bare)
    for path in [*exports[form].rglob("*")]:
        if path.suffix in (".json", ".yaml", ".txt", ".xml"):
            place = copies / path.relative_to(exports[form])
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
    assert open_data_set(copies, bare).load("val").ids == split.ids


@pytest.mark.parametrize("form", FORMS)
def test_a_threshold_is_chosen_on_valid(exports, form, run, tmp_path):
    data = open_data_set(exports[form])
    for name in ("val", "test"):
        write_maps(data.load(name), tmp_path / "maps")
    flags = ("--maps", tmp_path / "maps", "--threshold", "val")
    code, _, err = run("evaluate", exports[form], *flags, "--json", tmp_path / "scores.json")
    assert code == 0, err
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert (scores["images"], scores["threshold"]["chosen_on"]) == (6, "val")
    code, _, err = run("evaluate", exports[form], *flags, "--split", "valid")
    assert (code, "val cannot be chosen on" in err) == (2, True)


def test_results_by_the_numbers_of_a_split(exports, run, tmp_path):
    """Of the COCO file that a detector was run on, in the folder of its split."""
    truth = json.loads((exports["coco"] / "valid" / "_annotations.coco.json").read_text())
    results = [
        {key: each[key] for key in ("image_id", "category_id", "bbox")} | {"score": 0.5}
        for each in truth["annotations"]
    ]
    (tmp_path / "found.json").write_text(json.dumps(results))
    code, _, err = run("evaluate", exports["coco"], "--split", "valid", "--boxes",
                         tmp_path / "found.json", "--json", tmp_path / "scores.json")  # fmt: skip
    assert code == 0, err
    assert json.loads((tmp_path / "scores.json").read_text())["gt_known_loc"] == 100


@pytest.mark.parametrize("form", FORMS)
def test_calibrate_takes_all_splits(exports, form):
    said = []
    split, home = load_drawn_boxes(exports[form], "corrected")
    assert (len(split), said) == (24, [])
    assert all((home / image_id).is_file() for image_id in split.ids)
    assert [split.class_names[label] for label in split.labels] == [
        NAMES[int(image_id.split("/")[-1][0])] for image_id in split.ids
    ]


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_train_evaluate_calibrate(exports, form, run, tmp_path):
    out = tmp_path / "run"
    code, _, err = run("train", exports[form], "--out", out, "--epochs", 1, "--size", 64,
                       "--workers", 0, "--pick-threshold", "val")  # fmt: skip
    assert code == 0, err
    assert ("passed over, since no image has it: 1 class, 'things'" in err) == (form == "coco")
    assert load_checkpoint(out)[0].class_names == NAMES
    code, _, err = run("evaluate", exports[form], "--checkpoint", out, "--threshold", "val",
                       "--json", tmp_path / "scores.json")  # fmt: skip
    assert code == 0, err
    assert json.loads((tmp_path / "scores.json").read_text())["top1_loc"] is not None
    copy = tmp_path / "copy.safetensors"
    code, said, err = run("calibrate", out, "--boxes", exports[form], "--out", copy,
                          "--allow-overlap")  # fmt: skip
    assert (code, "on 24 images" in said) == (0, True), err


def test_other_places_of_the_same_files(exports, tmp_path):
    """YOLO with `labels/train`, COCO with `annotations/`, VOC with lists of its splits."""
    expected = {name: len(load_split(exports["yolo"], name)) for name in ("train", "val", "test")}
    for form in FORMS:
        (tmp_path / form).mkdir()
    shutil.copy(exports["yolo"] / "data.yaml", tmp_path / "yolo" / "data.yml")
    for split in ("train", "valid", "test"):
        for kind in ("images", "labels"):
            shutil.copytree(exports["yolo"] / split / kind, tmp_path / "yolo" / kind / split)
        shutil.copytree(exports["coco"] / split, tmp_path / "coco" / "images" / split)
        (tmp_path / "coco" / "annotations").mkdir(exist_ok=True)
        shutil.move(
            tmp_path / "coco" / "images" / split / "_annotations.coco.json",
            tmp_path / "coco" / "annotations" / f"instances_{split}.json",
        )
        voc = tmp_path / "voc"
        lists = voc / "ImageSets" / "Main"
        for place in (voc / "Annotations", voc / "JPEGImages", lists):
            place.mkdir(exist_ok=True, parents=True)
        stems = []
        for path in (exports["voc"] / split).iterdir():
            shutil.copy(path, voc / ("Annotations" if path.suffix == ".xml" else "JPEGImages"))
            stems.append(path.stem)
        (lists / f"{split}.txt").write_text("\n".join(sorted(set(stems))))
        (lists / f"red_ball_{split}.txt").write_text("nothing of note")
    for form in FORMS:
        data = open_data_set(tmp_path / form)
        assert {name: len(data.load(name)) for name in data.splits} == expected, form
        assert set(data.load("train").class_names) - {"things"} == set(NAMES)
    only = tmp_path / "only"
    shutil.copytree(tmp_path / "voc", only, ignore=shutil.ignore_patterns("ImageSets"))
    assert list_splits(only) == ["test"]
    assert len(load_split(only, "mine")) == 24


def test_a_label_is_one_class_in_all_splits(tmp_path):
    """Though the second split lacks the first class, and its file numbers the others anew."""
    for form in ("coco", "voc"):
        data = write_export(tmp_path / form, form)
        for path in (data / "valid").iterdir():
            if path.name.startswith("0_"):
                path.unlink()
        if form == "coco":
            path = data / "valid" / "_annotations.coco.json"
            content = json.loads(path.read_text())
            content["categories"] = [{"id": 7, "name": NAMES[2]}, {"id": 9, "name": NAMES[1]}]
            content["images"] = [each for each in content["images"] if each["file_name"][0] != "0"]
            kept = [each for each in content["annotations"] if each["category_id"] > 1]
            for each in kept:
                each["category_id"] = {2: 9, 3: 7}[each["category_id"]]
            content["annotations"] = kept
            path.write_text(json.dumps(content))
        split = load_split(data, "valid")
        assert [split.class_names[label] for label in split.labels] == [
            NAMES[int(image_id.split("/")[-1][0])] for image_id in split.ids
        ]
        assert split.class_names == load_split(data, "train").class_names


def test_class_folders_stay_class_folders(objects, tmp_path):
    """With a file of boxes, notes or XML among the images of a class."""
    copy = tmp_path / "objects"
    shutil.copytree(objects, copy)
    (copy / "coco_dataset.json").write_text("{}")
    (copy / "red_ball" / "labels.txt").write_text("0 0.5 0.5 0.5 0.5")
    assert load_split(copy, "train").ids == load_split(objects, "train").ids


def test_two_folders_of_one_split(tmp_path):
    data = write_export(tmp_path / "data", "voc")
    shutil.copytree(data / "valid", data / "val")
    with pytest.raises(ManifestError, match=r"expected one split val but .*val and .*valid are"):
        open_data_set(data)


@pytest.fixture
def voc(tmp_path):
    return write_export(tmp_path / "data", "voc", {"train": (1, 0)}) / "train"


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


POINTS = ("</xmin>", "</ymin>", "</xmax>", "</ymax>")


@pytest.mark.parametrize(
    ("changes", "box"),
    [
        ([], (12, 8, 43, 35)),
        ([("<width>64</width>", "")], (12, 8, 43, 35)),  # the image itself tells its size
        ([("<xmin>13<", "<xmin>13.5<")], (12.5, 8, 43, 35)),  # as VOC itself has a few
        ([(side, f".0{side}") for side in POINTS], (13, 9, 43, 35)),  # CVAT's outer edges
        (
            [("</filename>", "</filename><owner><name>Label Studio</name></owner>")],
            (13.5, 9.5, 44, 36),  # within a pixel of any box whose numbers become these
        ),
        ([("<name>blue box", "<part><name>x</name></part><name>blue box")], (12, 8, 43, 35)),
        ([("<filename>0_0.png", "<filename>C:\\a\\0_0.JPG")], (12, 8, 43, 35)),
    ],
)
def test_what_numbers_of_voc_mean(voc, changes, box):
    for old, new in changes:
        change(voc / "0_0.xml", old, new)
    split, home = load_voc(voc, "mine")
    assert (split.ids[0], home) == ("0_0.png", voc)
    assert split.class_names == NAMES
    assert split.boxes[0].tolist() == [list(box)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<xmin>13</xmin>", "", r":1: expected xmin, ymin, xmax, ymax: Expected a finite number"),
        ("<xmax>44", "<xmax>900", r":1: expected a box in an image of 64 x 48 but got outer"),
        ("<xmax>44", "<xmax>1e400", r":1: expected xmin, ymin, xmax, ymax: Expected a finite"),
        ("<xmax>44", "<xmax>9", r":1: expected a box in an image of 64 x 48"),
        (
            "<name>blue box</name>",
            "",
            r": expected objects of one class, its label",
        ),
        ("</object>", "", r":1: expected XML but mismatched tag"),
        (
            "</object>",
            "</object><object><name>b</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax>"
            "<ymax>2</ymax></bndbox></object>",
            r": expected objects of one class, its label, but got \['b', 'blue box'\]",
        ),
    ],
)
def test_voc_files_that_break_a_rule(voc, old, new, message):
    change(voc / "0_0.xml", old, new)
    with pytest.raises(ManifestError, match=r"0_0\.xml" + message):
        load_voc(voc, "mine")


def test_voc_files_that_are_left_out(voc):
    change(voc / "0_0.xml", "object>", "other>")
    change(voc / "1_0.xml", "</object>", "</object><object><name>b</name><bndbox><xmin>1</xmin>"
           "<ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></object>")  # fmt: skip
    said = []
    assert load_voc(voc, "mine", skip=said.append)[0].ids == ("2_0.png",)
    assert ["1_0.xml: expected objects of one class" in line for line in said] == [True]
    change(voc / "2_0.xml", "object>", "other>")
    with pytest.raises(ManifestError, match="none of 3 XML files has any"):
        load_voc(voc, "mine", skip=said.append)


def test_voc_images_somewhere_below_a_root(voc, tmp_path):
    root = tmp_path / "photos"
    for path in sorted(voc.glob("*.png")):
        (root / path.name[0]).mkdir(parents=True)
        path.rename(root / path.name[0] / path.name)
    split, home = load_voc(voc, "mine", root)
    assert sorted((home / image_id).relative_to(root).as_posix() for image_id in split.ids) == [
        "0/0_0.png", "1/1_0.png", "2/2_0.png",
    ]  # fmt: skip
    (root / "1" / "1_0.png").rename(root / "1" / "other.png")
    with pytest.raises(ManifestError, match=r"1_0\.xml: expected its image beside it, or in JPEG"):
        load_voc(voc, "mine", root)


ENTITIES = '<!DOCTYPE a [<!ENTITY a "{}">]><annotation><filename>&a;</filename></annotation>'


@pytest.mark.fault("input: XML that expands, or that names other files")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ENTITIES.format("lol" * 9), r"a\.xml:1: expected XML without entities of its own"),
        (
            '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotation>&a;</annotation>',
            r"a\.xml:1: expected XML without entities of its own",
        ),
        ("<a>" * 200 + "</a>" * 200, r"a\.xml:1: expected XML but it is nested too deep"),
        ("<annotation>\x00</annotation>", r"a\.xml:1: expected XML but not well-formed"),
        ('<?xml version="1.0" encoding="nonsense"?><annotation/>', r"a\.xml"),
        ("", r"a\.xml:1: expected XML but no element found"),
    ],
)
def test_hostile_xml(tmp_path, text, message):
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(ManifestError, match=message):
        load_voc(tmp_path, "mine")
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "a.xml").rename(tmp_path / "Annotations" / "a.xml")
    with pytest.raises(ManifestError, match=message):
        load_drawn_boxes(tmp_path, "mine")
