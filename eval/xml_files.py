"""XML of strangers, read piece by piece: no entities of its own, nothing from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.parsers import expat

from eval.parsing import MOST_SETTINGS, read_limited
from eval.splits import ManifestError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_MOST_LEVELS = 64  # of elements in elements


class _EntityError(ValueError):
    """A document declares entities, which may stand for anything, of any length."""


def read_xml_file(
    path: Path,
    start: Callable[[list[str], dict[str, str], int], object],
    end: Callable[[list[str], str], object],
    most: int = MOST_SETTINGS,
) -> None:
    """Go through the elements of a file.

    Args:
        path: of the file
        start: is told of every element as it begins: the names of those that are open, it the last
            of them, its attributes, and its line
        end: is told of every element as it ends: as above, and the text since the last tag
        most: bytes that the file may have

    Raises:
        ManifestError: it cannot be read, or is no XML; or what `start` and `end` raise
    """
    content = read_limited(path, most)
    open_tags: list[str] = []
    text: list[str] = []
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def begin(tag: str, attributes: dict[str, str]) -> None:
        open_tags.append(tag)
        if len(open_tags) > _MOST_LEVELS:
            line = parser.CurrentLineNumber
            raise ManifestError(f"{path}:{line}: expected XML but it is nested too deep")
        text.clear()
        start(open_tags, attributes, parser.CurrentLineNumber)

    def finish(_: str) -> None:
        end(open_tags, "".join(text).strip())
        open_tags.pop()
        text.clear()

    def refuse(*_: object) -> None:
        raise _EntityError

    parser.StartElementHandler, parser.EndElementHandler = begin, finish
    parser.CharacterDataHandler = text.append
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except ManifestError:
        raise
    except _EntityError:
        line = parser.CurrentLineNumber
        raise ManifestError(f"{path}:{line}: expected XML without entities of its own") from None
    except (ValueError, LookupError) as error:  # of an encoding that is none
        raise ManifestError(f"{path}: expected XML but {error}") from error
    except expat.ExpatError as error:
        message = expat.ErrorString(error.code)
        raise ManifestError(f"{path}:{error.lineno}: expected XML but {message}") from error
