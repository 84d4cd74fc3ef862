import json
import subprocess
import sys
from functools import partial

import json_changes
import numpy as np
import pytest

from eval.coco import coco_scores, load_coco, to_coco
from eval.geometry import pairwise_iou
from eval.manifest import ManifestError, Split, list_splits, load_split

GOOD = {
    "images": [
        {"id": 7, "file_name": "a/one.jpg", "width": 50, "height": 40},
        {"id": "x", "file_name": "two.jpg", "width": 30.0, "height": 20, "category_id": 9},
        {"id": 3, "file_name": "three.jpg", "width": 9, "height": 9},
    ],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 20, "bbox": [0, 0, 50, 40], "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 20, "bbox": [5, 6, 3, 4]},
        {"id": 3, "image_id": 3, "category_id": 4, "bbox": [0, 0, 9, 9], "iscrowd": 1},
    ],
    "categories": [
        {"id": 20, "name": "rook"},
        {"id": 4, "name": "crow"},
        {"id": 9, "name": "wren"},
    ],
}


def write(folder, content):
    path = folder / "coco.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


# The good file with values changed, named as annotations__0__bbox.
changed = partial(json_changes.changed, GOOD)


def test_reads_a_data_set(tmp_path):
    path = write(tmp_path, GOOD)
    assert list_splits(path) == ["test"]
    split = load_split(path, "mine")
    assert split.name == "mine"
    assert split.ids == ("a/one.jpg", "two.jpg", "three.jpg")
    assert split.class_names == ("crow", "wren", "rook")
    assert split.labels.tolist() == [2, 1, 0]  # ranks of 20, of the image's own 9, of a crowd's 4
    assert split.sizes.tolist() == [[50, 40], [30, 20], [9, 9]]
    assert [boxes.tolist() for boxes in split.boxes] == [[[0, 0, 49, 39], [5, 6, 7, 9]], [], []]
    assert {boxes.dtype for boxes in split.boxes} == {np.dtype(np.int64)}


def test_images_without_one_label_may_be_left_out(tmp_path):
    content = changed(annotations__1__category_id=4)
    content["images"].append({"id": 4, "file_name": "four.jpg", "width": 9, "height": 9})
    skipped = []
    split = load_coco(write(tmp_path, content), "mine", skipped.append)
    assert split.ids == ("two.jpg", "three.jpg")
    assert split.labels.tolist() == [1, 0]
    assert split.sizes.tolist() == [[30, 20], [9, 9]]
    assert ["annotations[1]" in skipped[0], "images[3]" in skipped[1]] == [True, True]
    content["images"] = content["images"][:1]
    content["annotations"] = content["annotations"][:2]
    with pytest.raises(ManifestError, match="expected one category an image"):
        load_coco(write(tmp_path, content), "mine", skipped.append)


def test_addresses_of_label_studio_mean_files_below_the_root(tmp_path):
    served = "/data/local-files/?d=mine/ein%20Bild.jpg"
    split = load_split(write(tmp_path, changed(images__0__file_name=served)))
    assert split.ids[0] == "mine/ein Bild.jpg"
    with pytest.raises(ManifestError, match="below the image root"):
        load_split(write(tmp_path, changed(images__0__file_name="/data/local-files/?d=../a.jpg")))
    with pytest.raises(ManifestError, match="below the image root"):
        load_split(write(tmp_path, changed(images__0__file_name="/data/local-files/?d=")))


def test_fractions_stay_and_rounding_is_clipped(tmp_path):
    path = write(tmp_path, changed(annotations__0__bbox=[-0.5, 0.25, 51, 40.5]))
    split = load_split(path)
    assert split.boxes[0].tolist() == [[0, 0.25, 49, 39], [5, 6, 7, 9]]
    assert {boxes.dtype for boxes in split.boxes} == {np.dtype(np.float64)}


def test_a_file_without_boxes_has_none(tmp_path):
    content = changed(annotations=[], images=[GOOD["images"][1]])
    assert load_split(write(tmp_path, content)).boxes is None


