"""JSON, TOML and YAML of strangers, read with limits, and faults that name file and line."""

from __future__ import annotations

import json
import re
import reprlib
import tomllib
from math import isfinite
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

from eval.splits import ManifestError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_TEXT = 2**30  # bytes of tables and of JSON; the largest public data sets have half of it
MOST_SETTINGS = 2**22  # bytes of TOML and YAML, which people write
MOST_LEVELS = 32  # of tables and lists in tables and lists

_SHORT = reprlib.Repr()
_SHORT.maxstring, _SHORT.maxother, _SHORT.maxlevel = 60, 60, 3


def show(value: Any) -> str:
    """Quote a value in a message, shortened if need be, whatever it is.

    >>> show({"a": [1] * 100}), len(show("x" * 1000))
    ("{'a': [1, 1, 1, 1, 1, 1, ...]}", 60)
    """
    return _SHORT.repr(value)


def read_limited(path: Path, most: int = MOST_TEXT) -> bytes:
    """Read a file that is no larger than makes sense.

    Raises:
        ManifestError: it cannot be read, or is larger
    """
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise ManifestError(f"{path}: cannot be read ({reason})") from error
    if len(content) > most:
        raise ManifestError(f"{path}: expected at most {most >> 20} MiB of text but got more")
    return content


def refuse_folder(error: OSError) -> NoReturn:
    """Refuse a folder that cannot be read, as `unreadable` of `eval.image_names.walk_folders`."""
    raise ManifestError(f"{error.filename}: cannot be read ({error.strerror})") from error


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        ManifestError: it cannot be read, or is no JSON
    """
    return parse_json(read_limited(path), path)


def read_json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """Read a file with JSON in each line; empty ones are passed over.

    Yields:
        file and line number, and the content of the line

    Raises:
        ManifestError: it cannot be read, or a line is no JSON
    """
    for number, line in enumerate(read_limited(path).splitlines(), start=1):
        if line.strip():
            yield f"{path}:{number}", parse_json(line, path, number)


def parse_json(content: bytes, path: Path, line: int = 1) -> Any:
    """Read JSON that stands in a file.

    Args:
        content: of the file, or of a part of it
        path: of the file, for messages
        line: that the content begins in

    Raises:
        ManifestError: it is no JSON
    """
    try:
        return json.loads(
            content,
            parse_constant=_refuse,
            parse_float=_to_float,
            object_pairs_hook=_to_object,
        )
    except json.JSONDecodeError as error:
        where = f"{path}:{line - 1 + error.lineno}"
        raise ManifestError(f"{where}: expected JSON but {error.msg}") from error
    except RecursionError as error:
        raise ManifestError(f"{path}: expected JSON but it is nested too deep") from error
    except ManifestError:
        raise
    except ValueError as error:  # of the encoding, or a number of thousands of digits
        raise ManifestError(f"{path}: expected JSON in UTF-8 but {_brief(error)}") from error


def _refuse(constant: str) -> NoReturn:
    """Refuse NaN and Infinity, which JSON does not have."""
    raise ValueError(f"{constant} is no number of JSON")


def _to_float(text: str) -> float:
    value = float(text)
    return value if isfinite(value) else _refuse(text[:20])


def _to_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse keys that come twice, of which readers choose differently."""
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {show(twice)} comes twice in an object")
    return content


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ManifestError: it cannot be read, is no TOML, or is nested too deep
    """
    try:
        content = tomllib.loads(read_limited(path, MOST_SETTINGS).decode("utf-8-sig"))
    except ManifestError:
        raise
    except RecursionError as error:
        raise ManifestError(f"{path}: expected TOML but it is nested too deep") from error
    except ValueError as error:
        raise ManifestError(f"{path}: expected TOML in UTF-8 but {_brief(error)}") from error
    if _count_levels(content) > MOST_LEVELS:
        raise ManifestError(f"{path}: expected TOML but it is nested too deep")
    return content


def read_yaml(path: Path) -> Any:
    """Read a YAML file, without aliases, which can stand for more than any memory holds.

    Raises:
        ManifestError: it cannot be read, is no YAML, has aliases, or is nested too deep
    """
    try:
        text = read_limited(path, MOST_SETTINGS).decode("utf-8-sig")
        return yaml.load(text, _PlainLoader)
    except ManifestError:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = path if mark is None else f"{path}:{mark.line + 1}"
        raise ManifestError(f"{where}: expected YAML but {error.problem}") from error
    except (ValueError, RecursionError, OverflowError, yaml.YAMLError) as error:
        raise ManifestError(f"{path}: expected YAML in UTF-8 but {_brief(error)}") from error


class _PlainLoader(yaml.SafeLoader):
    """Composes no aliases, nothing that is nested too deep, and numbers as JSON has them.

    YAML of old reads `1_2` as 12, `017` as 15 and `1:30` as 90; here they are texts.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._level = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise yaml.MarkedYAMLError(
                problem="aliases are not read", problem_mark=event.start_mark
            )
        if self._level > MOST_LEVELS:
            raise yaml.MarkedYAMLError(
                problem="it is nested too deep", problem_mark=event.start_mark
            )
        self._level += 1
        node = super().compose_node(parent, index)
        self._level -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if (each := (key.tag, str(key.value))) in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {show(key.value)} comes twice", problem_mark=key.start_mark
                )
            seen.add(each)
        return super().construct_mapping(node, deep)


_NUMBERS = {
    "tag:yaml.org,2002:int": re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z"),
    "tag:yaml.org,2002:float": re.compile(
        r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\Z|[-+]?\.inf\Z|\.nan\Z",
        re.IGNORECASE,
    ),
}
_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, _NUMBERS.get(tag, pattern)) for tag, pattern in resolvers]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _count_levels(content: Any) -> int:
    levels, level = 0, [content]
    while level and levels <= MOST_LEVELS:
        levels += 1
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [value for values in inner for value in values if isinstance(value, (dict, list))]
    return levels


def _brief(error: Exception) -> str:
    """Give an error's reason without what it was about, which may be the whole file."""
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is none ({error.reason})"
    return " ".join(str(error).split())[:200]
