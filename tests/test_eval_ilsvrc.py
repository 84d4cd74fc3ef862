import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval.annotations import read_xml
from eval.ilsvrc import build_ilsvrc
from eval.manifest import ManifestError, load_split


def image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 10)).save(path)


def object_xml(wnid, x0, y0, x1, y1):
    corners = f"<ymax>{y1}</ymax><xmin>{x0}</xmin><ymin>{y0}</ymin>\n<xmax> {x1} </xmax>"
    part = "<part><name>beak</name><bndbox><xmin>7</xmin><ymax>7</ymax></bndbox></part>"
    return f"<object>\n<bndbox>{corners}</bndbox>{part}<name>{wnid}</name></object>"


def xml(*objects, size="<height>10</height><width>20</width>"):
    return f"<annotation>\n<folder>val</folder>\n{''.join(objects)}<size>{size}</size></annotation>"


VAL = {  # name: class, boxes
    "ILSVRC2012_val_00000002": ("n02", [(0, 0, 19, 9), (3, 4, 20, 8)]),
    "ILSVRC2012_val_00000001": ("n10", [(5, 5, 6, 6)]),
}


def write_ilsvrc(folder, by_class=False, as_xml=True, mapping=True):
    home = folder / "ILSVRC"
    for wnid in ("n02", "n10"):
        for number in range(4):
            image(home / "Data" / "CLS-LOC" / "train" / wnid / f"{wnid}_{number}.JPEG")
    for name, (wnid, _) in VAL.items():
        place = Path(wnid, name) if by_class else Path(name)
        image(home / "Data" / "CLS-LOC" / "val" / f"{place}.JPEG")
    if as_xml:
        boxes = home / "Annotations" / "CLS-LOC" / "val"
        boxes.mkdir(parents=True)
        for name, (wnid, found) in VAL.items():
            text = xml(*(object_xml(wnid, *box) for box in found))
            (boxes / f"{name}.xml").write_text(text)
    else:
        rows = [
            f"{name},{' '.join(f'{wnid} ' + ' '.join(map(str, box)) for box in found)} "
            for name, (wnid, found) in VAL.items()
        ]
        (folder / "LOC_val_solution.csv").write_text("\n".join(["ImageId,PredictionString", *rows]))
    if mapping:
        text = "n10 rook, castle\nn02 crow\nn05 tit, titmouse"
        (folder / "LOC_synset_mapping.txt").write_text(text)
    return folder


@pytest.mark.parametrize("by_class", [False, True])
@pytest.mark.parametrize("as_xml", [False, True])
@pytest.mark.parametrize("mapping", [False, True])
@pytest.mark.parametrize("inside", ["", "ILSVRC"])
def test_ilsvrc_in_all_its_forms(tmp_path, by_class, as_xml, mapping, inside):
    source = write_ilsvrc(tmp_path / "in", by_class, as_xml, mapping)
    built = build_ilsvrc(source / inside, tmp_path / "out")
    assert built.root == source / "ILSVRC" / "Data" / "CLS-LOC"
    train, test = (load_split(tmp_path / "out", name) for name in ("train", "test"))
    last = 2 if mapping else 1
    assert train.ids[::4] == ("train/n02/n02_0.JPEG", "train/n10/n10_0.JPEG")
    assert train.labels.tolist() == [0] * 4 + [last] * 4
    assert train.boxes is train.sizes is None
    assert [Path(i).stem for i in test.ids] == sorted(VAL)
    assert all((built.root / i).is_file() for i in train.ids + test.ids)
    assert test.labels.tolist() == [last, 0]
    assert test.sizes.tolist() == [[20, 10]] * 2
    assert [b.tolist() for b in test.boxes] == [[[5, 5, 6, 6]], [[0, 0, 19, 9], [3, 4, 19, 8]]]
    assert test.class_names == (("crow", "tit", "rook") if mapping else ("n02", "n10"))
    promised = tomllib.loads((tmp_path / "out" / "manifest.toml").read_text())
    assert promised["supervision"] == {"train": "labels", "test": "boxes"}
    assert (promised["splits"]["train"]["boxes"], promised["splits"]["test"]["boxes"]) == (0, 3)


