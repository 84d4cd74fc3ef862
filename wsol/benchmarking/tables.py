"""The tables of a benchmark: means, differences, and one line a score with everything."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tdam.strict_json import dumps
from wsol.benchmarking.expected import SCORES
from wsol.benchmarking.seed_spread import seed_table
from wsol.evaluation.threshold_rules import NO_BOXES, UNLABELLED
from wsol.evaluation.unreadable import pair_unreadable
from wsol.out_files import write_file
from wsol.report.tables import Table, plain
from wsol.text import count_things, write_gap

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from wsol.benchmarking.failed_run import FailedRun
    from wsol.benchmarking.summary import Row, Value
    from wsol.report.tables import Cell

_HEADS = {
    "top1_loc": "Top-1 Loc",
    "top5_loc": "Top-5 Loc",
    "gt_known_loc": "GT-known",
    "max_box_acc": "MaxBoxAcc",
    "max_box_acc_v2": "MaxBoxAccV2",
    "top1_cls": "top-1 class",
}
# Field of a row: name in tables.
_VARIANT_FIELDS = {"protocol": "protocol", "method": "method", "output_stride": "stride"}
DEPARTURES, GIVEN = "departures", "given_weights"  # keys of the JSON output
_SPREAD = (
    "Percent: the mean over the seeds, and from the least to the greatest of them. MaxBoxAcc and "
    "MaxBoxAccV2 choose their thresholds on the scored images, and so does the rule oracle: they "
    "flatter."
)
_OTHER_MAP = (
    "GT-known is of the true class's map: a protocol that takes the predicted class's has none."
)
_PAIRED = (
    "Points: the mean over the seeds that both have, taken image by image, less that of the model "
    "it is compared with, and its paired 95 % interval: over images and seeds where there are "
    "several seeds, over images alone where there is one. The interval tells what other images of "
    "the same kind and other trainings would change, not what another threshold would: under the "
    "rule val each seed's stays as it was chosen."
)


def score_table(rows: Sequence[Row]) -> Table:
    """Tell the mean over the seeds and their spread."""
    shown = [row for row in rows if row is _first_alike(row, rows)]
    return _make_table("scores", "Scores", rows, shown, _write_mean, _SPREAD)


def _first_alike(row: Row, rows: Sequence[Row]) -> Row:
    """Give the first row with the same scores: boxes as they are have one for every rule."""
    if None not in row.levels:
        return row
    return next(each for each in rows if each.model == row.model and each.variant == row.variant)


def difference_table(rows: Sequence[Row]) -> Table | None:
    """Tell how every model differs from its reference, or None where there is no other."""
    paired = [row for row in rows if row.compared]
    if not paired:
        return None
    title = name_differences(paired)
    return _make_table("differences", title, rows, paired, write_difference, _PAIRED)


def name_differences(rows: Sequence[Row]) -> str:
    """Name what rows are compared with, the rows' own texts saying the rest."""
    references = {row.reference for row in rows}
    return f"Differences from {references.pop()}" if len(references) == 1 else "Differences"


def name_compared(row: Row, rows: Sequence[Row]) -> str:
    """Name a row's model, and its reference where rows have several."""
    several = len({each.reference for each in rows}) > 1
    return f"{row.model} minus {row.reference}" if several else row.model


def _make_table(
    key: str,
    title: str,
    every: Sequence[Row],
    rows: Sequence[Row],
    write: Callable[[Value], str | None],
    note: str,
) -> Table:
    mixed = [name for name in _VARIANT_FIELDS if _differ(every, name)]
    seeded = _are_seeded(every)
    header = ["model", *(["seeds"] if seeded else []), "threshold"]
    header += [_VARIANT_FIELDS[name] for name in mixed]
    cells: list[tuple[Cell, ...]] = []
    for row in rows:
        seeds = row.seeds if key == "scores" else row.compared
        own: list[Cell] = [row.model if key == "scores" else name_compared(row, rows)]
        own += [_list_seeds(seeds)] if seeded else []
        own.append(_write_rule(row) if key == "scores" else _write_rule(row) or row.threshold)
        own += [str(getattr(row, name) or "") or None for name in mixed]
        values = [row.values.get(name) for name in SCORES]
        own += [None if value is None else write(value) for value in values]
        cells.append(tuple(own))
    return Table(key, title, (*header, *_HEADS.values()), cells, {}, (note, *_tell_other_map(rows)))


def _tell_other_map(rows: Sequence[Row]) -> list[str]:
    """Say why some rows have no GT-known."""
    having = {"gt_known_loc" in row.values for row in rows if "top1_loc" in row.values}
    return [_OTHER_MAP] if False in having else []


def _differ(rows: Sequence[Row], name: str) -> bool:
    return len({getattr(row, name) for row in rows}) > 1


def _are_seeded(every: Sequence[Row]) -> bool:
    return len({row.seeds for row in every}) > 1 or len(every[0].seeds) > 1


