"""Label Studio's own JSON: a list of tasks, of which the annotations count, not predictions.

Boxes are in percent of the upright photograph, as it is shown. Rectangles, turned or not, polygons
and ellipses count by the box around them. Of several annotations of a task that were not cancelled
the one counts that was changed last. The short form (JSON-MIN) is read too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eval.splits import ManifestError
from wsol.readers.found_boxes import FoundBox, FoundBoxes, FoundClass
from wsol.readers.json_places import Place
from wsol.readers.outer_boxes import around_ellipse, around_points, around_turned

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from wsol.readers.found_boxes import Edges

_KINDS = ("rectanglelabels", "polygonlabels", "ellipselabels", "labels")
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")


def is_label_studio(content: Any) -> bool:
    """Tell whether the content of a JSON file is Label Studio's."""
    if not isinstance(content, list) or not content or not isinstance(content[0], dict):
        return False
    first = content[0]
    tasks = isinstance(first.get("data"), dict)
    return tasks or ("image_id" not in first and "category_id" not in first and "id" in first)


def read_label_studio_boxes(path: Path, content: Any) -> Iterator[FoundBoxes]:
    """Read the tasks of a file that Label Studio exported.

    Args:
        path: of the file, for messages
        content: of the file

    Raises:
        ManifestError: another file, a value of another kind, or no task with annotations
    """
    tasks = Place(f"{path}: tasks", content).items()
    annotated = 0
    for task in tasks:
        short = task.get("data").value is None
        data = task if short else task.get("data")
        regions = _short_regions(task) if short else _regions(task)
        if regions is None:
            continue
        annotated += 1
        boxes = [box for each in regions for box in _read_region(each)]
        yield FoundBoxes(task.where, _name_image(data), boxes, (1, 1))
    if not annotated:
        raise ManifestError(
            f"{path}: expected tasks with annotations but {len(tasks)} have none; predictions "
            "count once somebody has submitted them"
        )


def _regions(task: Place) -> list[Place] | None:
    """Find the regions of a task's last annotation; None where nobody has annotated it."""
    done = [
        (str(each.get("updated_at", "created_at").value or ""), number, each)
        for number, each in enumerate(task.get("annotations", "completions").items())
        if not each.get("was_cancelled", "skipped").value
    ]
    return max(done, key=lambda each: each[:2])[2].get("result").items() if done else None


def _short_regions(task: Place) -> list[Place]:
    """Find the regions in the short form, where each stands as its value alone."""
    if not isinstance(task.value, dict):
        raise task.fault("a task")
    lists = [task.get(key).items() for key, value in task.value.items() if isinstance(value, list)]
    return [
        Place(each.where, {"value": each.value}) for part in lists for each in part
        if isinstance(each.value, dict)
    ]  # fmt: skip


def _name_image(data: Place) -> tuple[str, ...]:
    """Find the address of a task's image: under `image`, or the only text that looks like one."""
    if not isinstance(data.value, dict):
        raise data.fault("an object")
    texts = {key: value for key, value in data.value.items() if isinstance(value, str) and value}
    named = [text for text in texts.values() if text.lower().split("?")[0].endswith(_SUFFIXES)]
    named += [text for text in texts.values() if text.lower().endswith(_SUFFIXES)]
    if "image" in texts:
        return (texts["image"],)
    if len(set(named)) != 1:
        raise data.fault("a text `image` that names it")
    return (named[0],)


def _read_region(region: Place) -> Iterator[FoundBox]:
    """Read a region that has a box, and the class that it has, if it has one."""
    value = region.get("value")
    if value.value is None:  # of a relation between two regions
        return
    kinds = [label for kind in _KINDS for label in value.get(kind).items()]
    if not kinds:
        return
    rotation = region.get("image_rotation")
    if rotation.value not in (None, 0):
        raise rotation.fault("0, since boxes on a photograph turned by hand are not read,")
    edges = _read_edges(region, value)
    around = value.get("radiusX").value is not None or value.get("rotation").value not in (None, 0)
    for label in kinds:
        yield FoundBox(edges, kind=FoundClass(name=label.text()), around=around)


def _read_edges(region: Place, value: Place) -> Edges:
    """Read the box around a region, in shares of the image."""
    if value.get("points").value is not None:
        points = [each.numbers(2) for each in value.get("points").items()]
        if not points:
            raise value.get("points").fault("points")
        return around_points([(x / 100, y / 100) for x, y in points])
    x, y = value.get("x").number(), value.get("y").number()
    turned = 0.0 if value.get("rotation").value is None else value.get("rotation").number()
    # An angle is one of pixels; without it, the sides of these do not matter.
    width, height = _read_size(region, value) if turned else (1, 1)
    if value.get("radiusX").value is not None:
        radii = value.get("radiusX").number() * width, value.get("radiusY").number() * height
        edges = around_ellipse((x * width, y * height), radii, turned)
    else:
        corner = x * width, y * height
        sides = value.get("width").number() * width, value.get("height").number() * height
        edges = around_turned((*corner, corner[0] + sides[0], corner[1] + sides[1]), turned, corner)
    x0, y0, x1, y1 = edges
    return x0 / width / 100, y0 / height / 100, x1 / width / 100, y1 / height / 100


def _read_size(region: Place, value: Place) -> tuple[int, int]:
    """Read the size of the upright image, which stands beside the value, or in it."""
    holder = value if region.get("original_width").value is None else region
    return holder.get("original_width").whole(1), holder.get("original_height").whole(1)
