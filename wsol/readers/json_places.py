"""Values in JSON of other programs, each of which may be missing or of another kind."""

from __future__ import annotations

from typing import Any

from eval.parsing import show
from eval.splits import ManifestError, is_text
from wsol.readers.json_values import is_number

_MOST = 2**53  # pixels or percent


class Place:
    """A value in a file, and where it stands.

    Args:
        where: file, and the keys that lead to the value
        value: of any kind
    """

    def __init__(self, where: str, value: Any) -> None:
        self.where, self.value = where, value

    def fault(self, expected: str) -> ManifestError:
        """Make the error that names the place."""
        return ManifestError(f"{self.where}: expected {expected} but got {show(self.value)}")

    def get(self, *keys: str) -> Place:
        """Go to the value of a key, of the first one that an object has, or to None."""
        if not isinstance(self.value, dict):
            raise self.fault("an object")
        key = next((each for each in keys if self.value.get(each) is not None), keys[0])
        return Place(f"{self.where}.{key}", self.value.get(key))

    def items(self) -> list[Place]:
        """Go to the values of a list; of None, to none."""
        if self.value is None:
            return []
        if not isinstance(self.value, list):
            raise self.fault("a list")
        return [Place(f"{self.where}[{i}]", each) for i, each in enumerate(self.value)]

    def text(self) -> str:
        """Read a text that is not empty."""
        if not isinstance(self.value, str) or not self.value or not is_text(self.value):
            raise self.fault("a text")
        return self.value

    def number(self) -> float:
        """Read a number of a size that pixels can have."""
        if not is_number(self.value) or abs(self.value) >= _MOST:
            raise self.fault("a number")
        return float(self.value)

    def whole(self, least: int = 0) -> int:
        """Read a whole number."""
        value = self.number()
        if not value.is_integer() or not least <= value < 2**31:
            raise self.fault(f"a whole number from {least}")
        return int(value)

    def numbers(self, count: int | None = None) -> list[float]:
        """Read a list of numbers, of so many where a count is given."""
        numbers = [each.number() for each in self.items()]
        if count is not None and len(numbers) != count:
            raise self.fault(f"{count} numbers")
        return numbers
