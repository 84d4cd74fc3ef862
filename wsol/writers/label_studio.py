"""Label Studio: tasks with predictions to review (`labelstudio.json`), and a matching project.

Paste `labelstudio_config.xml` into a new project's labelling interface, then import
`labelstudio.json`. Every task's `image` is the path as it was given, which a browser cannot open,
or what `image_address` makes of it with a prefix. Boxes are in percent of the image; the score of
an image's first class sorts the tasks.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement

from tdam.strict_json import dumps
from wsol.writers.base import (
    ErrorTable,
    Writer,
    clip_box,
    describe_writer,
    each_box,
    each_region,
    list_classes,
)
from wsol.writers.xml_files import write_xml, xml_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    from wsol.results import Localization


class LabelStudioWriter(Writer):
    """Writes `labelstudio.json` and `labelstudio_config.xml`, which lists the labels.

    Images that could not be read are in `labelstudio_errors.csv`.

    Args:
        folder: that the files go to; exists
        names: of all classes
        classes: that are listed whether they occur or not
        image_prefix: as for `image_address`, like the next one; None for paths as they were given
        image_root: folder that the images lie in
    """

    options = frozenset({"classes", "image_prefix", "image_root"})
    of_steps = False
    stem: ClassVar[str] = "labelstudio"  # of the files
    control: ClassVar[str] = "RectangleLabels"  # Label Studio's, which people correct with

    def __init__(
        self,
        folder: Path,
        names: tuple[str, ...],
        classes: Sequence[int] = (),
        image_prefix: str | None = None,
        image_root: str = ".",
    ) -> None:
        super().__init__(folder, names)
        self._prefix, self._root = image_prefix, image_root
        self._errors = ErrorTable(folder / f"{self.stem}_errors.csv", self._files)
        self._model = describe_writer()
        self._tasks = self._open(f"{self.stem}.json")
        self._count = 0
        self._classes = classes
        self._labels: dict[int, str] = {}

    def add(self, localization: Localization) -> None:
        """Write the localizations of one image."""
        self._count += 1
        task, kind = self._count, self.control.lower()
        result = []
        for number, (each, shape, score) in enumerate(self._shapes(localization), start=1):
            name = self._labels.setdefault(each.label, xml_text(each.name))
            result.append(
                {
                    "id": f"box-{task}-{number}",
                    "type": kind,
                    "from_name": "label",
                    "to_name": "image",
                    "original_width": localization.width,
                    "original_height": localization.height,
                    "image_rotation": 0,
                    "value": {**shape, kind: [name]},
                    "score": score,
                }
            )
        prediction = {"model_version": self._model, "score": localization.score, "result": result}
        image = self._reference(localization)
        if self._prefix:
            image = image_address(self._prefix, self._root, image)
        record = {"data": {"image": image}, "predictions": [prediction]}
        self._tasks.write(("[" if task == 1 else ", ") + dumps(record))

    def _shapes(
        self, localization: Localization
    ) -> Iterator[tuple[Localization, dict[str, Any], float]]:
        """Describe every box: its class, what Label Studio's value has of it, and its score."""
        for each, box, score in each_box(localization):
            value = to_percent(box, localization.width, localization.height)
            yield each, {**value, "rotation": 0}, score

    def add_error(self, path: Path, reason: str) -> None:
        """Write that an image could not be read, and so has no task."""
        self._errors.add(path, reason)

    def close(self) -> None:
        """Write both files."""
        view = Element("View")
        SubElement(view, "Image", name="image", value="$image")
        labels = SubElement(view, self.control, name="label", toName="image")
        listed = list_classes(self.names, self._labels, self._classes)
        for name in dict.fromkeys(self._labels.get(i, xml_text(self.names[i])) for i in listed):
            SubElement(labels, "Label", value=name)
        write_xml(view, self.folder / f"{self.stem}_config.xml")
        self._tasks.write("]" if self._count else "[]")
        super().close()


class LabelStudioPolygonsWriter(LabelStudioWriter):
    """Writes `labelstudio_polygons.json` and its configuration: polygons instead of rectangles.

    Images that could not be read are in `labelstudio_polygons_errors.csv`.
    """

    of_maps = True
    stem = "labelstudio_polygons"
    control = "PolygonLabels"

    def _shapes(
        self, localization: Localization
    ) -> Iterator[tuple[Localization, dict[str, Any], float]]:
        size = localization.width, localization.height
        for each, _, score, region in each_region(localization):
            points: np.ndarray = (100 * region.polygon() / size).clip(0, 100)
            yield each, {"points": points.tolist(), "closed": True}, score


def image_address(prefix: str, root: str, path: str) -> str:
    """Tell how Label Studio opens an image.

    Args:
        prefix: of the address, with a `/` behind it unless it ends in one or in `=`. Where it is
            what a browser asks a server for, `http://`, `https://` or a path such as `/data/`,
            signs that mean something in an address are escaped; of a storage, such as `s3://`, not
        root: folder that the images lie in
        path: of the image; one that does not lie there is taken whole

    >>> image_address("/data/local-files/?d=birds/", "photos", "photos/a b/1.jpg")
    '/data/local-files/?d=birds/a%20b/1.jpg'
    >>> image_address("s3://bucket/", "photos", "photos/a b/1.jpg")
    's3://bucket/a b/1.jpg'
    """
    inside = Path(path).is_relative_to(root)
    below = (Path(path).relative_to(root) if inside else Path(path)).as_posix().lstrip("/")
    if prefix.startswith(("http://", "https://", "/")):
        below = quote(below, errors="surrogateescape")
    return prefix + ("" if prefix.endswith(("/", "=")) else "/") + below


def to_percent(box: list[float], width: int, height: int) -> dict[str, float]:
    """Describe a box as Label Studio does.

    Args:
        box: x0 y0 x1 y1, outer edges in pixels
        width: of the image, in pixels
        height: of the image, in pixels

    Returns:
        x, y (upper left corner), width and height, in percent of the image, in [0, 100]

    >>> to_percent([10.0, 20.0, 30.0, 40.0], 40, 80)
    {'x': 25.0, 'y': 25.0, 'width': 50.0, 'height': 25.0}
    """
    x0, y0, x1, y1 = clip_box(box, width, height)
    return {
        "x": 100 * x0 / width,
        "y": 100 * y0 / height,
        "width": 100 * (x1 - x0) / width,
        "height": 100 * (y1 - y0) / height,
    }
