"""What an earlier pass over the same maps has left in a folder, if it ended there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdam.strict_json import loads
from wsol.evaluation.box_scorer import BoxScorer
from wsol.evaluation.image_results import SCORES
from wsol.evaluation.pass_header import describe_pass
from wsol.evaluation.resume_file import SETTINGS, check_finished, is_finished
from wsol.evaluation.score_maps import record_type, settle_threshold

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from eval.protocols import Protocol
    from wsol.evaluation.kept_maps import MapKeeper
    from wsol.evaluation.map_files import MapWriter
    from wsol.evaluation.map_source import MapSource
    from wsol.evaluation.score_maps import Threshold


def is_scored(
    source: MapSource,
    protocols: Sequence[Protocol],
    thresholds: Sequence[Threshold],
    out: Path,
    *,
    rule: str | None = None,
    save: MapWriter | None = None,
    keep: MapKeeper | None = None,
) -> bool:
    """Tell whether this very run over boxes has ended in a folder: same images, truth and rules.

    Args:
        source: of the maps
        protocols: as for `score_maps`, like the next five
        thresholds: one a protocol
        out: folder of the results
        rule: that gave the thresholds
        save: of maps
        keep: of maps for a report, which must be of this run too
    """
    if not (out / SETTINGS).is_file():  # most often: before all weights are read for a header
        return False
    levels = [
        settle_threshold(rules, each) for rules, each in zip(protocols, thresholds, strict=True)
    ]
    header = describe_pass(source, protocols, levels, rule, None, save)
    if keep is not None and not keep.has_all(header):
        return False
    return is_finished(out, header, record_type([BoxScorer.dtype] * len(protocols)))


def finished_thresholds(
    source: MapSource, protocols: Sequence[Protocol], out: Path, save: MapWriter | None
) -> list[float] | None:
    """Read the best thresholds of a run that ended in a folder, if all of it could be read.

    Args:
        source: of the maps
        protocols: as for `score_maps`, each with an oracle threshold
        out: as for `score_maps`
        save: as for `score_maps`

    Returns:
        one a protocol; None where the folder holds no finished run, or one with images that could
        not be read

    Raises:
        wsol.evaluation.resume_file.ResumeError: the folder holds another finished run
    """
    if not (out / SETTINGS).is_file():
        return None
    header = describe_pass(source, protocols, [None] * len(protocols), None, None, save)
    check_finished(out, header, record_type([BoxScorer.dtype] * len(protocols)))
    folders = [out] if len(protocols) == 1 else [out / rules.name for rules in protocols]
    try:
        scores = [loads((folder / SCORES).read_text(encoding="utf-8")) for folder in folders]
        levels = [float(each["max_box_acc_threshold"]) for each in scores]
        return None if scores[0]["unreadable"] else levels
    except (OSError, LookupError, TypeError, ValueError):  # then choose anew
        return None
