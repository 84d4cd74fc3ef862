"""Which files of a folder are images: one rule for every command that searches folders.

Regular files, and links, with the suffix of a picture: a link to a file that is not there is an
image that cannot be read, and not one less. Hidden files and folders are passed
over, and those that systems and programs put beside pictures, and what wsol wrote into a folder
below the one that is named, by `eval.written_files`. Links to folders are followed, and each folder
is searched once, so that links may go in circles.
"""

from __future__ import annotations

import os
import re
from errno import ENOENT
from fnmatch import translate
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eval.written_files import WrittenFiles

# the commoner first
SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".jfif", ".jpe", ".ppm",
    ".pgm", ".pbm", ".pnm", ".dib",
)  # fmt: skip
# of pictures too, but not read
OTHER_SUFFIXES = (
    ".heic", ".heics", ".heif", ".hif", ".avif", ".avifs", ".jxl", ".jp2", ".j2k", ".j2c", ".jpf",
    ".jpx", ".jpm", ".jxr", ".wdp", ".hdp", ".apng", ".svg", ".svgz", ".psd", ".psb", ".xcf",
    ".kra", ".ai", ".eps", ".ico", ".icns", ".cur", ".tga", ".pcx", ".exr", ".hdr", ".pfm", ".pam",
    ".sgi", ".dds", ".qoi", ".fits", ".dcm", ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw",
    ".srf", ".sr2", ".raf", ".orf", ".rw2", ".raw", ".rwl", ".pef", ".srw", ".3fr", ".fff", ".iiq",
    ".x3f", ".erf", ".kdc", ".dcr", ".mrw", ".mef", ".mos", ".gpr",
)  # fmt: skip
_JUNK = {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information",
         "lost+found"}  # fmt: skip


def is_passed_over(name: str) -> bool:
    """Tell whether a search passes over a file or folder of this name: hidden, or not for people.

    >>> [is_passed_over(name) for name in ("._dog.jpg", "__MACOSX", "dog.jpg")]
    [True, True, False]
    """
    return name.startswith(".") or name.lower() in _JUNK


def is_image_name(name: str) -> bool:
    """Tell whether a file of this name is taken for an image.

    >>> [is_image_name(name) for name in ("dog.JPG", "dog.heic", "._dog.jpg")]
    [True, False, False]
    """
    return not is_passed_over(name) and PurePath(name).suffix.lower() in SUFFIXES


def is_other_picture(name: str) -> bool:
    """Tell whether a file of this name is a picture of a kind that is not read."""
    return not is_passed_over(name) and PurePath(name).suffix.lower() in OTHER_SUFFIXES


def walk_folders(
    folder: Path, unreadable: Callable[[OSError], object], written: WrittenFiles
) -> Iterator[tuple[Path, list[str]]]:
    """Walk a folder and those below it, links last, each once however many ways lead there.

    Args:
        folder: itself is walked whatever its name
        unreadable: told of every folder that cannot be read, and of links to nothing that may be
            folders, since their names have no suffix; may raise
        written: learns the lists of the folders below; what it holds is passed over

    Yields:
        a folder, and the names of the files in it that are not passed over, in no order; links to
        nothing are among them
    """
    seen: set[tuple[int, int]] = set()
    waiting, links = [folder], list[Path]()
    while waiting or links:
        if not waiting:
            links.sort(reverse=True)
            waiting.append(links.pop())
        current = waiting.pop()
        try:
            state = current.stat()
            if (state.st_dev, state.st_ino) in seen:
                continue
            seen.add((state.st_dev, state.st_ino))
            if current != folder:
                written.enter(current)
            files = []
            with os.scandir(current) as entries:
                for entry in entries:
                    if is_passed_over(entry.name):
                        continue
                    if _is(entry, os.DirEntry.is_dir):
                        (links if entry.is_symlink() else waiting).append(current / entry.name)
                    elif _is(entry, os.DirEntry.is_file):  # no pipe, which would keep us waiting
                        files.append(entry.name)
                    elif is_broken_link(current / entry.name):
                        files.append(entry.name)
                        if not PurePath(entry.name).suffix:
                            unreadable(tell_broken_link(current / entry.name))
        except OSError as error:
            unreadable(error)
            continue
        yield current, [name for name in files if not written.holds(current / name)]


def is_broken_link(path: Path) -> bool:
    """Tell whether a path is a link that leads to nothing, or back to itself."""
    try:
        return path.is_symlink() and not path.exists()
    except OSError:  # a link to itself, for some versions of Python
        return True


def tell_broken_link(path: Path) -> OSError:
    """Make the error that says that a link leads to nothing."""
    return OSError(ENOENT, "a link to nothing", str(path))


def expand_pattern(
    pattern: str, unreadable: Callable[[OSError], object], written: WrittenFiles
) -> Iterator[Path]:
    """List the files that a pattern matches: `*`, `?`, `[a-z]` in names, `**` for any folders.

    What `*` and `**` match is never passed over; a name, or a pattern that begins with a dot, can
    match it. Letters match in the case that they have.

    Args:
        pattern: absolute, or relative to the working folder
        unreadable: told of every folder that cannot be read; may raise
        written: learns the lists of the folders that `*` and `**` match

    Yields:
        regular files and links to nothing, in no order, perhaps twice
    """
    path = Path(pattern)
    start = Path(path.anchor) if path.anchor else Path()
    parts = path.parts[1:] if path.anchor else path.parts
    for match in _expand(start, parts, unreadable, written):
        if not written.holds(match):
            yield match


def _expand(
    folder: Path,
    parts: tuple[str, ...],
    unreadable: Callable[[OSError], object],
    written: WrittenFiles,
) -> Iterator[Path]:
    part, rest = parts[0], parts[1:]
    if part == "**":
        while rest[:1] == ("**",):
            rest = rest[1:]
        for below, files in walk_folders(folder, unreadable, written):
            if not rest:
                yield from (below / name for name in files)
            elif len(rest) == 1 and _is_pattern(rest[0]) and not rest[0].startswith("."):
                matches = re.compile(translate(rest[0])).match
                yield from (below / name for name in files if matches(name))
            else:
                yield from _expand(below, rest, unreadable, written)
        return
    if not _is_pattern(part):
        names = [part]
    else:
        matches = re.compile(translate(part)).match
        try:
            with os.scandir(folder) as entries:
                names = [entry.name for entry in entries if matches(entry.name)]
        except NotADirectoryError:
            return
        except OSError as error:
            unreadable(error)
            return
        if not part.startswith("."):
            names = [name for name in names if not is_passed_over(name)]
    for name in names:
        path = folder / name
        try:
            if rest and path.is_dir():
                if _is_pattern(part):
                    written.enter(path)
                yield from _expand(path, rest, unreadable, written)
            elif not rest and (path.is_file() or is_broken_link(path)):
                yield path
        except OSError as error:  # such as a link to itself
            unreadable(error)


def _is_pattern(part: str) -> bool:
    return any(letter in part for letter in "*?[")


def _is(entry: os.DirEntry[str], kind: Callable[[os.DirEntry[str]], bool]) -> bool:
    try:
        return kind(entry)
    except OSError:  # a link to itself
        return False