def test_a_byte_order_mark_does_no_harm(tmp_path):
    path = tmp_path / "coco.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode())
    assert len(load_split(path)) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{\n"images": [}', r":2: expected JSON but"),
        ("[]", r": expected a COCO data set .* but got a list, as COCO results are"),
        ("3", r": expected a COCO data set but got 3"),
        (changed(images=None), r": expected a list of images but got None"),
        (changed(images=[]), r": expected at least one image"),
        (changed(images__0=5), r": images\[0\]: expected an object but got 5"),
        (changed(images__0__file_name=None), r": images\[0\] \(id 7\): expected file_name to be"),
        (changed(images__0__file_name="/one.jpg"), r"images\[0\] \(id 7\): .*below the image root"),
        (changed(images__2__file_name="a/../../b"), r"images\[2\] \(id 3\): .*below the image"),
        (changed(images__2__file_name="C:\\b.jpg"), r"images\[2\] \(id 3\): .*below the image"),
        (changed(images__2__file_name="two.jpg"), r"images\[2\] .*once but images\[1\] has 'two"),
        (changed(images__2__id=7), r"images\[2\] \(id 7\): expected every id once but images\[0\]"),
        (changed(images__2__id=[1]), r"images\[2\] \(id \[1\]\): expected id to be a number or"),
        (changed(images__0__width=0), r"images\[0\] \(id 7\): expected width .* from 1 but got 0"),
        (changed(images__0__height=None), r"images\[0\] .*expected height .* but got None"),
        (changed(images__1__category_id=5), r"images\[1\] \(id x\): expected category_id .*got 5"),
        (changed(images__1__category_id=None), r"images\[1\] \(id x\): expected an annotation, or"),
        (changed(categories__1__id=20), r"categories\[1\] \(id 20\): expected every id once"),
        (changed(categories__1__id=True), r"categories\[1\] \(id True\): expected id to be a"),
        (changed(categories__1__name=""), r"categories\[1\] \(id 4\): expected name to be a text"),
        (
            changed(annotations__1__category_id=4),
            r"annotations\[1\] \(id 2\): .*'a/one\.jpg' has",
        ),
        (changed(annotations__1__category_id=5), r"annotations\[1\] \(id 2\): .*id of a record"),
        (changed(annotations__1__image_id=8), r"annotations\[1\] \(id 2\): expected image_id .* 8"),
        (changed(annotations__1__bbox=None), r"annotations\[1\] \(id 2\): expected bbox to be x,"),
        (changed(annotations__1__bbox=[1, 2, 3]), r"annotations\[1\] \(id 2\): .* got \[1, 2, 3\]"),
        (changed(annotations__1__bbox=[1, 2, 3, "4"]), r"annotations\[1\] .*x,y,width,height"),
        (changed(annotations__1__bbox=[1, 2, 3, float("nan")]), "NaN is no number of JSON"),
        (changed(annotations__1__bbox=[1, 2, 3, 10**400]), r"annotations\[1\] .*x,y,width"),
        (changed(annotations__1__bbox=[9, 9, -3, 4]), r"annotations\[1\] \(id 2\): .*an area"),
        (changed(annotations__1__bbox=[9, 9, 3, 0]), r"annotations\[1\] \(id 2\): .*an area"),
        (changed(annotations__1__bbox=[49, 9, 3, 4]), r"annotations\[1\] .*image of 50 x 40"),
        (changed(annotations__1__bbox=[-2, 9, 3, 4]), r"annotations\[1\] .*image of 50 x 40"),
        (changed(annotations__1__bbox=[50, 9, 1, 4]), r"annotations\[1\] .*image of 50 x 40"),
    ],
)
def test_faults_are_named_by_record(tmp_path, content, message):
    with pytest.raises(
        ManifestError, match=r"coco\.json" + message if message[0] == ":" else message
    ):
        load_split(write(tmp_path, content))


def test_a_file_is_one_split(tmp_path):
    with pytest.raises(ManifestError, match=r"coco\.json: expected one name .* got 'val\+test'"):
        load_split(write(tmp_path, GOOD), "val+test")


def test_out_and_in_again(tmp_path):
    split = load_split(write(tmp_path, changed(annotations__1__bbox=[5.5, 6, 3, 4])))
    content = to_coco(split)
    assert (content["info"], content["licenses"]) == ({"description": "Split test"}, [])
    again = load_split(write(tmp_path, content))
    assert again.ids == split.ids
    assert again.class_names == split.class_names
    assert np.array_equal(again.labels, split.labels)
    assert np.array_equal(again.sizes, split.sizes)
    assert all(map(np.array_equal, again.boxes, split.boxes))


def test_names_are_made_up_where_there_are_none():
    split = Split("test", ("a",), np.array([1]), np.array([[9, 9]]))
    assert to_coco(split)["categories"] == [
        {"id": 1, "name": "class 0"},
        {"id": 2, "name": "class 1"},
    ]
    with pytest.raises(ValueError, match="split test to have image sizes"):
        to_coco(Split("test", ("a",), np.array([1])))


def random_split(rng, images=12, classes=3):
    sizes = rng.integers(40, 90, (images, 2))
    boxes = []
    for width, height in sizes:
        corners = rng.integers(0, 15, (rng.integers(1, 4), 4))
        boxes.append(corners * [1, 1, -1, -1] + [0, 0, width - 1, height - 1])
    ids = tuple(f"{i}.jpg" for i in range(images))
    return Split("test", ids, np.arange(images) % classes, sizes, tuple(boxes))


