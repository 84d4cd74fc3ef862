"""Reading the lists of a COCO file such that every fault names list, index and id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eval.parsing import read_json, show
from eval.splits import ManifestError, is_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


_OTHER_BOXES = {
    ".xml": "XML, such as CVAT's, which calibrate and evaluate take as --boxes",
    ".csv": "a table, which evaluate takes as --boxes",
    ".jsonl": "JSON Lines, which evaluate takes as --boxes",
}


def read_coco(path: Path, content: Any = None) -> dict[str, Any]:
    """Read a data set file, without a look at what it holds.

    Args:
        path: of the file
        content: of it, where it was read before

    Raises:
        ManifestError: no JSON object
    """
    if path.suffix.lower() in _OTHER_BOXES:
        raise ManifestError(
            f"{path}: expected a COCO data set (.json) or a folder of data but got "
            f"{_OTHER_BOXES[path.suffix.lower()]}"
        )
    content = read_json(path) if content is None else content
    if isinstance(content, list):
        raise ManifestError(
            f"{path}: expected a COCO data set (images, annotations, categories) but got a list, "
            "as COCO results are"
        )
    if not isinstance(content, dict):
        raise ManifestError(f"{path}: expected a COCO data set but got {show(content)}")
    return content


class Records:
    """One of a COCO file's lists; every fault names the record by index and id."""

    def __init__(self, path: Path, content: dict[str, Any], name: str) -> None:
        self._path, self._name = path, name
        records = content.get(name)
        if not isinstance(records, list):
            raise ManifestError(f"{path}: expected a list of {name} but got {show(records)}")
        for i, record in enumerate(records):
            if not isinstance(record, dict):
                raise ManifestError(
                    f"{path}: {name}[{i}]: expected an object but got {show(record)}"
                )
        self._records: list[dict[str, Any]] = records

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return self._records[i]

    def fault(self, i: int, message: str) -> ManifestError:
        """Make the error that names the record."""
        return ManifestError(f"{self._path}: {self._name}[{i}] (id {self[i].get('id')}): {message}")

    def whole(self, i: int, field: str, least: int) -> int:
        """Read a whole number."""
        value = _tidy(self[i].get(field))
        if type(value) is not int or not least <= value < 2**31:
            raise self.fault(
                i, f"expected {field} to be a whole number from {least} but got {show(value)}"
            )
        return value

    def key(self, i: int, field: str) -> int | str:
        """Read what can be an id."""
        value = _tidy(self[i].get(field))
        if type(value) is int or type(value) is str:
            return value
        raise self.fault(i, f"expected {field} to be a number or a text but got {show(value)}")

    def known(self, i: int, field: str, choices: dict[Any, int]) -> Any:
        """Read the id of a record elsewhere in the file."""
        value = self.key(i, field)
        if value not in choices:
            raise self.fault(i, f"expected {field} to be the id of a record but got {show(value)}")
        return value

    def texts(self, field: str) -> list[str]:
        """Read a text of every record."""
        values = []
        for i, record in enumerate(self._records):
            value = record.get(field)
            if not isinstance(value, str) or not value or not is_text(value):
                raise self.fault(i, f"expected {field} to be a text but got {show(value)}")
            values.append(value)
        return values

    def once(
        self, field: str, values: Sequence[int | str], rows: Sequence[int] | None = None
    ) -> None:
        """Check that no two records, all or those of the rows, have the same value."""
        first: dict[int | str, int] = {}
        for i, value in zip(rows or range(len(values)), values, strict=True):
            if first.setdefault(value, i) != i:
                raise self.fault(
                    i,
                    f"expected every {field} once but {self._name}[{first[value]}] has {value!r} "
                    "too",
                )


def _tidy(value: Any) -> Any:
    """Turn 3.0, as some writers have it, into 3."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
