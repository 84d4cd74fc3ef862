"""Label Studio: tasks with predictions to review (`labelstudio.json`), and a matching project.

Paste `labelstudio_config.xml` into a new project's labelling interface, then import
`labelstudio.json`. Every task's `image` is the path as it was given, which a browser cannot open:
name the images by full paths, and replace their beginning by that of your storage. Files that
Label Studio serves itself (with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true,
LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=/srv and a local storage in the project) are reached by
`sed -i 's|"image": "/srv/|"image": "/data/local-files/?d=|g' labelstudio.json`. Boxes are in
percent of the image; the score of an image's first class sorts the tasks.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement

from tdam.strict_json import dumps
from wsol.writers.base import ErrorTable, Writer, clip_box, each_box
from wsol.writers.xml_files import write_xml, xml_text

if TYPE_CHECKING:
    from pathlib import Path

    from wsol.results import Localization


class LabelStudioWriter(Writer):
    """Writes `labelstudio.json` and `labelstudio_config.xml`, which has the labels that occur.

    Images that could not be read are in `labelstudio_errors.csv`.
    """

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        super().__init__(folder, names)
        self._errors = ErrorTable(folder / "labelstudio_errors.csv", self._files)
        self._model = f"wsol-tdam {version('wsol-tdam')}"
        self._tasks = self._open("labelstudio.json")
        self._count = 0
        self._labels: dict[int, str] = {}

    def add(self, localization: Localization) -> None:
        """Write the localizations of one image."""
        self._count += 1
        task = self._count
        result = []
        for number, (each, box, score) in enumerate(each_box(localization), start=1):
            name = self._labels.setdefault(each.label, xml_text(each.name))
            value = {**to_percent(box, localization.width, localization.height), "rotation": 0}
            result.append(
                {
                    "id": f"box-{task}-{number}",
                    "type": "rectanglelabels",
                    "from_name": "label",
                    "to_name": "image",
                    "original_width": localization.width,
                    "original_height": localization.height,
                    "image_rotation": 0,
                    "value": {**value, "rectanglelabels": [name]},
                    "score": score,
                }
            )
        prediction = {"model_version": self._model, "score": localization.score, "result": result}
        data = {"image": self._reference(localization)}
        record = {"data": data, "predictions": [prediction]}
        self._tasks.write(("[" if task == 1 else ", ") + dumps(record))

    def add_error(self, path: Path, reason: str) -> None:
        """Write that an image could not be read, and so has no task."""
        self._errors.add(path, reason)

    def close(self) -> None:
        """Write both files."""
        view = Element("View")
        SubElement(view, "Image", name="image", value="$image")
        labels = SubElement(view, "RectangleLabels", name="label", toName="image")
        for _, name in sorted(self._labels.items()):
            SubElement(labels, "Label", value=name)
        write_xml(view, self.folder / "labelstudio_config.xml")
        self._tasks.write("]" if self._count else "[]")
        super().close()


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
