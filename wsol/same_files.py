"""Files that every process of a job reads: all of them have to see the same ones."""

from __future__ import annotations

import platform
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Any, NoReturn

from eval.manifest import ManifestError
from tdam.job import find_ranks
from wsol.fingerprints import hash_file

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

_AT_ONCE = 1024  # files that a process tells of in one message
_NAMED = 3  # processes that a message names beside the first


def check_same_files(paths: Iterable[Path]) -> None:
    """Refuse files that not every process sees as the first one does, before any is used.

    On a disk that processes share, a file has one number and one time at which its state changed,
    which nobody can set. Where these differ, the bytes are compared.

    Args:
        paths: as every process opens them; of one that is missing for all nothing is said

    Raises:
        ManifestError: it names the first file that differs, and the processes
    """
    if find_ranks().count == 1:
        return
    doubtful = []
    with closing(_compare(list(dict.fromkeys(map(str, paths))), _read_state)) as differing:
        for path, states in differing:
            sizes = [(host, None if state is None else state[0]) for host, state in states]
            if len({size for _, size in sizes}) > 1:
                _refuse(path, [(host, _tell_size(size)) for host, size in sizes])
            doubtful.append(path)
    with closing(_compare(doubtful, hash_file)) as differing:
        for path, hashes in differing:
            _refuse(path, [(host, _tell_content(digest)) for host, digest in hashes])


def _read_state(path: str) -> tuple[int, ...] | None:
    """Give size, number and times of change of a file; None where there is none."""
    try:
        stat = Path(path).stat()
    except (OSError, ValueError):  # a name with a zero byte is a ValueError
        return None
    if not S_ISREG(stat.st_mode):
        return None
    return stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns


def _compare(
    paths: Sequence[str], look: Callable[[str], Any]
) -> Generator[tuple[str, list[tuple[str, Any]]]]:
    """Yield every path of which processes tell different things, with each one's host and word."""
    told: list[tuple[str, list[Any]]] = []
    with closing(find_ranks().interleave(partial(_look_at_all, paths, look))) as items:
        for first, last, host, seen in items:
            told.append((host, seen))
            if not last:
                continue
            for row, views in enumerate(zip(*(seen for _, seen in told), strict=True)):
                if any(view != views[0] for view in views):
                    hosts = [host for host, _ in told]
                    yield paths[first + row], list(zip(hosts, views, strict=True))
            told = []


def _look_at_all(
    paths: Sequence[str], look: Callable[[str], Any], rank: int, count: int
) -> Iterator[tuple[int, bool, str, list[Any]]]:
    """Give what this process sees: number of the first file, whether it is the last process."""
    with ThreadPoolExecutor(8) as pool:  # most of the time is spent waiting for the disk
        for first in range(0, len(paths), _AT_ONCE):
            seen = list(pool.map(look, paths[first : first + _AT_ONCE]))
            yield first, rank == count - 1, platform.node(), seen


def _tell_size(size: int | None) -> str:
    return "no file" if size is None else f"{size:,} bytes"


def _tell_content(digest: str | None) -> str:
    return "a file that it cannot read" if digest is None else f"content {digest[:12]}"


def _refuse(path: str, views: Sequence[tuple[str, str]]) -> NoReturn:
    told = [f"process {rank} ({host}) sees {what}" for rank, (host, what) in enumerate(views)]
    others = [line for line, (_, what) in zip(told, views, strict=True) if what != views[0][1]]
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    raise ManifestError(
        f"Expected all processes to see the same files but of {path} {told[0]}, "
        f"{', '.join(others[:_NAMED])}{more}; put the files on a disk that all machines share, or "
        "the same ones on each"
    )