def _list_seeds(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def _write_rule(row: Row) -> str | None:
    if None in row.levels:
        return None  # boxes as they are
    if all(row.threshold == f"{level:g}" for level in row.levels):
        return row.threshold
    told = f"; {NO_BOXES}" if row.threshold == UNLABELLED else ""
    return f"{row.threshold} ({_write_levels(row)}{told})"


def _write_levels(row: Row) -> str:
    known = [level for level in row.levels if level is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    return f"{low:.3f}" if low == high else f"{low:.3f} to {high:.3f}"


def _write_mean(value: Value) -> str:
    low, high = min(value.by_seed), max(value.by_seed)
    spread = f" ({low:.1f} to {high:.1f})" if len(value.by_seed) > 1 else ""
    return f"{value.mean:.1f}{spread}"


def write_difference(value: Value) -> str | None:
    """Write a difference with the interval that it is judged by."""
    if value.difference is None:
        return None
    return write_gap(value.difference.difference, *value.ends)


def full_table(rows: Sequence[Row], failed: Sequence[FailedRun] = ()) -> Table:
    """Tell everything in numbers, a line a model, variant and score.

    Where images could not be read, two more columns count and name those of each model. Where runs
    failed, a last column says why, on a line a run that has its model and seed and nothing else.
    """
    shared = any(row.overlaps for row in rows)
    misses = any(row.unreadable for row in rows)
    several = any(row.protocol for row in rows)
    cells: list[tuple[Cell, ...]] = []
    for row in rows:
        for name in SCORES:
            value = row.values.get(name)
            if value is None:
                continue
            gap = value.difference
            points = None if gap is None else gap.difference
            ends = None if gap is None else (gap.low, gap.high)
            both = None if value.spread is None else value.ends
            cells.append(
                (
                    *(row.model, *((row.protocol,) if several else ())),
                    *(row.method, row.output_stride or None, row.threshold),
                    *(" ".join(f"{level:g}" for level in row.levels if level is not None),),
                    *(" ".join(map(str, row.seeds)), row.images, name, value.mean),
                    *((min(value.by_seed), max(value.by_seed)), value.interval95),
                    *(row.reference, " ".join(map(str, row.compared)), points, ends, both),
                    *(("; ".join(row.overlaps or ()),) if shared else ()),
                    *((len(row.unreadable), "; ".join(row.unreadable)) if misses else ()),
                    *((None,) if failed else ()),
                )
            )
    header = (
        "model", *(("protocol",) if several else ()), "method", "output_stride", "threshold",
        "levels", "seeds", "images", "score", "mean", "spread", "interval95", "reference",
        "compared_seeds", "difference", "difference95", "difference95_with_seeds",
        *(("overlaps",) if shared else ()),
        *(("unreadable", "unreadable_images") if misses else ()),
        *(("failure",) if failed else ()),
    )  # fmt: skip
    for each in failed:
        told = {"model": each.model, "seeds": each.seeds, "failure": each.reason}
        cells.append(tuple(map(told.get, header)))
    return Table("table", "All values", header, cells, {})


def describe_given(names: Sequence[str]) -> str:
    """Say of runs whose weights were given as files what is not known of them.

    >>> describe_given(["none-0"])
    'given for none-0, and nothing tells how they were trained'
    """
    return f"given for {', '.join(names)}, and nothing tells how they were trained"


def list_overlaps(rows: Sequence[Row]) -> list[str]:
    """Tell once each which images were not only scored."""
    return list(dict.fromkeys(line for row in rows for line in row.overlaps or ()))


def to_plain(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Turn rows into plain values for JSON."""
    records = []
    for row in rows:
        record = asdict(row)
        for name, value in row.values.items():
            gap = value.difference
            if gap is not None:
                record["values"][name]["difference"] = {
                    "points": gap.difference,
                    "interval95": [gap.low, gap.high],
                    "interval95_with_seeds": value.spread and list(value.ends),
                }
        del record["variant"]
        if not row.protocol:
            del record["protocol"]
        records.append(record)
    return records


def list_variant_tables(rows: Sequence[Row]) -> list[Table]:
    """Tell the same with a line a model: for every protocol and variant, scores and differences.

    Only Top-1 Loc is told under every rule, Top-5 Loc and GT-known under the first one alone;
    MaxBoxAcc and MaxBoxAccV2 have thresholds of their own. `full_table` has the rest.

    Args:
        rows: of the tables

    Returns:
        scores and differences of each variant, then the thresholds that the rules chose
    """
    variants: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        variants.setdefault(row.scored_by, []).append(row)
    tables = []
    for own in variants.values():
        tables.append(_make_wide(rows, own, paired=False))
        if any(row.compared for row in own):
            tables.append(_make_wide(rows, own, paired=True))
    mixed = {name: text for name, text in _VARIANT_FIELDS.items() if _differ(rows, name)}
    seeds = seed_table(rows, mixed, lambda row: name_compared(row, rows))
    last = (_make_levels(rows, variants), seeds)
    return tables + [table for table in last if table is not None]


def _name_variant(own: Sequence[Row], every: Sequence[Row]) -> str:
    """Name protocol, map method and output stride, where these rows share one and others differ."""
    name = ""
    for field, text in (("protocol", "protocol "), ("method", ""), ("output_stride", "stride ")):
        if _differ(every, field) and not _differ(own, field):
            name += f", {text}{getattr(own[0], field)}"
    return name


def _make_wide(every: Sequence[Row], own: Sequence[Row], paired: bool) -> Table:
    """Put the rows that a variant has of one model on one line: scores, or differences."""
    rows = [row for row in own if row.compared or not paired]
    title = (name_differences(rows) if paired else "Scores") + _name_variant(own, every)
    write: Callable[[Value], str | None] = write_difference if paired else _write_mean
    rules = list(dict.fromkeys(row.threshold for row in own))
    columns = [("top1_loc", rule) for rule in rules]
    columns += [(name, rules[0]) for name in SCORES if name != "top1_loc"]
    ruled = {"top1_loc", "top5_loc", "gt_known_loc"}
    header = [
        f"{_HEADS[name]}, {rule}" if name in ruled else _HEADS[name] for name, rule in columns
    ]
    lines: dict[str, dict[str, Row]] = {}
    for row in rows:
        lines.setdefault(row.model, {})[row.threshold] = row
    seeded = _are_seeded(every)
    mixed = [name for name in _VARIANT_FIELDS if _differ(own, name)]
    cells: list[tuple[Cell, ...]] = []
    for by_rule in lines.values():
        row = next(iter(by_rule.values()))
        line: list[Cell] = [name_compared(row, rows) if paired else row.model]
        line += [_list_seeds(row.compared if paired else row.seeds)] if seeded else []
        line += [str(getattr(row, name)) for name in mixed]
        for name, rule in columns:
            value = by_rule[rule].values.get(name) if rule in by_rule else None
            line.append(None if value is None else write(value))
        cells.append(tuple(line))
    first = ["model", *(["seeds"] if seeded else []), *(_VARIANT_FIELDS[name] for name in mixed)]
    return Table("differences" if paired else "scores", title, (*first, *header), cells, {})


def _make_levels(
    rows: Sequence[Row], variants: Mapping[tuple[str, str, int], list[Row]]
) -> Table | None:
    """Tell the thresholds that rules chose, or None where all are fixed numbers."""
    chosen = [
        (variant, rule)
        for variant in variants
        for rule in dict.fromkeys(row.threshold for row in rows)
        if any(_write_rule(row) != rule for row in variants[variant] if row.threshold == rule)
    ]
    if not chosen:
        return None
    by_key = {(row.model, row.scored_by, row.threshold): row for row in rows}
    cells: list[tuple[Cell, ...]] = []
    for model in dict.fromkeys(row.model for row in rows):
        own = [by_key.get((model, *column)) for column in chosen]
        cells.append((model, *(None if row is None else _write_levels(row) for row in own)))
    header = [f"{rule}{_name_variant(variants[variant], rows)}" for variant, rule in chosen]
    return Table("thresholds", "Thresholds", ("model", *header), cells, {})


def write_tables(
    folder: Path,
    title: str,
    lines: Sequence[str],
    rows: Sequence[Row],
    record: dict[str, Any],
    failed: Sequence[FailedRun] = (),
) -> None:
    """Write `table.md`, `table.csv` and `results.json`.

    Args:
        folder: exists
        title: of the Markdown
        lines: verdicts
        rows: of the tables
        record: what else the JSON says; also names the images that could not be read, what tells
            it from the experiment as it stands, and runs whose weights were given
        failed: runs that no row has
    """
    parts = [f"# {title}", "\n".join(f"- {line}" for line in lines)]
    parts += [
        f"**Not the experiment as it stands:** {plain(line)}" for line in record.get(DEPARTURES, ())
    ]
    if record.get(GIVEN):
        parts.append(f"**Weights:** {plain(describe_given(record[GIVEN]))}")
    parts += [f"**Not apart:** {plain(line)}" for line in list_overlaps(rows)]
    if failed:
        named_runs: list[tuple[Cell, ...]] = [(each.name, each.reason) for each in failed]
        sentence = f"{count_things(len(failed), 'run')} failed: in no value below"
        parts.append(Table("failures", sentence, ("run", "why"), named_runs, {}).to_markdown())
    for sentence, named in pair_unreadable(record):
        listed: list[tuple[Cell, ...]] = [(line,) for line in named]
        parts.append(Table("unreadable", sentence, ("image",), listed, {}).to_markdown())
    parts += [table.to_markdown() for table in list_variant_tables(rows)]
    parts += [
        _SPREAD,
        *_tell_other_map(rows),
        *([_PAIRED] if any(row.compared for row in rows) else []),
    ]
    text = "\n\n".join(part.strip() for part in parts if part) + "\n"
    write_file(folder / "table.md", text.encode("utf-8", "backslashreplace"))
    full_table(rows, failed).save(folder, markdown=False)
    content = {"schema": 1, **record, "verdicts": list(lines), "rows": to_plain(rows)}
    write_file(folder / "results.json", dumps(content, indent=1) + "\n")