def test_ilsvrc_in_parts(tmp_path):
    write_ilsvrc(tmp_path / "in")
    folder = tmp_path / "in" / "ILSVRC" / "Data" / "CLS-LOC"
    (folder / "train").rename(tmp_path / "train")
    assert [s.name for s in build_ilsvrc(tmp_path / "in", tmp_path / "a").splits] == ["test"]
    assert [s.name for s in build_ilsvrc(tmp_path, tmp_path / "b").splits] == ["train"]
    with pytest.raises(ManifestError, match="expected ILSVRC/Data/CLS-LOC, Data/CLS-LOC, train"):
        build_ilsvrc(tmp_path / "train", tmp_path / "c")


def test_all_of_imagenets_classes_bring_their_index(tmp_path):
    write_ilsvrc(tmp_path / "in")
    more = "".join(f"\nm{i:03} thing" for i in range(997))
    path = tmp_path / "in" / "LOC_synset_mapping.txt"
    path.write_text(path.read_text() + more)
    build_ilsvrc(tmp_path / "in", tmp_path / "out")
    rows = (tmp_path / "out" / "classes.csv").read_text().splitlines()
    assert rows[0] == "label,wnid,imagenet1k_index,name"
    assert rows[-1] == "999,n10,999,rook"


def test_sizes_come_from_the_images_where_the_xml_has_none(tmp_path):
    write_ilsvrc(tmp_path / "in")
    path = tmp_path / "in/ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml"
    path.write_text(xml(object_xml("n10", 5, 5, 6, 6), size="<width>0</width>"))
    assert build_ilsvrc(tmp_path / "in", tmp_path / "out").splits[1].sizes[0].tolist() == [20, 10]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation>\n<object>", r"\.xml:2: expected XML but no element found"),
        (xml(), r"\.xml: expected at least one object"),
        (xml("<object></object>"), r"\.xml:3: expected the objects .* but got none"),
        (xml("\n<object><name>n10</name></object>"), r"\.xml:4: expected integers x0 y0 x1 y1"),
        (xml(object_xml("n10", 1, 2, "3.x", 4)), r"\.xml:3: expected integers .* '1 2 3\.x 4'"),
        (xml(object_xml("n10", 0, 0, 9, 9), object_xml("n02", 0, 0, 9, 9)), r":5: .* n10, n02"),
        (xml(object_xml("n11", 0, 0, 9, 9)), r"\.xml: expected a class of .*mapping.* got 'n11'"),
        (xml(object_xml("n10", 9, 0, 5, 9)), r"\.xml:3: .*image of 20 x 10 but got 9 0 5 9"),
        (xml(object_xml("n10", 0, 0, 90, 9)), r"\.xml:3: .*image of 20 x 10 but got 0 0 90 9"),
    ],
)
def test_faults_of_xml_are_named_by_file_and_line(tmp_path, text, message):
    write_ilsvrc(tmp_path / "in")
    path = tmp_path / "in/ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml"
    path.write_text(text)
    with pytest.raises(ManifestError, match=message):
        build_ilsvrc(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("ImageId\nx", r":1: expected the columns ImageId and PredictionString but got 'ImageId'"),
        ("ImageId,PredictionString\nA,n10 1 2 3", r":2: expected groups .* but got 4 words"),
        ("ImageId,PredictionString\nA,", r":2: expected groups .* but got 0 words"),
        ("ImageId,PredictionString\nA,n10 1 2 3 x", r":2: expected integers .* '1 2 3 x'"),
        ("ImageId,PredictionString\nA,n10 1 2 3 4\nA,n10 1 2 3 4", r":3: .*every image once .* A"),
        ("ImageId,PredictionString\nA,n10 1 2 3 4 n2 1 2 3 4", r":2: .* one class .*n10, n2"),
        ("ImageId,PredictionString\nA,n10 1 2 3 4", r": expected boxes of .*00000001\.JPEG but th"),
    ],
)
def test_faults_of_the_table_are_named_by_file_and_line(tmp_path, table, message):
    write_ilsvrc(tmp_path / "in", as_xml=False)
    (tmp_path / "in" / "LOC_val_solution.csv").write_text(table)
    with pytest.raises(ManifestError, match=r"LOC_val_solution\.csv" + message):
        build_ilsvrc(tmp_path / "in", tmp_path / "out")


