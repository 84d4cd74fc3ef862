"""The photographs that a call is about: all that its sources name, but for what it wrote itself."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from eval.written_files import describe_written
from tdam.events import SILENT
from wsol.out_folders import keep_apart
from wsol.text import count_things

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tdam.events import Events


def list_photographs(
    sources: str | Path | Iterable[str | Path],
    folder: Path | None = None,
    events: Events = SILENT,
) -> list[Path]:
    """List the images of all sources, but for those that an earlier run wrote into the folder.

    Args:
        sources: as `find_images` takes them; one or several
        folder: for results, or None
        events: told what is passed over

    Returns:
        paths, at least one, in order, each once

    Raises:
        SourceError: a source that is missing, or no image at all
        OutputError: all images lie in the folder
    """
    from wsol.images import SourceError, describe_passed_over, find_images

    passed_over: list[Path] = []
    written: dict[Path, None] = {}
    several = [sources] if isinstance(sources, (str, Path)) else sources
    try:
        paths = find_images(several, passed_over.append, written.setdefault)
    finally:
        if passed_over:
            events.say(describe_passed_over(passed_over))
        if written:
            events.say(describe_written(written))
    if not paths:
        raise SourceError("no images")
    if folder is not None:
        paths, left_out = keep_apart(paths, folder)
        if left_out:
            events.say(f"passed over, since in {folder}: {count_things(left_out, 'file')}")
    return paths


def find_root(sources: Sequence[str | Path]) -> str:
    """Find the folder that the images of all sources are below.

    Args:
        sources: as `find_images` takes them

    Returns:
        of one source the folder that it names: itself, that of the file or list, or what stands
        before the first `*` of a pattern; of several the deepest one that holds those of all; `.`
        where none does

    >>> find_root(["photos/*/*.jpg"]), find_root(["photos/cats", "photos/dogs"])
    ('photos', 'photos')
    """
    from wsol.writers.coco_dataset import common_folder

    return common_folder(str(_find_home(source) / "image") for source in map(Path, sources))


def _find_home(source: Path) -> Path:
    """Name the folder that a source looks for images in."""
    if source.is_dir():
        return source
    fixed = list(takewhile(lambda part: not any(sign in part for sign in "*?["), source.parts))
    if source.exists() or len(fixed) == len(source.parts):
        return source.parent
    return Path(*fixed)
