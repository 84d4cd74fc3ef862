import numpy as np
import pytest

from eval.manifest import ManifestError, MaskPaths, list_splits, load_classes, load_split

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


MASKS = {
    "image_sizes": None,
    "localization": "two, too.jpg,m/b.png,m/i.png\na/one.jpg,m/a.png,\ntwo, too.jpg,m/c.png,",
}


def test_masks_in_place_of_boxes(tmp_path):
    split = load_split(write(tmp_path, **MASKS))
    assert split.masks == (
        MaskPaths(("m/a.png",), None),
        MaskPaths(("m/b.png", "m/c.png"), "m/i.png"),
    )
    assert split.boxes is split.sizes is None
    assert split.summary == "test: 2 images, 2 classes, 3 masks"
    write(tmp_path, "val", image_ids="b.jpg", class_labels="b.jpg,0", image_sizes=None,
          localization="b.jpg,m/d.png,")  # fmt: skip
    both = load_split(tmp_path, "test+val")
    assert both.masks == (*split.masks, MaskPaths(("m/d.png",), None))
    write(tmp_path, "boxes", image_ids="b.jpg", class_labels="b.jpg,0", image_sizes="b.jpg,9,9",
          localization="b.jpg,0,0,8,8")  # fmt: skip
    with pytest.raises(ManifestError, match="expected boxes in both or none of the splits boxes"):
        load_split(tmp_path, "boxes+test")


@pytest.mark.parametrize(
    ("localization", "message"),
    [
        ("a/one.jpg,m/a.png,\na/one.jpg,0,0,9,9", r":2: expected id,mask path,ignore path, as in"),
        ("a/one.jpg,0,0,9,9\na/one.jpg,m/a.png,", r":2: expected id,x0,y0,x1,y1, as in line 1"),
        ("a/one.jpg,../a.png,", r":1: expected a path below the mask root but got '../a.png'"),
        ("a/one.jpg,m/a.png,/i.png", r":1: expected a path below the mask root but got '/i.png'"),
        ("a/one.jpg,m/a.png,C:\\i.png", r":1: expected a path below the mask root"),
        ("a/one.jpg,,i.png", r":1: expected a path below the mask root but got ''"),
        ("b.jpg,m/a.png,", r":1: expected an id of image_ids.txt but got 'b.jpg'"),
        ("a/one.jpg,a.png,\na/one.jpg,b.png,i.png", r":2: .*image's first line only.*'i.png'"),
    ],
)
def test_faults_of_masks_are_named_by_file_and_line(tmp_path, localization, message):
    with pytest.raises(ManifestError, match=r"test/localization\.txt" + message):
        load_split(write(tmp_path, localization=localization))


def test_names_of_classes_beside_the_splits(tmp_path):
    data = write(tmp_path / "data")
    assert load_split(data).class_names is None
    (tmp_path / "classes.csv").write_text("name,label\nrook,1\ncrow,0\n")
    assert load_split(data).class_names == ("crow", "rook")
    (data / "classes.csv").write_text("label,imagenet1k_index\n0,1\n1,2\n")
    assert load_split(data).class_names is None  # the nearer table has no names


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0,crow\n0,rook", r"classes\.csv:3: .*got 0,rook"),
        ("x,crow", r"classes\.csv:2: .*got x,crow"),
        ("0,", r"classes\.csv:2: .*got 0,"),
        ("0,crow", r"classes\.csv: expected a name for every label but 1 has none"),
    ],
)
def test_faults_of_names_are_named_by_file_and_line(tmp_path, rows, message):
    (write(tmp_path) / "classes.csv").write_text(f"label,name\n{rows}\n")
    with pytest.raises(ManifestError, match=message):
        load_split(tmp_path)


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


