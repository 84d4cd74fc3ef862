"""What is wanted of an evaluation, and whether it goes together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from eval.manifest import Split
from eval.protocols import PROTOCOLS, Protocol, find_protocol
from wsol.errors import ArgumentError, about
from wsol.evaluation.threshold_rules import ORACLE, UNLABELLED, VAL
from wsol.format_choices import check_options
from wsol.result_list import Tables
from wsol.writers import check_format, find_writer

if TYPE_CHECKING:
    from pathlib import Path

    from tdam.events import Events
    from wsol.evaluation.result import Evaluation

Protocols = str | Protocol | Sequence[str | Protocol]
RULES = (ORACLE, VAL, UNLABELLED)


@dataclass(frozen=True)
class Wanted:
    """What is wanted of an evaluation, as the public functions take it.

    Args:
        split: to score, such as `test` or `val+test`
        protocol: name, TOML file, record, or several of these; `all` for all that there are
        threshold: one of `RULES`, a share of the map's range, or None for the protocol's own
        class_map: whose map; None: as the protocol has it
        mask_root: folder that the split's mask paths are relative to
        out: folder for per-image results
        formats: of boxes beside them
        save_maps: kind of numbers that maps are written in
        report: folder of a page
        coco: whether COCO's scores are wanted
        workers: threads that score
        force: overwrite what an earlier run wrote
        events: told of what is done
        allow_overlap: score images that were also chosen by or trained on, and say so
        any_step: whether every step's guess counts, each with a threshold of its own
        of_maps: what else was asked for of maps, by argument, which images without boxes and
            masks have none of; False or None for what was not
        format_options: of formats, by name
    """

    split: str
    protocol: Protocols
    threshold: Any
    class_map: str | None
    mask_root: str | Path | None
    out: str | Path | None
    formats: Sequence[Any]
    save_maps: str | None
    report: str | Path | None
    coco: bool
    workers: int
    force: bool
    events: Events
    allow_overlap: bool = False
    any_step: bool = False
    of_maps: Mapping[str, Any] = field(default_factory=dict)
    format_options: Mapping[str, Any] = field(default_factory=dict)


def find_protocols(protocol: Protocols) -> tuple[Protocol, ...]:
    """Find the protocols that are meant, each once.

    Raises:
        ArgumentError: none, one that is unknown, or two of one name
    """
    with about("protocol"):
        if protocol == "all":
            return tuple(PROTOCOLS.values())
        several = [protocol] if isinstance(protocol, (str, Protocol)) else list(protocol)
        protocols = tuple(map(find_protocol, several))
        names = [rules.name for rules in protocols]
        if not names:
            raise ValueError("Expected at least one protocol but got none")
        if len(set(names)) < len(names):
            raise ValueError(f"Expected protocols with different names but got {names}")
        return protocols


def check_threshold(wanted: Wanted, choose: str | Split) -> Any:
    """See to it that a threshold is a rule or a share, and not chosen on what it scores.

    Raises:
        ArgumentError: it is neither, or chosen on the split to score
    """
    threshold = wanted.threshold
    number = isinstance(threshold, (int, float)) and not isinstance(threshold, bool)
    if not (0 <= threshold <= 1 if number else threshold in (None, *RULES)):
        known = ", ".join(RULES)
        raise ArgumentError(
            "threshold",
            f"Expected threshold to be {known} or a number from 0 to 1 but got {threshold!r}",
        )
    if threshold == UNLABELLED and wanted.any_step:
        raise ArgumentError("threshold", "steps that count each have a threshold of boxes: use val")
    if threshold == VAL and choose in wanted.split.split("+"):
        raise ArgumentError(
            "threshold", f"{choose} cannot be chosen on while {wanted.split!r} scores it"
        )
    return threshold


def check_outputs(wanted: Wanted, protocols: tuple[Protocol, ...]) -> list[Any]:
    """Refuse outputs that do not go together; gives the formats, each once."""
    given = [wanted.formats] if isinstance(wanted.formats, str) else wanted.formats
    with about("formats"):
        kinds = [check_format(kind) for kind in dict.fromkeys(given)]
    if "npy" in kinds:
        raise ArgumentError("formats", "npy is --save-maps float64 here")
    for kind in kinds:
        if find_writer(kind).of_maps:
            message = f"{kind} needs the maps, and scores keep boxes: wsol predict writes it"
            raise ArgumentError("formats", message)
    check_options(kinds, wanted.format_options)
    into_out: dict[str, Any] = {
        "formats": kinds,
        "save_maps": wanted.save_maps,
        "coco": wanted.coco,
    }
    for argument, asked in into_out.items():
        if asked and wanted.out is None:
            raise ArgumentError(argument, "needs --out")
    of_one: dict[str, Any] = {"formats": kinds, "coco": wanted.coco, "report": wanted.report}
    for argument, asked in of_one.items():
        if asked and len(protocols) > 1:
            raise ArgumentError(argument, "goes with one protocol")
    if wanted.save_maps is not None and protocols[0].image == "crop":
        message = f"cannot go with {protocols[0].name}: a file does not say that it shows a crop"
        raise ArgumentError("save_maps", message)
    return kinds


def check_labels_only(wanted: Wanted, protocols: tuple[Protocol, ...], what: str) -> None:
    """Refuse whatever needs boxes or masks, where images have a class and nothing else.

    Args:
        wanted: of the evaluation
        protocols: that were found
        what: the data set, for messages

    Raises:
        ArgumentError: it names the argument
    """
    asked: dict[str, Any] = {
        "threshold": wanted.threshold is not None,
        "class_map": wanted.class_map,
        "formats": wanted.formats,
        "save_maps": wanted.save_maps,
        "coco": wanted.coco,
        "report": wanted.report,
        "mask_root": wanted.mask_root,
        "protocol": len(protocols) > 1,
        "steps_rule": wanted.any_step,
        **wanted.of_maps,
    }
    for argument, value in asked.items():
        if value:
            message = f"{what} has no boxes: its classes can be scored, but nothing is localized"
            raise ArgumentError(argument, message)


def one_or_all(evaluations: list[Evaluation], protocol: Protocols) -> Any:
    """Give one evaluation for one protocol, and a list for several."""
    several = protocol == "all" or isinstance(protocol, (list, tuple))
    return Tables(evaluations) if several else evaluations[0]
