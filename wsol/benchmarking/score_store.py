"""The scores of one run on disk, in every variant that was asked for, and their replicates."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from eval.parsing import read_json
from tdam.strict_json import dumps, loads
from wsol.benchmarking.replicates import RunScores, round_to_grid, score_rules
from wsol.evaluation.comparison import (
    ResultError,
    check_sums,
    read_protocol,
    read_results,
    trusting,
)
from wsol.evaluation.threshold_rules import UNLABELLED, VAL
from wsol.out_files import write_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from eval.protocols import Protocol
    from wsol.benchmarking.experiment import Scoring
    from wsol.evaluation.comparison import Results

VARIANTS = "ways.json"
# By the keys of an image.
_TRUTH = {"images": (), "labels": ("label",), "sizes": ("width", "height"),
          "true boxes": ("true_boxes",)}  # fmt: skip
CHOSEN, SCORED = "chosen-on", "scored"  # folders of a variant: split to choose on, and to report


@dataclass(frozen=True)
class ScoringVariant:
    """How a run is scored: map method, output stride, input size, and images to choose on.

    Args:
        wanted: map method and output stride as they were asked for
        method: of the maps
        output_stride: of the network as it was scored
        chooses: whether there are images to choose thresholds on
        choose: split that thresholds were to be chosen on
        size: side of the input that was asked for, in pixels
        weights_sha256: of the weights that were scored; None in records of before it was kept
        protocol: name of the one that the scores are of; empty where no other was asked for
        view: of `passes.name_view` then; empty else
        unlabelled: threshold that the scored images ask for without a box; None where nobody asked
    """

    wanted: tuple[str, int]
    method: str
    output_stride: int
    chooses: bool
    choose: str
    size: int
    weights_sha256: str | None = None
    protocol: str = ""
    view: str = ""
    unlabelled: float | None = None

    @property
    def folder(self) -> str:
        """Name of the folder of its pass among a run's scores."""
        method = self.method.replace(":", "-")  # which no folder on Windows may have
        return "-".join(filter(None, (method, str(self.output_stride), self.view)))

    def results(self, part: str) -> PurePath:
        """Tell where the results of a part (`CHOSEN`, `SCORED`) lie among a run's scores."""
        return PurePath(self.folder, part, self.protocol)


def write_variants(folder: Path, variants: Sequence[ScoringVariant]) -> None:
    """Write down the variants that a run was scored in, once all of them are on disk."""
    newer = ("protocol", "view", "unlabelled")
    told_of = {key for each in variants for key in newer if getattr(each, key) not in ("", None)}
    left_out = {*newer} - told_of  # as they were before there could be any
    told = [{k: v for k, v in asdict(each).items() if k not in left_out} for each in variants]
    write_file(folder / VARIANTS, dumps(told, indent=1) + "\n")


def remove_variants(folder: Path) -> None:
    """Say that the scores in a folder are not those of a whole run, for as long as they change."""
    (folder / VARIANTS).unlink(missing_ok=True)


def read_variants(folder: Path) -> list[ScoringVariant]:
    """Read the variants that a run was scored in.

    Raises:
        ResultError: the folder holds no scores of a run
    """
    try:
        content = read_json(folder / VARIANTS)
        variants = [ScoringVariant(**{**each, "wanted": tuple(each["wanted"])}) for each in content]
        for each in variants:
            wanted, method = (*each.wanted, each.output_stride), each.method
            if [type(part) for part in (*wanted, method)] != [str, int, int, str]:
                raise TypeError("variants of something else")
            names = (each.method, each.protocol, each.view)
            level = each.unlabelled
            if level is not None and not (type(level) in (int, float) and 0 <= level <= 1):
                raise ValueError(f"Expected unlabelled to be from 0 to 1 but got {level!r}")
            if type(each.size) is not int or any(n == ".." or PurePath(n).name != n for n in names):
                raise TypeError("variants of something else")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultError(f"{folder}: expected scores of a run but {VARIANTS}: {error}") from error
    hashes = {variant.weights_sha256 for variant in variants}
    if not variants or len(hashes) > 1:
        what = f"of {len(hashes)} different weights" if variants else "none"
        raise ResultError(f"{folder}: expected scores of one set of weights but they are {what}")
    return variants


def read_run_scores(
    folder: Path, model: str, seed: int, scoring: Scoring
) -> tuple[list[RunScores], Path]:
    """Take the replicates of a run from its scores on disk.

    Args:
        folder: of the scores
        model: name
        seed: of the run
        scoring: protocols, variants and threshold rules that are wanted

    Returns:
        one record a protocol, variant and threshold rule, and the folder of the first results

    Raises:
        ResultError: no scores, or those of another variant, split or protocol than is wanted
        ValueError: a threshold between those of the protocol's grid
    """
    known = {(each.protocol, *each.wanted): each for each in read_variants(folder)}
    run_scores: list[RunScores] = []
    folders: list[Path] = []
    for rules, stride, method in product(scoring.rules, scoring.output_strides, scoring.methods):
        name = rules.name if scoring.several else ""
        variant = known.get((name, method, stride))
        if variant is None:
            named = f"protocol {name}, " if name else ""
            there = ", ".join(str(each.results(SCORED)) for each in known.values())
            raise ResultError(
                f"{folder}: expected scores with {named}method {method} and output stride "
                f"{stride} but there are {there}"
            )
        folders.append(folder / variant.results(SCORED))
        run_scores += _read_variant(folder, variant, model, seed, rules, scoring)
    return run_scores, folders[0]


