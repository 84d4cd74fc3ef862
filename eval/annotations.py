"""The boxes of ILSVRC's localization task: one XML file an image, or one table of all images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eval.parsing import show
from eval.splits import ManifestError
from eval.tables import parse_int, read_table, to_int
from eval.xml_files import read_xml_file

if TYPE_CHECKING:
    from pathlib import Path

CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass
class Annotation:
    """What is known of one image.

    Args:
        where: the file, with a line where it has several images
        wnid: WordNet id of the image's class
        size: width and height, or None where only the image itself tells
        boxes: x0 y0 x1 y1, first and last pixel, each with its file and line
    """

    where: str
    wnid: str = ""
    size: tuple[int, int] | None = None
    boxes: list[tuple[str, list[int]]] = field(default_factory=list)

    def add(self, where: str, wnid: str, corners: list[str]) -> None:
        """Add an object.

        Raises:
            ManifestError: no class, or another one than the other objects', or no numbers
        """
        if not wnid or self.wnid not in ("", wnid):
            raise ManifestError(
                f"{where}: expected the objects of an image to have one class but got "
                f"{', '.join(filter(None, (self.wnid, wnid))) or 'none'}"
            )
        self.wnid = wnid
        try:
            box = [parse_int(corner) for corner in corners]
            if max(map(abs, box)) >= 2**31:
                raise ValueError
        except ValueError:
            raise ManifestError(
                f"{where}: expected integers x0 y0 x1 y1 but got {show(' '.join(corners))}"
            ) from None
        self.boxes.append((where, box))


def read_xml(path: Path) -> Annotation:
    """Read one image's file, whose fields may come in any order.

    Raises:
        ManifestError: no XML, or no object with a `name` and the four corners of a `bndbox`
    """
    _, size, objects = read_objects(path)
    if not objects:
        raise ManifestError(f"{path}: expected at least one object")
    annotation = Annotation(str(path))
    for line, each in objects:
        corners = [each.get(corner, "") for corner in CORNERS]
        annotation.add(f"{path}:{line}", each.get("name", ""), corners)
    annotation.size = size
    return annotation


def read_objects(
    path: Path,
) -> tuple[dict[str, str], tuple[int, int] | None, list[tuple[int, dict[str, str]]]]:
    """Read what one image's file says, in texts.

    Returns:
        the fields of the image, such as `filename`, and those of its owner, as `owner/name`; its
        width and height, None where they are not told; and of each object its line, and its fields
        with those of its `bndbox`

    Raises:
        ManifestError: no XML
    """
    image: dict[str, str] = {}
    size: dict[str, str] = {}
    objects: list[tuple[int, dict[str, str]]] = []  # line, fields

    def start(tags: list[str], _: dict[str, str], line: int) -> None:
        if tags[1:] == ["object"]:
            objects.append((line, {}))

    def end(tags: list[str], value: str) -> None:
        if tags[1:-1] == ["size"]:
            size[tags[-1]] = value
        elif tags[1:-1] in (["object"], ["object", "bndbox"]):
            objects[-1][1][tags[-1]] = value
        elif tags[1:-1] == ["owner"]:
            image[f"owner/{tags[-1]}"] = value
        elif len(tags) == 2:
            image[tags[-1]] = value

    read_xml_file(path, start, end)
    width, height = (to_int(size.get(side, "")) for side in ("width", "height"))
    return image, (width, height) if width > 0 and height > 0 else None, objects


def read_solution(path: Path) -> dict[str, Annotation]:
    """Read Kaggle's table of all images (`ImageId,PredictionString`).

    Returns:
        by image id, which is the file's name without suffix

    Raises:
        ManifestError: no such table, or a row that breaks its rules
    """
    annotations: dict[str, Annotation] = {}
    for where, row in read_table(path, ("ImageId", "PredictionString")):
        image, words = row["ImageId"], row["PredictionString"].split()
        if image in annotations:
            raise ManifestError(f"{where}: expected every image once but got {image} again")
        if not words or len(words) % 5:
            raise ManifestError(
                f"{where}: expected groups of wnid x0 y0 x1 y1 but got {len(words)} words"
            )
        annotations[image] = Annotation(where)
        for i in range(0, len(words), 5):
            annotations[image].add(where, words[i], words[i + 1 : i + 5])
    return annotations
