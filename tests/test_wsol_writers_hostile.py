import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest
import yaml
from small_results import (
    HOSTILE,
    found,
    read_coco,
    read_coco_dataset,
    read_label_studio,
    write,
)


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
    assert root.findtext("path") == '<a&b>/"x" \ufffd é\ufffd.jpg'
    assert root.findtext("filename") == path.stem + ".jpg" == '"x" \ufffd é\ufffd.jpg'
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
