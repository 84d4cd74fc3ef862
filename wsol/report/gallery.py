"""The pictures of a report: what is told of each image, and the image itself, made small."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eval.metrics.localization import HIT
from wsol.images import ImageError, read_image
from wsol.loading import read_ahead
from wsol.pages import embed_image
from wsol.report.contours import show_kept, show_steps
from wsol.text import percent, write_beside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from PIL import Image

    from wsol.report.runs import Run

_PAGE = 22_000_000  # characters that all pictures of a page may take together
_SIDES = ((24, 1024), (100, 720), (10**9, 640))  # longest side, by number of images
_PER_MAP, _PER_STEP = 4000, 3000  # characters that maps take, seldom more


def describe_images(runs: Sequence[Run], ids: Sequence[str]) -> list[dict[str, Any]]:
    """Tell of each image what sorting, filtering and captions need.

    Args:
        runs: of the same images
        ids: of the images of the page

    Returns:
        one record of plain values an image
    """
    records = []
    for image_id in ids:
        row = runs[0].rows[image_id]
        records.append(
            {
                "id": image_id,
                "width": row.get("width"),
                "height": row.get("height"),
                "class": runs[0].label_name(row["label"]),
                "true": [_round(box) for box in row.get("true_boxes", [])],
                "runs": [_describe(run, run.rows[image_id]) for run in runs],
            }
        )
    return records


def _describe(run: Run, row: dict[str, Any]) -> dict[str, Any]:
    rank = row.get("rank")
    classified = rank is not None or row.get("predicted") is not None
    score = row.get("score") if classified else None
    return {
        "box": None if row.get("box") is None else _round(row["box"]),
        "iou": row.get("iou"),
        "iouText": _write_overlap(row.get("iou")),
        "bestIou": row.get("best_iou"),
        "bestIouText": _write_overlap(row.get("best_iou")),
        "bestThreshold": row.get("best_threshold"),
        "error": (row.get("error") or "hit") if run.of_boxes else None,
        "pxap": row.get("pxap"),
        "rank": rank,
        "score": score,
        "scoreText": None if score is None else percent(score),
        "mapClass": run.output_name(row.get("map_class")),
        "predicted": run.output_name(row.get("predicted")),
        "unreadable": row.get("unreadable"),
    }


def _write_overlap(iou: float | None) -> str | None:
    return None if iou is None else write_beside(iou, HIT / 100, 2)


def _round(box: Sequence[float]) -> list[float]:
    return [round(float(edge), 2) for edge in box]


def show_images(
    runs: Sequence[Run],
    ids: Sequence[str],
    root: Path | None,
    workers: int = 2,
    progress: Callable[[int], None] | None = None,
    without: dict[str, str] | None = None,
) -> Iterator[dict[str, Any]]:
    """Make the pictures of a page, one image after the other.

    Args:
        runs: of the same images
        ids: of the images of the page
        root: folder that the ids are relative to, or None where it is not known
        workers: threads that read images
        progress: called with the number of images done since the last call
        without: gets the images that have no picture, and why

    Yields:
        plain values: the image as a data URI or the reason why there is none, and each run's maps
    """
    side = next(side for most, side in _SIDES if len(ids) <= most)
    steps = [_steps(run, ids) for run in runs]
    maps = sum(run.has_maps for run in runs)
    room = _PAGE // max(len(ids), 1) - _PER_MAP * maps - _PER_STEP * sum(steps)
    room = min(max(room, 6000), 600_000)

    def show(image_id: str) -> dict[str, Any]:
        maps = {"runs": [_show_maps(run, image_id) for run in runs]}
        try:
            if root is None:
                raise ImageError("no folder of images is known: name it with --root")
            row = runs[0].rows[image_id]
            boxed = (row["width"], row["height"]) if "width" in row else None
            return {"image": _fit(read_image(root / image_id, side, boxed), side, room), **maps}
        except ImageError as error:
            return {"image": None, "why": str(error), **maps}

    for batch in read_ahead(ids, show, 8, workers):
        for image_id, shown in batch:
            assert isinstance(shown, dict)  # faults are part of it
            if without is not None and "why" in shown:
                without[image_id] = shown["why"]
            yield shown
            if progress is not None:
                progress(1)


def _fit(image: Image.Image, side: int, room: int) -> str:
    """Embed an image in no more than so many characters, smaller and coarser where it must be."""
    for shrink, quality in ((1.0, 74), (1.0, 55), (0.75, 50), (0.5, 45), (0.33, 40), (0.2, 30)):
        uri = embed_image(image, max(1, round(side * shrink)), quality)
        if len(uri) <= room:
            break
    return uri


def _steps(run: Run, ids: Sequence[str]) -> int:
    """Count the steps that were kept of the first image that has any."""
    if run.keeper is None:
        return 0
    kept = (run.keeper.read_steps(image_id) for image_id in ids)
    return next((len(maps_and_notes[0]) for maps_and_notes in kept if maps_and_notes), 0)


def _show_maps(run: Run, image_id: str) -> dict[str, Any] | None:
    kept = run.find_map(image_id)
    if kept is None:
        return None
    choices, threshold = run.scores["choices"], run.scores["threshold"]["value"]
    shown = show_kept(kept, run.rows[image_id], choices, threshold)
    kept_steps = None if run.keeper is None else run.keeper.read_steps(image_id)
    if kept_steps is not None:
        maps, notes = kept_steps
        shown["steps"] = [
            {**each, "predicted": run.output_name(int(predicted)), "score": percent(float(score))}
            for each, (predicted, score) in zip(
                show_steps(maps, kept.region, choices, threshold), notes.tolist(), strict=True
            )
        ]
        shown["steps"][-1]["box"] = run.rows[image_id].get("box")  # as it was scored
    return shown
