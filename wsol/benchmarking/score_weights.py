"""Scoring one model's weights in every variant that an experiment asks for, each kept on disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.protocols import find_protocol
from tdam import create_model, load_checkpoint
from tdam.events import SILENT, Events, working
from tdam.named_weights import is_named
from tdam.spec import describe_network
from wsol.benchmarking.own_word import check_own_word
from wsol.benchmarking.score_store import (
    CHOSEN,
    SCORED,
    ScoringVariant,
    read_run_scores,
    remove_variants,
    write_variants,
)
from wsol.classes import class_names
from wsol.evaluation.comparison import ResultError, check_sums, read_results
from wsol.evaluation.finished_pass import is_scored
from wsol.evaluation.image_results import discard_results, name_results
from wsol.evaluation.kept_maps import MapKeeper
from wsol.evaluation.network_maps import NetworkMaps
from wsol.evaluation.resume_file import ResumeError
from wsol.evaluation.score_maps import score_maps
from wsol.maps.names import settle_method
from wsol.report import choose_images

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eval.protocols import Protocol
    from eval.splits import Split
    from tdam.backbones.base import Backbone
    from wsol.benchmarking.experiment import Entry, Scoring
    from wsol.benchmarking.replicates import RunScores

MAPS = "shown-maps"  # of the images that a page shows, in the folder of a run's scores


@dataclass(frozen=True)
class Images:
    """What is scored.

    Args:
        scored: split that is reported
        chooser: images that thresholds are chosen on, or None
        root: folder that the ids are relative to
        find_classes: gives, for the outputs' names, the index among them by label, or None
            where labels and outputs do not fit
        overlaps: what the scores have to tell of images that are not only scored; None where that
            is not known
        trained_classes: names of the classes that the data has for a training, by label; None
            where they are not known, or where nothing is trained
    """

    scored: Split
    chooser: Split | None
    root: Path
    find_classes: Callable[[tuple[str, ...]], Mapping[int, int] | None]
    overlaps: tuple[str, ...] | None = ()
    trained_classes: tuple[str, ...] | None = None


def build_network(
    entry: Entry,
    weights: str,
    output_stride: int,
    size: int,
    class_names: tuple[str, ...] | None = None,
) -> Backbone:
    """Build a network as it is scored.

    Args:
        entry: the model; tells the network of weights by name
        weights: one of `tdam.named_weights.NAMED_WEIGHTS`, a file, or the folder of a run
        output_stride: 0 for the weights' own
        size: side of the input, in pixels; 0 for the weights' own
        class_names: `Images.trained_classes`

    Raises:
        ValueError: weights of no registered network, or of another one than the model is
        tdam.weights.WeightsError: weights that cannot be had or read
    """
    stride: dict[str, Any] = {"output_stride": output_stride} if output_stride else {}
    if is_named(weights):
        names = ("attention", "steps", "distance", "searchlight", "dilated")
        settings = {name: getattr(entry.recipe, name) for name in names}
        model = create_model(entry.recipe.model, weights=weights, **settings, **stride)
    else:
        model, info = load_checkpoint(weights, **stride)
        check_own_word(entry, weights, model, info, class_names, tuple(stride))
    if size:
        shown = replace(model.spec.preprocessing, size=size)
        model.spec = replace(model.spec, preprocessing=shown)
    return model


def score_weights(
    entry: Entry,
    seed: int,
    weights: str,
    images: Images,
    scoring: Scoring,
    out: Path,
    *,
    shows: bool = False,
    device: str = "auto",
    batch_size: int = 32,
    workers: int = 2,
    events: Events = SILENT,
) -> tuple[list[RunScores], Path]:
    """Score weights in every variant; scores made earlier from the same weights are kept.

    All threshold rules share the same maps, since each image's outcome is kept at every threshold.

    Args:
        entry: the model
        seed: of the run
        weights: as for `build_network`
        images: to score, and to choose thresholds on
        scoring: the variants
        out: folder for the scores of this model and seed
        shows: whether to keep the maps of the first variant for a report
        device: that the network runs on
        batch_size: images at once
        workers: threads that read images and score maps
        events: told of each new pass over a split, as a task

    Returns:
        the scores of the run, and the folder of the first variant's results

    Raises:
        ValueError: weights, labels or rules that do not fit
        tdam.weights.WeightsError: weights that cannot be had or read
    """
    rules = find_protocol(scoring.protocol)
    primary = find_primary(scoring, images)
    variants: list[ScoringVariant] = []
    for wanted_stride in scoring.output_strides:
        network = build_network(entry, weights, wanted_stride, scoring.size, images.trained_classes)
        settings: dict[str, Any] = network.settings
        outputs, stride = settings["num_classes"], settings["output_stride"]
        names = class_names(outputs, network.class_names)
        source = NetworkMaps(
            network,
            images.scored,
            images.root,
            network.spec.method,
            classes=images.find_classes(names),
            class_map=rules.class_map,
            image=rules.image,
            batch_size=batch_size,
            workers=workers,
            device=device,
            overlaps=images.overlaps,
            precision=scoring.precision,
        )
        for wanted in scoring.methods:
            method = settle_method(wanted, network)
            chooses = images.chooser is not None and "val" in scoring.thresholds
            variant = ScoringVariant(
                wanted=(wanted, wanted_stride),
                method=method,
                output_stride=stride,
                chooses=chooses,
                choose=scoring.choose,
                size=scoring.size,
                weights_sha256=source.origin["weights_sha256"],
            )
            source = replace(source, method=method)
            text = f"{entry.name}, {method}, stride {stride}"
            level: float | None = None
            missed: tuple[str, ...] = ()
            if chooses and images.chooser is not None:
                on = replace(source, split=images.chooser)
                chosen = _score_once(
                    on, rules, "oracle", out / variant.folder / CHOSEN, text, events
                )
                level = chosen["max_box_acc_threshold"]
                missed = tuple(chosen["unreadable"]) if primary == "val" else ()
            asked = {"val": level, "own": None}.get(str(primary), primary)
            results = out / variant.folder / SCORED
            rule = "val" if primary == "val" else None
            keep = shows and not variants
            _score_once(source, rules, asked, results, text, events, rule, keep, missed)
            labels = dict(enumerate(images.scored.class_names or ()))
            name_results(results, f"{describe_network(settings)}, {method}", labels, names)
            variants.append(variant)
    write_variants(out, variants)
    return read_run_scores(out, entry.name, seed, rules, scoring)


def find_primary(scoring: Scoring, images: Images) -> Any:
    """Name the rule of results on disk and of pages: the first one that can be followed.

    Raises:
        ValueError: there is none
    """
    followed = [rule for rule in scoring.thresholds if rule != "val" or images.chooser is not None]
    if not followed:
        raise ValueError(
            "Expected boxes to choose a threshold on, in a split of its own or among the images "
            "held out in training; without them another rule than val is needed"
        )
    return followed[0]


def _score_once(
    source: NetworkMaps,
    rules: Protocol,
    threshold: Any,
    folder: Path,
    text: str,
    events: Events,
    rule: str | None = None,
    keep: bool = False,
    missed: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Score a split, unless all that its scores depend on is as it was; gives the scores."""
    keeper = None
    if keep:
        ids = source.split.ids
        keeper = MapKeeper(folder / MAPS, ids, choose_images(ids), rules.levels, rules.rounding)
    kept = _read_kept(source, rules, threshold, folder, rule, keeper)
    if kept is not None:
        return kept
    remove_variants(folder.parents[1])  # until all variants are of the same weights again

    def score() -> None:
        with working(events, f"score {text}, {source.split.name}", len(source.split)):
            score_maps(
                source,
                [rules],
                [threshold],
                rule=rule,
                workers=source.workers,
                out=folder,
                keep=keeper,
                unreadable_chosen_on=missed,
                events=events,
            )

    try:
        score()
    except ResumeError:  # cut off with other weights, which are gone
        discard_results(folder)
        score()
    return read_results(folder, slim=True).scores


def _read_kept(
    source: NetworkMaps,
    rules: Protocol,
    threshold: Any,
    folder: Path,
    rule: str | None,
    keeper: MapKeeper | None,
) -> dict[str, Any] | None:
    """Read scores that count as they are: of the same images, weights and rules, all readable."""
    if not is_scored(source, [rules], [threshold], folder, rule=rule, keep=keeper):
        return None
    try:
        results = read_results(folder)
        check_sums(results)
    except ResultError:  # somebody removed, broke or changed a file
        return None
    missed = results.scores["unreadable"] or results.scores.get("unreadable_chosen_on")
    return None if missed else results.scores
