"""Images that lie anywhere: local files, and addresses as fsspec has them, such as `s3://`."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from eval.image_names import SUFFIXES, is_image_name, is_other_picture, is_passed_over
from eval.written_files import LIST, describe_written, parse_list
from tdam.events import SILENT
from wsol.fingerprints import file_state
from wsol.images import SourceError, read_list_file
from wsol.loading import read_ahead
from wsol.sources import list_photographs
from wsol.text import count_things

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tdam.events import Events

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_VERSIONS = ("ETag", "etag", "md5Hash", "generation", "mtime", "LastModified", "last_modified")


def is_address(source: str) -> bool:
    """Tell whether a source, or an image, is an address and no local path.

    >>> is_address("s3://bucket/dog.jpg"), is_address("photos/dog.jpg")
    (True, False)
    """
    return _ADDRESS.match(source) is not None


def list_images(
    sources: str | Path | Iterable[str | Path],
    folder: Path | None = None,
    events: Events = SILENT,
) -> dict[str, str]:
    """List the images of all sources, local ones as `wsol.sources.list_photographs` does.

    Addresses are sources too: one image, a folder, which is searched to any depth, or a pattern.
    Their names follow the rule of local ones, and what a list says that wsol wrote is passed over.
    `file://` is the local path. A list file may hold addresses, which are not looked up: one that
    is not there is an unreadable image.

    Args:
        sources: one or several
        folder: for results, or None
        events: told what is passed over

    Returns:
        the state of every image by its name, in order, each once: size and time of a file, size
        and version of an address as its listing has it; nothing for one that a list named

    Raises:
        SourceError: a source that is missing, or that cannot be listed, or no image at all
        OutputError: all local images lie in the folder
    """
    several = [sources] if isinstance(sources, (str, Path)) else sources
    parts = [part for source in map(str, several) for part in _split(source)]
    images: dict[str, str] = {}
    for kind, group in groupby(parts, key=lambda part: part[0]):
        named = [name for _, name in group]
        if kind == "source":
            for path in list_photographs(named, folder, events):
                images.setdefault(str(path), str(file_state(path)))
        for name in named:
            if kind == "listed":
                state = "" if is_address(name) else str(file_state(Path(name)))
                images.setdefault(name, state)
            elif kind == "address":
                for each, state in _list_address(name, events).items():
                    images.setdefault(each, state)
    if not images:
        raise SourceError("no images")
    return images


def _split(source: str) -> list[tuple[str, str]]:
    """Tell what a source is: an address, a local one, or the lines of a list with addresses."""
    if source.lower().startswith("file://"):
        source = url2pathname(urlsplit(source).path)
    if is_address(source):
        return [("address", source)]
    path = Path(source)
    if source == "-":
        folder, lines = Path(), [line.strip() for line in sys.stdin]
    elif path.suffix.lower() == ".txt" and path.is_file():
        folder, lines = path.parent, read_list_file(path)
        if not any(map(is_address, lines)):
            return [("source", source)]
    else:
        return [("source", source)]
    named = [each if is_address(each) else str(folder / each) for each in lines if each]
    if not named:
        raise SourceError(f"{source}: no images here ({' '.join(sorted(SUFFIXES))})")
    return [("listed", each) for each in named]


def _list_address(source: str, events: Events) -> dict[str, str]:
    """List the images of an address, sorted."""
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(source)
        if any(letter in path for letter in "*?["):
            base = re.split(r"[*?\[]", path)[0].rpartition("/")[0]
            files = system.glob(path, detail=True)
        elif system.isfile(path):
            return {source: _describe(system.info(path))}
        else:
            base, files = path, system.find(path, detail=True)
        written = _list_written(system, files, base, listed=base == path)
    except FileNotFoundError as error:
        raise SourceError(f"{source}: no such file or folder") from error
    except ImportError as error:
        raise SourceError(f"{source}: {error}") from error
    except Exception as error:  # each service has errors of its own
        raise SourceError(f"{source}: cannot be read ({error})") from error
    images, others = {}, 0
    for name, details in sorted(files.items()):
        below = [part for part in name.removeprefix(base).split("/") if part]
        if details.get("type") != "file" or any(map(is_passed_over, below)) or name in written:
            continue
        others += is_other_picture(below[-1])
        if is_image_name(below[-1]):
            images[system.unstrip_protocol(name)] = _describe(details)
    if others:
        events.say(f"passed over, since their kind is not read: {count_things(others, 'file')}")
    if written:
        events.say(describe_written([Path(source)]))
    if not images:
        raise SourceError(f"{source}: no images here ({' '.join(sorted(SUFFIXES))})")
    return images


def _list_written(system: Any, files: Iterable[str], base: str, listed: bool) -> set[str]:
    """Name the files that wsol wrote into folders below the one that is named.

    Args:
        system: of fsspec
        files: below the folder
        base: the folder
        listed: whether they are all there are, with the lists
    """
    base = base.rstrip("/")
    below = (PurePosixPath(name[len(base) + 1 :]) for name in files)
    homes = {f"{base}/{above}" for path in below for above in path.parents if above.name}
    known = set(files)
    return {
        f"{home}/{each}"
        for home in homes
        if (f"{home}/{LIST}" in known if listed else system.exists(f"{home}/{LIST}"))
        for each in parse_list(system.cat_file(f"{home}/{LIST}").splitlines())
    }


def _describe(details: dict[str, Any]) -> str:
    """Tell size and version of a file in a few words."""
    return " ".join(str(details[key]) for key in ("size", *_VERSIONS) if details.get(key))


def fetch_images(
    places: Sequence[str], folder: Path, batch_size: int, threads: int
) -> Iterator[Path]:
    """Give a local file for every image; those of addresses are copied a few batches ahead.

    Args:
        places: absolute paths and addresses
        folder: for copies, which are the caller's to remove
        batch_size: images a batch
        threads: that copy

    Yields:
        a path, in order; of an image that is not there, one that is not there either

    Raises:
        OSError: an address that cannot be reached, or a disk without room
    """
    if not any(map(is_address, places)):
        yield from map(Path, places)
        return
    import fsspec

    def fetch(task: tuple[int, str]) -> Path:
        number, place = task
        if not is_address(place):
            return Path(place)
        copy = folder / str(number)
        system, path = fsspec.core.url_to_fs(place)
        try:
            system.get_file(path, str(copy))
        except FileNotFoundError:
            with suppress(OSError):
                copy.unlink(missing_ok=True)
        return copy

    for batch in read_ahead(enumerate(places), fetch, batch_size, threads):
        for _, path in batch:
            if isinstance(path, Path):
                yield path