def _read_variant(
    folder: Path, variant: ScoringVariant, model: str, seed: int, rules: Protocol, scoring: Scoring
) -> list[RunScores]:
    """Take the replicates of one variant, one record a threshold rule."""
    scored = folder / variant.results(SCORED)
    results = read_results(scored)
    _check(variant, results, rules, scoring)
    _check_weights(variant, results)
    levels, missed = {}, {}
    if variant.chooses:
        chosen = read_results(folder / variant.results(CHOSEN), slim=True)
        _check_weights(variant, chosen)
        levels[VAL], missed = chosen.scores["max_box_acc_threshold"], unreadable_rows(chosen)
    if variant.unlabelled is not None:
        levels[UNLABELLED] = round_to_grid(rules, variant.unlabelled)
    elif UNLABELLED in scoring.thresholds:
        raise ResultError(f"{folder}: expected the threshold {UNLABELLED} but nobody asked for it")
    try:
        taken = score_rules(results, rules, scoring, levels)
    except (KeyError, TypeError, IndexError) as error:
        raise ResultError(f"{scored}: expected scores of a run but {error!r}") from error
    overlaps = results.scores.get("overlaps", ())  # older records have none
    return [
        RunScores(
            model=model,
            seed=seed,
            variant=variant.wanted,
            method=variant.method,
            output_stride=variant.output_stride,
            threshold=name,
            level=at,
            replicates=replicates,
            images=len(results.rows),
            protocol=variant.protocol,
            overlaps=None if overlaps is None else tuple(map(str, overlaps)),
            unreadable=unreadable_rows(results),
            unreadable_chosen_on=missed,
        )
        for name, at, replicates in taken
    ]


def check_whole(folder: Path) -> None:
    """Refuse scores of a run that are of several weights or images, or contradict themselves.

    Args:
        folder: of the scores, in every variant

    Raises:
        ResultError: it names the file and what differs
    """
    shared: dict[tuple[str, str], Any] = {}
    for variant in read_variants(folder):
        best = None
        for part in (CHOSEN, SCORED) if variant.chooses else (SCORED,):
            results = read_results(folder / variant.results(part))
            _check_weights(variant, results)
            check_sums(results)
            keys = ("images_sha256", "split", "overlaps")
            facts = digest_truth(results) | {key: results.scores.get(key) for key in keys}
            if "contents_sha256" in results.scores:  # which earlier versions did not keep
                facts["contents_sha256"] = results.scores["contents_sha256"]
            for what, told in facts.items():
                if shared.setdefault((part, what), told) != told:
                    raise ResultError(
                        f"{results.folder}: expected scores of the same images in every variant "
                        f"but {what} differ"
                    )
            classes = {key: (row["predicted"], row["rank"]) for key, row in results.rows.items()}
            # Whatever its maps are made by, and whichever protocol they are scored under.
            network = (part, f"stride {variant.output_stride}, {results.scores.get('image')}")
            if shared.setdefault(network, classes) != classes:
                raise ResultError(
                    f"{results.folder}: expected the predicted classes and ranks that the other "
                    "methods have with the same stride"
                )
            level = results.scores["threshold"]
            if part == CHOSEN:
                best = results.scores["max_box_acc_threshold"]
            elif best is not None and level["rule"] == "val" and level["value"] != best:
                _refuse_level(results, best)
            elif level["rule"] == UNLABELLED:
                if variant.unlabelled is None:
                    raise ResultError(f"{results.folder}: expected a rule of {VARIANTS}")
                nearest = round_to_grid(read_protocol(results.scores), variant.unlabelled)
                if level["value"] != nearest:
                    _refuse_level(results, nearest)


def _refuse_level(results: Results, chosen: float) -> None:
    raise ResultError(
        f"{results.folder}: expected the threshold {chosen} that was chosen but it is "
        f"{results.scores['threshold']['value']}"
    )


def digest_truth(results: Results) -> dict[str, str]:
    """Hash what results say of their images that no run can change.

    Returns:
        hexadecimal, by what it is of: images, labels, sizes, true boxes; the order does not count

    Raises:
        ResultError: records of something else
    """
    with trusting(results.folder):
        rows = sorted(results.rows.items())
        digests = {}
        for what, keys in _TRUTH.items():
            values = [(image_id, *map(row.get, keys)) for image_id, row in rows]
            text = dumps(values).encode("utf-8", "surrogateescape")
            digests[what] = hashlib.sha256(text).hexdigest()
    return digests


def _check_weights(variant: ScoringVariant, results: Results) -> None:
    told = results.scores.get("weights_sha256")
    if told != variant.weights_sha256:
        raise ResultError(
            f"{results.folder}: expected scores of the weights {variant.weights_sha256} but they "
            f"are of {told} (weights_sha256)"
        )


def unreadable_rows(results: Results) -> dict[str, str]:
    """Give by id why images could not be read."""
    rows = results.rows.items()
    return {image_id: row["unreadable"] for image_id, row in rows if row.get("unreadable")}


def _check(variant: ScoringVariant, results: Results, rules: Protocol, scoring: Scoring) -> None:
    """Refuse scores of other rules than are wanted."""
    plain = loads(dumps(asdict(rules)))
    for name, then, now in (
        ("protocol", results.scores.get("choices"), plain),
        ("split", results.scores.get("split"), scoring.split),
        ("class map", results.scores.get("class_map"), rules.class_map),
        ("image", results.scores.get("image"), rules.image),
        ("size", variant.size, scoring.size),
        ("precision", results.scores.get("precision") or "float32", scoring.precision),
        ("smooth", results.scores.get("smooth") or "none", scoring.smooth),
        ("split to choose on", variant.choose, scoring.choose),
    ):
        if isinstance(then, dict) and isinstance(now, dict):
            then, now = ({**each, "source": ""} for each in (then, now))
        if then != now:
            raise ResultError(f"{results.folder}: expected {name} {now!r} but it was {then!r}")
