"""A page of drafts: all images, and one slider for the threshold that moves all of their boxes."""

from __future__ import annotations

from functools import partial
from itertools import islice
from math import ceil
from typing import TYPE_CHECKING, Any, cast

from matplotlib.colors import to_rgb

from tdam.events import working
from wsol.boxes import level_boxes
from wsol.draft_page import DraftPage
from wsol.images import ImageError, read_image
from wsol.levels import LEVELS, quantise
from wsol.loading import read_ahead
from wsol.pages import embed_image, write_page
from wsol.palette import DEFAULT_MAP, OPACITY, colour_stops
from wsol.report.choice import GALLERY
from wsol.report.contours import show_map
from wsol.text import escape, percent, quote_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tdam.events import Events
    from wsol.localizer import Localizer
    from wsol.results import Localization

    Result = Localization | ImageError

PAGE = "index.html"
_SIDE = 320  # pixels of the longer side of a photograph's copy
_QUALITY = 70
_STEPS = 200  # of the slider, from 0 to 1
_BATCH = 8  # images that are read together, so that few are held at once


def write_drafts(
    page: DraftPage,
    results: Iterable[tuple[Path, Result]],
    done: int,
    total: int,
    localizer: Localizer,
    events: Events,
) -> Path:
    """Write the page, image after image, in memory that does not grow with their number.

    Args:
        page: where to, and what it tells
        results: of the images, in the order of the page
        done: how many results there are
        total: number of images of the run
        localizer: that the results are of, and its threshold
        events: is told how far it is

    Returns:
        the first file

    Raises:
        OSError: it cannot be written
    """
    names = [_name(number) for number in range(max(1, ceil(done / GALLERY)))]
    stops = colour_stops(DEFAULT_MAP)
    channels = zip(*(to_rgb(colour) for _, colour in stops), strict=True)  # red, green, blue
    channels_text = [" ".join(f"{value:.3f}" for value in channel) for channel in channels]
    shown = _show_all(results, localizer.workers, localizer.min_score)
    with working(events, "page", done):
        for number, name in enumerate(names):
            write_page(
                page.folder / name,
                "drafts.html.j2",
                styles=["report.css", "drafts.css"],
                scripts=["address.js", "drafts.js"],
                data={
                    "drafts": {
                        "threshold": localizer.threshold,
                        "thresholds": _list_thresholds(localizer.threshold),
                        "minScore": localizer.min_score,
                        "command": quote_words(page.command),
                        "opacity": OPACITY,
                    }
                },
                title="Drafts of boxes",
                origin=localizer.origin,
                command=bool(page.command),
                files="--format" in page.command,
                threshold=localizer.threshold,
                multi=localizer.contours != "largest",
                first=number * GALLERY + 1,
                last=min((number + 1) * GALLERY, done),
                done=done,
                total=total,
                others=names,
                own=name,
                map_channels=channels_text,
                payloads=_advance(islice(shown, GALLERY), events),
            )
    return page.folder / names[0]


def describe_levels(localization: Localization) -> dict[str, Any]:
    """Write down the boxes of one class at all thresholds, at the levels where they change.

    They are those that a localization at another threshold would have. Probabilities below the
    least one that is asked for change nothing: the page has a field for it.

    Args:
        localization: of the class

    Returns:
        plain values: `peak`, the map's highest level; `side`, of the square that boxes are in
        pixels of, and `region`, the part of the photograph that it shows; `boxes`, a list
        `[level, x0, y0, x1, y1, ...]` for each change, outer edges, which holds for pixels above
        that level and up to the next one of the list; and `regions`, a list `[level, count]` for
        each change of their number

    Raises:
        ValueError: it is not known how the boxes came about
    """
    rule = localization.rule
    if rule is None:
        raise ValueError("Expected a localization whose rule is known but got one without")
    last = localization.steps[-1]
    heat = last.heatmap((rule.side, rule.side))
    regions = level_boxes(heat, "outer")
    boxes = regions if rule.contours == "outer" else level_boxes(heat, rule.contours)
    return {
        "peak": len(boxes),
        "side": rule.side,
        "region": list(last.region),
        "boxes": _list_changes([each.ravel().tolist() for each in boxes], []),
        "regions": _list_changes([[len(each)] for each in regions], [0]),
    }


def _list_changes(values: list[list[int]], beyond: list[int]) -> list[list[int]]:
    """Keep the values of the levels where they change, each behind its level.

    Args:
        values: of level 0, 1 and so on
        beyond: value of the level behind the last one
    """
    changes: list[list[int]] = []
    for level, value in enumerate([*values, beyond]):
        if not changes or changes[-1][1:] != value:
            changes.append([level, *value])
    return changes


def _list_thresholds(taken: float) -> list[float]:
    """List what the slider stops at: equal steps, and the threshold that was taken."""
    return sorted({float(taken), *(round(step / _STEPS, 4) for step in range(_STEPS + 1))})


def _name(number: int) -> str:
    return PAGE if number == 0 else f"index-{number + 1}.html"


def _show_all(
    results: Iterable[tuple[Path, Result]], workers: int, least: float
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for batch in read_ahead(results, partial(_show, least=least), _BATCH, workers):
        for _, shown in batch:
            yield cast("tuple[dict[str, Any], dict[str, Any]]", shown)  # it tells of errors itself


def _show(pair: tuple[Path, Result], least: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Describe one image: what the page needs at once, and the pictures that it needs once seen."""
    path, result = pair
    facts: dict[str, Any] = {"file": escape(path.name), "path": escape(str(path))}
    if isinstance(result, ImageError):
        return {**facts, "error": escape(str(result).removeprefix(f"{path}: "))}, {}
    facts |= {
        "width": result.width,
        "height": result.height,
        "classes": [
            {
                "name": escape(each.name),
                "score": each.score,
                "percent": percent(each.score, least),
                **describe_levels(each),
            }
            for each in result.classes
        ],
    }
    maps = [_show_map(each) for each in result.classes]
    try:
        image = read_image(path, at_least=_SIDE)
    except ImageError as error:
        reason = escape(str(error).removeprefix(f"{path}: "))
        return facts, {"image": None, "why": reason, "maps": maps}
    return facts, {"image": embed_image(image, _SIDE, _QUALITY), "maps": maps}


def _show_map(localization: Localization) -> str:
    rule = localization.rule
    last = localization.steps[-1]
    heat = last.heatmap((rule.side, rule.side)) if rule is not None else last.map
    return show_map(quantise(heat), LEVELS)


def _advance(shown: Iterable[Any], events: Events) -> Iterator[Any]:
    for each in shown:
        yield each
        events.advance()
