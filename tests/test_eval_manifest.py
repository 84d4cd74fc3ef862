import numpy as np
import pytest

from eval.manifest import ManifestError, load_classes, load_split

GOOD = {
    "image_ids.txt": "a/one.jpg\ntwo, too.jpg",
    "class_labels.txt": "two, too.jpg,1\na/one.jpg,0",
    "image_sizes.txt": "a/one.jpg,50,40\ntwo, too.jpg,30,20",
    "localization.txt": "a/one.jpg,0,0,49,39\na/one.jpg,5,6,7,8",
}


def write(folder, name="test", **changes):
    split = folder / name
    split.mkdir(parents=True)
    for file, text in GOOD.items():
        text = changes.get(file.removesuffix(".txt"), text)
        if text is not None:
            (split / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def test_reads_in_the_order_of_the_ids(tmp_path):
    split = load_split(write(tmp_path))
    assert split.ids == ("a/one.jpg", "two, too.jpg")
    assert split.labels.tolist() == [0, 1]
    assert split.sizes.tolist() == [[50, 40], [30, 20]]
    assert [boxes.tolist() for boxes in split.boxes] == [[[0, 0, 49, 39], [5, 6, 7, 8]], []]
    assert split.without_box == 1


def test_boxes_and_sizes_may_be_absent_or_empty(tmp_path):
    absent = load_split(write(tmp_path / "x", localization=None, image_sizes=None))
    empty = load_split(write(tmp_path / "y", localization="", image_sizes=""))
    assert absent.boxes is empty.boxes is absent.sizes is empty.sizes is None


def test_joins_disjoint_splits(tmp_path):
    write(tmp_path)
    other = {file.removesuffix(".txt"): text.replace("o", "u") for file, text in GOOD.items()}
    write(tmp_path, "val", **other)
    both = load_split(tmp_path, "val+test")
    assert both.name == "val+test"
    assert both.ids == ("a/une.jpg", "twu, tuu.jpg", "a/one.jpg", "two, too.jpg")
    assert len(both) == len(both.boxes) == len(both.sizes) == 4
    with pytest.raises(ManifestError, match=r"share no image but both have a/one\.jpg"):
        load_split(tmp_path, "test+test")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_ids": "a/one.jpg\na/one.jpg"}, r"image_ids.txt:2: .*line 1 has"),
        ({"image_ids": "../one.jpg\ntwo, too.jpg"}, r"image_ids.txt:1: .*below the image root"),
        ({"image_ids": "/one.jpg\ntwo, too.jpg"}, r"image_ids.txt:1: .*below the image root"),
        ({"image_ids": "a/one.jpg\r\ntwo, too.jpg"}, r"image_ids.txt:1: .*LF but got CRLF"),
        ({"image_ids": b"\xef\xbb\xbfa/one.jpg"}, r"image_ids.txt:1: .*byte order mark"),
        ({"image_ids": b"\xff\xfe"}, r"image_ids.txt: expected UTF-8"),
        ({"image_ids": ""}, r"image_ids.txt: expected at least one image"),
        ({"image_ids": "a/one.jpg\n\ntwo, too.jpg"}, r"image_ids.txt:2: expected id"),
        ({"class_labels": "a/one.jpg,0"}, r"class_labels.txt: .*'two, too.jpg' has none"),
        ({"class_labels": "a/one.jpg,-1"}, r"class_labels.txt:1: .*at least 0"),
        ({"class_labels": "a/one.jpg,x"}, r"class_labels.txt:1: expected integers label"),
        ({"class_labels": "b.jpg,0"}, r"class_labels.txt:1: .*id of image_ids.txt"),
        ({"class_labels": "a/one.jpg,0\na/one.jpg,0"}, r"class_labels.txt:2: .*line 1 has it"),
        ({"class_labels": None}, r"class_labels.txt: cannot be read"),
        ({"image_sizes": "a/one.jpg,0,40"}, r"image_sizes.txt:1: .*at least 1"),
        ({"image_sizes": None}, r"image_sizes.txt: expected sizes beside boxes"),
        ({"localization": "a/one.jpg,9,0,5,5"}, r"localization.txt:1: .*0 <= x0 <= x1 < 50"),
        ({"localization": "a/one.jpg,0,0,50,5"}, r"localization.txt:1: .*got 0,0,50,5"),
        ({"localization": "a/one.jpg,1.5,0,5,5"}, r"localization.txt:1: expected integers"),
        ({"localization": "a/one.jpg,1,2,3"}, r"localization.txt:1: expected id,x0,y0,x1,y1"),
    ],
)
def test_faults_are_named_by_file_and_line(tmp_path, changes, message):
    with pytest.raises(ManifestError, match=message):
        load_split(write(tmp_path, **changes))


def test_an_unknown_split_lists_the_known(tmp_path):
    with pytest.raises(ManifestError, match="got 'val'; splits here: test"):
        load_split(write(tmp_path), "val")


def test_class_tables(tmp_path):
    path = tmp_path / "classes.csv"
    path.write_text("label,wnid,imagenet1k_index,name\n0,n0,217,English springer\n1,n1,0,tench\n")
    assert load_classes(path) == {0: 217, 1: 0}
    path.write_text("label,imagenet1k_index\n0,1000\n")
    with pytest.raises(ManifestError, match=r"classes.csv:2: .*got 0,1000"):
        load_classes(path)
    path.write_text("label,name\n")
    with pytest.raises(ManifestError, match=r"classes.csv:1: expected the columns"):
        load_classes(path)


def test_real_manifest(data):
    split = load_split(data / "imagenet10" / "manifest", "val+test")
    assert (len(split), sum(map(len, split.boxes))) == (500, 813)
    assert np.bincount(split.labels).tolist() == [50] * 10
