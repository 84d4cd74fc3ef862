"""The scores of one run on disk, in every variant that was asked for, and their replicates."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from eval.parsing import read_json
from tdam.strict_json import dumps, loads
from wsol.benchmarking.replicates import RunScores, score_rules
from wsol.evaluation.comparison import ResultError, check_sums, read_results, trusting
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
    """

    wanted: tuple[str, int]
    method: str
    output_stride: int
    chooses: bool
    choose: str
    size: int
    weights_sha256: str | None = None

    @property
    def folder(self) -> str:
        """Name of its folder among a run's scores."""
        return f"{self.method}-{self.output_stride}"


def write_variants(folder: Path, variants: Sequence[ScoringVariant]) -> None:
    """Write down the variants that a run was scored in, once all of them are on disk."""
    text = dumps([asdict(variant) for variant in variants], indent=1)
    write_file(folder / VARIANTS, text + "\n")


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
            if type(each.size) is not int or PurePath(method).name != method:
                raise TypeError("variants of something else")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultError(f"{folder}: expected scores of a run but {VARIANTS}: {error}") from error
    hashes = {variant.weights_sha256 for variant in variants}
    if not variants or len(hashes) > 1:
        what = f"of {len(hashes)} different weights" if variants else "none"
        raise ResultError(f"{folder}: expected scores of one set of weights but they are {what}")
    return variants


def read_run_scores(
    folder: Path, model: str, seed: int, rules: Protocol, scoring: Scoring
) -> tuple[list[RunScores], Path]:
    """Take the replicates of a run from its scores on disk.

    Args:
        folder: of the scores
        model: name
        seed: of the run
        rules: protocol that was scored under
        scoring: variants and threshold rules that are wanted

    Returns:
        one record a variant and threshold rule, and the folder of the first variant's results

    Raises:
        ResultError: no scores, or those of another variant, split or protocol than is wanted
        ValueError: a threshold between those of the protocol's grid
    """
    known = {variant.wanted: variant for variant in read_variants(folder)}
    run_scores: list[RunScores] = []
    folders: list[Path] = []
    for stride in scoring.output_strides:
        for method in scoring.methods:
            variant = known.get((method, stride))
            if variant is None:
                raise ResultError(
                    f"{folder}: expected scores with method {method} and output stride {stride} "
                    f"but there are {', '.join(each.folder for each in known.values())}"
                )
            scored = folder / variant.folder / SCORED
            folders.append(scored)
            results = read_results(scored)
            _check(variant, results, rules, scoring)
            _check_weights(variant, results)
            level, missed = None, {}
            if variant.chooses:
                chosen = read_results(folder / variant.folder / CHOSEN, slim=True)
                _check_weights(variant, chosen)
                level, missed = chosen.scores["max_box_acc_threshold"], _unreadable(chosen)
            try:
                taken = score_rules(results, rules, scoring, level)
            except (KeyError, TypeError, IndexError) as error:
                raise ResultError(f"{scored}: expected scores of a run but {error!r}") from error
            overlaps = results.scores.get("overlaps", ())  # older records have none
            run_scores += [
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
                    overlaps=None if overlaps is None else tuple(map(str, overlaps)),
                    unreadable=_unreadable(results),
                    unreadable_chosen_on=missed,
                )
                for name, at, replicates in taken
            ]
    return run_scores, folders[0]


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
            results = read_results(folder / variant.folder / part)
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
            network = (part, f"stride {variant.output_stride}")  # whatever its maps are made by
            if shared.setdefault(network, classes) != classes:
                raise ResultError(
                    f"{results.folder}: expected the predicted classes and ranks that the other "
                    "methods have with the same stride"
                )
            level = results.scores["threshold"]
            if part == CHOSEN:
                best = results.scores["max_box_acc_threshold"]
            elif best is not None and level["rule"] == "val" and level["value"] != best:
                raise ResultError(
                    f"{results.folder}: expected the threshold {best} that was chosen but it is "
                    f"{level['value']}"
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


def _unreadable(results: Results) -> dict[str, str]:
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
        ("split to choose on", variant.choose, scoring.choose),
    ):
        if isinstance(then, dict) and isinstance(now, dict):
            then, now = ({**each, "source": ""} for each in (then, now))
        if then != now:
            raise ResultError(f"{results.folder}: expected {name} {now!r} but it was {then!r}")