def test_a_folder_of_class_folders(tmp_path):
    touch(tmp_path, "rook/b.PNG", "rook/2020/a.jpg", "crow/a.jpeg", "crow/notes.txt",
          "crow/.hidden.jpg", "crow/.cache/a.jpg", ".git/a.jpg", "readme.md")  # fmt: skip
    assert list_splits(tmp_path) == ["test"]
    split = load_split(tmp_path, "mine")
    assert split.name == "mine"
    assert split.ids == ("crow/a.jpeg", "rook/2020/a.jpg", "rook/b.PNG")
    assert split.labels.tolist() == [0, 1, 1]
    assert split.labels.dtype == np.int64
    assert split.class_names == ("crow", "rook")
    assert split.boxes is split.sizes is split.masks is None
    with pytest.raises(ManifestError, match=r"expected one name .* but got 'val\+test'"):
        load_split(tmp_path, "val+test")


def test_split_folders_of_class_folders(tmp_path):
    touch(tmp_path, "train/crow/1.jpg", "train/rook/deep/down/2.jpg", "val/rook/3.jpg",
          "test/wren/4.jpg", "more/crow/5.jpg")  # fmt: skip
    assert list_splits(tmp_path) == ["more", "test", "train", "val"]
    split = load_split(tmp_path, "val+test")
    assert split.ids == ("val/rook/3.jpg", "test/wren/4.jpg")
    assert split.labels.tolist() == [1, 2]  # among the classes of all splits
    assert split.class_names == ("crow", "rook", "wren")
    with pytest.raises(ManifestError, match="got 'dev'; splits here: more, test, train, val"):
        load_split(tmp_path, "dev")


def test_classes_that_share_a_name_with_a_split(tmp_path):
    touch(tmp_path, "train/1.jpg", "car/2.jpg")
    assert load_split(tmp_path, "train").ids == ("car/2.jpg", "train/1.jpg")


def test_links_are_followed_once(tmp_path):
    touch(tmp_path, "store/1.jpg")
    (tmp_path / "data" / "crow").mkdir(parents=True)
    try:
        (tmp_path / "data" / "crow" / "link").symlink_to(tmp_path / "store")
        (tmp_path / "store" / "up").symlink_to(tmp_path / "data" / "crow")
    except OSError:
        pytest.skip("no links on this system")
    assert load_split(tmp_path / "data").ids == ("crow/link/1.jpg",)


@pytest.mark.parametrize(
    ("files", "split", "message"),
    [
        (["crow/1.jpg", "rook/2.txt"], "test", r"rook: expected a class folder .*'2\.txt'"),
        (["test/crow/1.jpg", "test/rook/.2.jpg"], "test", r"test.rook: .* an empty folder"),
        (["test/crow/1.jpg", "test/2.jpg"], "test", r"test.2\.jpg: .*lie in class folders"),
        (["test/1.jpg", "train/2.jpg"], "test", r"test.1\.jpg: .*lie in class folders"),
        (["test/labels.txt"], "test", r"test: expected class folders, .*'labels\.txt'"),
        (["fold1/crow/1.jpg", "fold2/crow/1.jpg"], "fold1", r"fold1: expected a split but took"),
        (["image_ids.txt", "x/1.jpg"], "test", r"expected the folder above this one"),
        (["a.txt"], "test", r"expected class folders, or .* but got others, such as 'a\.txt'"),
        ([], "test", r"expected class folders, .* but got an empty folder"),
    ],
)
def test_faults_of_class_folders_are_named(tmp_path, files, split, message):
    with pytest.raises(ManifestError, match=message):
        load_split(touch(tmp_path, *files), split)


def test_nothing_there(tmp_path):
    assert list_splits(tmp_path) == list_splits(tmp_path / "nowhere") == []
    with pytest.raises(ManifestError, match="nowhere: no such file or folder"):
        load_split(tmp_path / "nowhere")


def test_real_class_folders(data):
    folders = load_split(data / "imagenet10" / "train")
    listed = load_split(data / "imagenet10" / "manifest", "train")
    assert dict(zip(folders.ids, folders.labels.tolist(), strict=True)) == {
        image_id.removeprefix("train/"): label
        for image_id, label in zip(listed.ids, listed.labels.tolist(), strict=True)
    }
    assert listed.class_names[:2] == ("tench", "English springer")
