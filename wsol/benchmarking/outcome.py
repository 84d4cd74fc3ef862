"""What a benchmark or an experiment came to: rows, verdicts, failures, expected values."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from wsol.benchmarking.expected import list_faults
from wsol.benchmarking.score_weights import MAPS
from wsol.benchmarking.summary import judge
from wsol.benchmarking.tables import difference_table, score_table, to_plain
from wsol.evaluation.kept_maps import MapKeeper
from wsol.report import choose_images, read_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from eval.protocols import Protocol
    from eval.splits import Split
    from wsol.benchmarking.expected import Expected
    from wsol.benchmarking.failed_run import FailedRun
    from wsol.benchmarking.summary import Row
    from wsol.report import Run


class NothingScoredError(RuntimeError):
    """No run could be scored; `events` were told why."""


@dataclass(frozen=True)
class Outcome:
    """What several models came to on the same images.

    Args:
        title: what was scored, and how
        rows: one a model and variant of scoring: means over seeds, paired differences
        verdicts: a line a model: whether it is better than its reference
        failed: runs that are missing
        record: what else the JSON says, in plain values
        expected: values to check; None where none were asked for
        page: the page, where one was written
        unreadable: a line an image that was scored but could not be read, so that it counts as
            missed; such scores are made anew by the next call
        unreadable_chosen_on: the same of images that thresholds were chosen on
        departures: what tells it from the experiment as it stands, a line each; with one, no
            verdict is given and no expected value compared
        given: names of runs whose weights were given as files, in place of a training
    """

    title: str
    rows: tuple[Row, ...]
    verdicts: tuple[str, ...]
    failed: tuple[FailedRun, ...]
    record: dict[str, Any]
    expected: tuple[Expected, ...] | None = None
    page: Path | None = None
    unreadable: tuple[str, ...] = ()
    unreadable_chosen_on: tuple[str, ...] = ()
    departures: tuple[str, ...] = ()
    given: tuple[str, ...] = ()

    def __repr__(self) -> str:
        models = list(dict.fromkeys(row.model for row in self.rows))
        return (
            f"Outcome(title={self.title!r}, models={models}, verdicts={list(self.verdicts)}, "
            f"failed={len(self.failed)}, good={self.good})"
        )

    def _repr_html_(self) -> str:
        tables = (score_table(self.rows), difference_table(self.rows))
        told = [*self.verdicts, *self.failures, *self.departures, *self.faults]
        notes = "<br>\n".join(map(escape, told))
        shown = "".join(table.to_html() for table in tables if table is not None)
        return f"<p>{escape(self.title)}</p>\n{shown}<p>{notes}</p>\n"

    @property
    def failures(self) -> tuple[str, ...]:
        """Runs that are missing, a line each, with the reason."""
        return tuple(each.describe() for each in self.failed)

    @property
    def faults(self) -> list[str]:
        """Expected values that are off or were not measured, a line each."""
        return [] if self.departures else list_faults(self.expected or (), self.rows)

    @property
    def met(self) -> int:
        """How many of the expected values were found."""
        if self.departures:
            return 0
        off = {fault.partition(": expected")[0] for fault in self.faults}
        return len(self.expected or ()) - len(off)

    @property
    def good(self) -> bool:
        """Whether every run and image was scored and every value that was asked for is found."""
        missed = self.unreadable or self.unreadable_chosen_on
        off = self.met < len(self.expected or ())
        return not (self.failed or off or missed)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON output."""
        rows = to_plain(self.rows)
        return {"schema": 1, **self.record, "verdicts": list(self.verdicts), "rows": rows}


def list_verdicts(rows: Sequence[Row]) -> list[str]:
    """Say in a line a model and protocol whether it is better, in the first variant.

    Args:
        rows: of the tables; a model's first row is of the variant that matters most
    """
    first: dict[tuple[str, str], Row] = {}
    for row in rows:
        first.setdefault((row.model, row.protocol), row)
    lines = (judge(row) for row in first.values())
    return [line for line in lines if line is not None]


def read_runs(results: Mapping[str, Path], scored: Split, rules: Protocol) -> list[Run]:
    """Read what a page with pictures shows.

    Args:
        results: folder of results by the name of a model
        scored: split that they are of
        rules: that they were scored under
    """
    shown = choose_images(scored.ids)
    runs = []
    for name, folder in results.items():
        keeper = None
        if (folder / MAPS).is_dir():
            keeper = MapKeeper(folder / MAPS, scored.ids, shown, rules.levels, rules.rounding)
        runs.append(read_run(folder, name, keeper))
    return runs
