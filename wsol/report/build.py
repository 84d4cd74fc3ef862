"""A report on disk: `index.html`, and its tables as CSV and Markdown beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.colors import to_rgb

from wsol.evaluation.comparison import ResultError, compare_results
from wsol.evaluation.metric_names import tell_missing_truth
from wsol.evaluation.threshold_rules import explain_rule
from wsol.evaluation.unreadable import pair_unreadable
from wsol.out_files import make_folder
from wsol.pages import write_page
from wsol.palette import DEFAULT_MAP, OPACITY, colour_stops
from wsol.report import tables
from wsol.report.choice import choose_images
from wsol.report.contours import UNITS
from wsol.report.curves import draw_curves
from wsol.report.gallery import describe_images, show_images

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from eval.statistics import Difference
    from wsol.report.runs import Run

PAGE, TABLES = "index.html", "tables"


def write_report(
    folder: Path,
    runs: Sequence[Run],
    root: Path | None,
    *,
    title: str | None = None,
    differences: Sequence[Mapping[str, Difference]] | None = None,
    references: Mapping[str, str] | None = None,
    note: str = "",
    workers: int = 2,
    progress: Callable[[int], None] | None = None,
    without: dict[str, str] | None = None,
    measured: tables.Table | None = None,
) -> Path:
    """Write the report of one evaluation, or of several of the same images.

    Memory does not grow with the pictures: they go to the page one after the other.

    Args:
        folder: created where it does not exist; `index.html` and `tables/` in it are replaced
        runs: at least one
        root: of the images, or None where it is not known
        title: of the page
        differences: each later run against the first, as `compare_results` gives them; None to
            compare here
        references: name of the run to compare another one with, by that one's name, where it is not
            the first; a run that is its own, or whose reference is not there, is compared with none
        note: a sentence at the top of the page
        workers: threads that read images
        progress: called with the number of pictures done since the last call
        without: gets the images that the page has no picture of, and why
        measured: scores on other images, in place of those of these, which are too few to score

    Returns:
        the page

    Raises:
        ResultError: runs of other images, or under other rules
    """
    first = runs[0]
    for run in runs[1:]:
        if run.rows.keys() != first.rows.keys() or run.of_boxes != first.of_boxes:
            raise ResultError(f"{run.results.folder}: expected the same images as {first.name}")
    pairs = _pair(runs, references or {})
    if differences is None:
        compared = pairs if first.of_boxes else []
        differences = [compare_results(one.results, other.results) for one, other in compared]
    scores = measured or tables.score_table(runs)
    keys = ["differences", *(f"differences-{number}" for number in range(2, len(runs)))]
    paired = [
        tables.difference_table(*pair, of_pair, key)
        for pair, of_pair, key in zip(pairs, differences, keys, strict=False)
    ]
    errors = tables.error_table(runs)
    classes = tables.class_table(runs)
    ids = choose_images(list(first.rows))
    make_folder(folder / TABLES)
    for old in (folder / TABLES).glob("differences*"):
        old.unlink()
    for table in (scores, *paired, *([] if errors is None else [errors]), classes):
        if measured is None or table is measured:
            table.save(folder / TABLES)
    if measured is None:
        tables.curve_table(runs).save(folder / TABLES, markdown=False)
    tables.image_table(runs).save(folder / TABLES, markdown=False)
    stops = colour_stops(DEFAULT_MAP)
    channels = zip(*(to_rgb(colour) for _, colour in stops), strict=True)  # red, green, blue
    write_page(
        folder / PAGE,
        "report.html.j2",
        styles=["report.css"],
        scripts=["address.js", "report.js"],
        data={
            "report": {
                "runs": [{"name": run.name} for run in runs],
                "images": describe_images(runs, ids),
                "boxKinds": tables.BOX_KINDS,
                "units": UNITS,
                "ofBoxes": first.of_boxes,
                "crop": first.scores["image"] == "crop",
            }
        },
        title=title or _title(runs),
        note=note,
        runs=[_introduce(run) for run in runs],
        facts=_facts(first),
        scores=scores,
        measured=measured is not None,
        paired=paired,
        compares=bool(pairs) and not paired,
        errors=errors,
        kinds=[_shares(run) for run in runs] if errors is not None else [],
        classes=classes,
        charts=draw_curves(runs),
        opacity=round(100 * OPACITY),
        box_kinds=tables.BOX_KINDS,
        images=len(first.rows),
        shown=len(ids),
        maps=any(run.has_maps for run in runs),
        without_maps=[run.name for run in runs if not (run.has_maps or run.given)],
        payloads=show_images(runs, ids, root, workers, progress, without),
        map_channels=[" ".join(f"{value:.3f}" for value in channel) for channel in channels],
        stops=stops,
    )
    return folder / PAGE


def _pair(runs: Sequence[Run], references: Mapping[str, str]) -> list[tuple[Run, Run]]:
    """Pair every run with the one that it is compared with, if there is one."""
    by_name = {run.name: run for run in runs}
    pairs = []
    for run in runs:
        other = by_name.get(references[run.name]) if run.name in references else runs[0]
        if other is not None and other is not run:
            pairs.append((other, run))
    return pairs


def _title(runs: Sequence[Run]) -> str:
    if len(runs) == 1:
        return f"Localization of {runs[0].what or runs[0].name}"
    *names, last = (run.name for run in runs)
    return f"{', '.join(names)} and {last}"


def _introduce(run: Run) -> dict[str, Any]:
    """Say in words what a run is."""
    threshold = run.scores["threshold"]
    said = "none, of boxes without maps" if run.given else "none"
    if (rule := threshold["rule"]) is not None:
        said = f"{threshold['value']:.3f}, {explain_rule(rule, threshold['chosen_on'])}"
    return {
        "name": run.name,
        "what": run.what if run.what != run.name else "",
        "threshold": said,
        "unreadable": pair_unreadable(run.scores),
        "overlaps": run.scores.get("overlaps") or [],
    }


def _facts(run: Run) -> dict[str, str]:
    """Say under which rules was scored."""
    scores = run.scores
    whose = {"ground_truth": "the true class's", "predicted": "the predicted class's"}
    facts = {
        "Images": f"{scores['images']} of {scores['split']}",
        "Protocol": f"{scores['protocol']} ({scores['choices']['source']})",
    }
    if not run.given:
        facts["Grid of thresholds"] = f"steps of {scores['interval']}"
    side = scores["choices"]["size"]
    shown = f"{whose[scores['class_map']]}, at {side} pixels a side"
    facts["Boxes" if run.given else "Maps"] = shown
    if scores["image"] == "crop":
        facts["Images seen as"] = "their centre crop: boxes are compared inside of it"
    if run.of_boxes:
        facts["Several true boxes"] = f"on {scores['several_true_boxes']:.1%} of the images"
    if told := tell_missing_truth(scores):
        facts["Nothing to find"] = "; ".join(told)
    return facts


def _shares(run: Run) -> dict[str, Any]:
    """Cut a bar of length 100 into kinds of boxes."""
    parts, start = [], 0.0
    for kind, count in tables.count_boxes(run).items():
        share = 100 * count / run.scores["images"]
        parts.append({"kind": kind, "start": start, "share": share, "count": count})
        start += share
    return {"name": run.name, "parts": parts}