def slow_average_precision(split, labels, scores, boxes, overlap):
    """AP of one overlap, box by box: the mean precision at 101 levels of recall, over classes."""
    found = []
    for label in range(split.labels.max() + 1):
        right, certain = [], []
        for row in range(len(split)):
            truth = split.boxes[row] + [0, 0, 1, 1] if split.labels[row] == label else []
            left = list(range(len(truth)))
            mine = [i for i in np.argsort(-scores[row], kind="stable") if labels[row][i] == label]
            for i in mine:
                ious = pairwise_iou([boxes[row][i]], truth)[0]
                best = max(left, key=lambda j, ious=ious: ious[j], default=None)
                hit = best is not None and ious[best] >= overlap
                if hit:
                    left.remove(best)
                right.append(hit)
                certain.append(scores[row][i])
        hits = np.cumsum(np.array(right)[np.argsort(-np.array(certain), kind="stable")])
        total = sum(len(b) for row, b in enumerate(split.boxes) if split.labels[row] == label)
        recall, precision = hits / total, hits / np.arange(1, len(hits) + 1)
        levels = [precision[recall >= level].max(initial=0) for level in np.linspace(0, 1, 101)]
        found.append(np.mean(levels))
    return 100 * np.mean(found)


def test_scores_agree_with_a_slow_twin(capsys):
    rng = np.random.default_rng(0)
    split = random_split(rng)
    labels, scores, boxes = [], [], []
    for row in range(len(split)):
        near = split.boxes[row] + [0, 0, 1, 1] + rng.uniform(-9, 9, split.boxes[row].shape)
        far = np.add(rng.uniform(0, 20, (2, 4)), [0, 0, 20, 20])
        boxes.append(np.concatenate([near, far]))
        labels.append(np.r_[np.full(len(near), split.labels[row]), rng.integers(0, 3, 2)])
        scores.append(rng.permutation(len(boxes[-1])) / 10 + rng.uniform(0, 0.05))
    found = coco_scores(split, labels, scores, boxes)
    wanted = [
        slow_average_precision(split, labels, scores, boxes, overlap)
        for overlap in np.arange(0.5, 1, 0.05)
    ]
    assert 5 < wanted[0] < 95
    assert found["ap50"] == pytest.approx(wanted[0])
    assert found["ap"] == pytest.approx(np.mean(wanted))
    assert 0 < found["ar1"] < found["ar10"] == found["ar100"] < 100
    assert capsys.readouterr().out == ""


def test_the_true_boxes_score_full_marks():
    split = random_split(np.random.default_rng(1))
    edges = [np.add(boxes, [0, 0, 1, 1]) for boxes in split.boxes]
    labels = [np.full(len(boxes), label) for boxes, label in zip(edges, split.labels, strict=True)]
    scores = [np.ones(len(boxes)) for boxes in edges]
    found = coco_scores(split, labels, scores, edges)
    assert found.keys() == {"ap", "ap50", "ar1", "ar10", "ar100"}
    assert all(found[key] == pytest.approx(100) for key in ("ap", "ap50", "ar10", "ar100"))
    nothing = [np.zeros(0)] * len(split)
    empty = coco_scores(split, nothing, nothing, [np.zeros((0, 4))] * len(split))
    assert set(empty.values()) == {0}


@pytest.mark.parametrize(
    ("labels", "scores", "boxes", "message"),
    [
        ([], [[1]], [[0, 0, 9, 9]], "for 1 images but got 0, 1 and 1"),
        ([[0]], [[1, 1]], [[0, 0, 9, 9]], r"each of 1 boxes of a\.jpg but got \(1,\) and \(2,\)"),
        ([[0]], [[1]], [[0, 0, 9, np.nan]], r"finite boxes and scores but a\.jpg"),
        ([[2]], [[1]], [[0, 0, 9, 9]], "labels from 0 to 0 but got 2"),
        ([[-1]], [[1]], [[0, 0, 9, 9]], "labels from 0 to 0 but got -1"),
    ],
)
def test_arrays_that_do_not_fit(labels, scores, boxes, message):
    split = Split(
        "test", ("a.jpg",), np.array([0]), np.array([[9, 9]]), (np.array([[0, 0, 8, 8]]),)
    )
    with pytest.raises(ValueError, match=message):
        coco_scores(split, labels, scores, boxes)


def test_scores_need_true_boxes():
    split = Split("test", ("a.jpg",), np.array([0]), np.array([[9, 9]]))
    with pytest.raises(ValueError, match="split test to have boxes"):
        coco_scores(split, [[]], [[]], [[]])


def test_reading_loads_no_scorer():
    code = (
        "import sys; from eval.manifest import load_split; from eval.coco import coco_scores; "
        "print([m for m in ('torch', 'cv2', 'PIL', 'pycocotools') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_real_data_go_out_and_in(data, tmp_path):
    split = load_split(data / "imagenet10" / "manifest", "val+test")
    again = load_split(write(tmp_path, to_coco(split)))
    assert again.ids == split.ids
    assert all(map(np.array_equal, again.boxes, split.boxes))
    assert np.array_equal(again.labels, split.labels)
