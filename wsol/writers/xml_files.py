"""XML that every parser reads, whatever characters a class or a file has in its name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from wsol.out_files import write_file

if TYPE_CHECKING:
    from pathlib import Path

# what XML 1.0 has no way to write, and the carriage return, which parsers turn into a line feed
_FORBIDDEN = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def xml_text(text: str) -> str:
    r"""Replace characters that XML cannot hold by the replacement character, U+FFFD.

    >>> xml_text("a\x00b <c>")
    'a\ufffdb <c>'
    """
    return _FORBIDDEN.sub("\ufffd", text)


def add_text(parent: ElementTree.Element, tag: str, value: object = "") -> ElementTree.Element:
    """Append an element that holds a text.

    Args:
        parent: that it is appended to
        tag: of the element
        value: becomes the text, by `str` and `xml_text`

    Returns:
        the new element
    """
    element = ElementTree.SubElement(parent, tag)
    element.text = xml_text(str(value)) or None
    return element


def write_xml(root: ElementTree.Element, path: Path, sync: bool = True) -> None:
    """Write an element tree, indented, in UTF-8.

    There is no declaration: UTF-8 needs none, and readers that hand the file's text to lxml,
    as Label Studio does, fail where it names an encoding.

    Args:
        root: is indented in place
        path: of the file, which appears whole
        sync: whether to wait for the disk
    """
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    write_file(path, text + "\n", sync=sync)