def test_faults_of_ilsvrcs_folders_are_named(tmp_path):
    source = write_ilsvrc(tmp_path / "in", by_class=True)
    data, out = source / "ILSVRC" / "Data" / "CLS-LOC", tmp_path / "out"

    def expect(message):
        with pytest.raises(ManifestError, match=message):
            build_ilsvrc(source, out)

    (data / "val" / "n02").rename(data / "val" / "n05")
    expect(r"val_00000002\.xml: expected n05, the folder of n05/.*2\.JPEG, but got n02")
    (data / "val" / "n05").rename(data / "val" / "n02")
    image(data / "val" / "n10" / "ILSVRC2012_val_00000002.JPEG")
    expect(r"n10.ILSVRC2012_val_00000002\.JPEG: expected every image once")
    (data / "val" / "n10" / "ILSVRC2012_val_00000002.JPEG").unlink()
    (data / "train" / "n99").mkdir()
    expect(r"train.n99: expected images but found none")
    image(data / "train" / "n99" / "1.JPEG")
    expect(r"train.n99: expected a class of .*LOC_synset_mapping\.txt but got 'n99'")
    (source / "LOC_synset_mapping.txt").write_text("n02 crow\nn02 crow")
    expect(r"LOC_synset_mapping\.txt:2: expected a new wnid and its names but got 'n02 crow'")
    (source / "ILSVRC" / "Annotations").rename(tmp_path / "away")
    expect(r"in: expected the validation images' boxes in Annotations/CLS-LOC/val/\*\.xml or in")


def test_ilsvrcs_val_is_taken_from_images_with_boxes(tmp_path):
    source = write_ilsvrc(tmp_path / "in")
    with pytest.raises(ManifestError, match="expected boxes for val in Annotations/CLS-LOC/train"):
        build_ilsvrc(source, tmp_path / "out", val=0.5)
    for name in ("n02_1", "n02_3", "n10_0"):
        wnid = name[:3]
        path = source / "ILSVRC/Annotations/CLS-LOC/train" / wnid / f"{name}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(xml(object_xml(wnid, 1, 1, 5, 5)))
    train, val, test = build_ilsvrc(source, tmp_path / "out", val=0.5).splits
    assert [Path(i).stem for i in val.ids] == ["n02_1", "n02_3", "n10_0"]
    assert [b.tolist() for b in val.boxes] == [[[1, 1, 5, 5]]] * 3
    assert val.labels.tolist() == [0, 0, 2]
    assert (len(train), len(test)) == (5, 2)
    assert train.boxes is None


def test_real_boxes_come_back_from_xml(data, tmp_path):
    """The boxes of 500 validation images, put into XML files and read again."""
    split = load_split(data / "imagenet10" / "manifest", "val+test")
    wnids = [path.name for path in sorted((data / "imagenet10" / "train").iterdir())]
    boxes = tmp_path / "in" / "Annotations" / "CLS-LOC" / "val"
    (tmp_path / "in" / "Data" / "CLS-LOC" / "val").mkdir(parents=True)
    boxes.mkdir(parents=True)
    for row, image_id in enumerate(split.ids):
        (tmp_path / "in" / "Data" / "CLS-LOC" / image_id).write_bytes(b"")
        width, height = split.sizes[row].tolist()
        objects = [object_xml(wnids[split.labels[row]], *box) for box in split.boxes[row].tolist()]
        size = f"<width>{width}</width><height>{height}</height>"
        (boxes / f"{Path(image_id).stem}.xml").write_text(xml(*objects, size=size))
    (found,) = build_ilsvrc(tmp_path / "in", tmp_path / "out").splits
    order = [split.ids.index(image_id) for image_id in found.ids]
    assert found.ids == tuple(sorted(split.ids))
    assert np.array_equal(found.labels, split.labels[order])
    assert np.array_equal(found.sizes, split.sizes[order])
    assert all(map(np.array_equal, found.boxes, [split.boxes[row] for row in order]))


def test_xml_is_read_without_its_images(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(xml(object_xml("n02", 1, 2, 3, 4)))
    found = read_xml(path)
    assert (found.wnid, found.size) == ("n02", (20, 10))
    assert found.boxes == [(f"{path}:3", [1, 2, 3, 4])]
    with pytest.raises(ManifestError, match=r"none\.xml: cannot be read"):
        read_xml(tmp_path / "none.xml")
