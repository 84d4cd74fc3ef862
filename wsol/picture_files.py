"""Pictures of a prediction, drawn and written beside it, so that the network need not wait."""

from __future__ import annotations

import sys
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from wsol.images import ImageError
from wsol.out_files import make_folder
from wsol.writers.names import unique_stem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from wsol.results import Localization

_WAITING = 32  # pictures that are not drawn yet
# Seconds that a thread may keep the interpreter from others: by default the network, which asks
# for it between any two layers, would wait ten times as long for each.
_TURN = 0.0005


def draw_beside(
    results: Iterable[tuple[Path, Localization | ImageError]], folder: Path, taken: set[str]
) -> Iterator[tuple[Path, Localization | ImageError, str | None]]:
    """Draw what is found, in a thread, and give each result once its picture is on the disk.

    Args:
        results: as they come
        folder: for the pictures, made with the first one
        taken: stems of pictures that are there already, which grows

    Yields:
        path, result, and why there is no picture of an image that has vanished by now

    Raises:
        OSError: the disk is full or gone
    """
    waiting: deque[tuple[Path, Localization | ImageError, Future[str | None] | None]] = deque()
    pool = ThreadPoolExecutor(max_workers=1)
    usual = sys.getswitchinterval()
    sys.setswitchinterval(_TURN)
    try:
        for path, result in results:
            job = None
            if not isinstance(result, ImageError):
                job = pool.submit(_draw, path, result, folder, unique_stem(path, taken))
            waiting.append((path, result, job))
            while waiting and (len(waiting) > _WAITING or _is_done(waiting[0][2])):
                yield _take(waiting)
        while waiting:
            yield _take(waiting)
    finally:
        sys.setswitchinterval(usual)
        pool.shutdown(cancel_futures=True)


def _is_done(job: Future[str | None] | None) -> bool:
    return job is None or job.done()


def _take(
    waiting: deque[tuple[Path, Localization | ImageError, Future[str | None] | None]],
) -> tuple[Path, Localization | ImageError, str | None]:
    path, result, job = waiting.popleft()
    return path, result, None if job is None else job.result()


def _draw(path: Path, localization: Localization, folder: Path, stem: str) -> str | None:
    """Draw one image; gives the reason where it has vanished by now."""
    from wsol.figures import draw_picture, save_picture
    from wsol.images import read_image

    try:
        image = read_image(path)
    except ImageError as error:
        return str(error)
    make_folder(folder)
    save_picture(draw_picture(image, localization), folder / f"{stem}.png")
    return None
