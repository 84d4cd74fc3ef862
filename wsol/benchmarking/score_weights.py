"""Scoring one model's weights in every variant that an experiment asks for, each kept on disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.parsing import read_json
from tdam import create_model, load_checkpoint
from tdam.events import SILENT, Events, working
from tdam.named_weights import is_named
from tdam.spec import describe_network
from tdam.strict_json import dumps, loads
from wsol.benchmarking.own_word import check_own_word
from wsol.benchmarking.passes import group_protocols, name_view
from wsol.benchmarking.replicates import round_to_grid
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
from wsol.evaluation.pass_header import describe_pass
from wsol.evaluation.resume_file import ResumeError
from wsol.evaluation.score_maps import score_maps
from wsol.evaluation.threshold_rules import BEFOREHAND, ENOUGH, UNLABELLED, VAL
from wsol.evaluation.unlabelled import choose_unlabelled
from wsol.maps.names import settle_method
from wsol.out_files import make_folder, write_file
from wsol.report import choose_images

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from eval.protocols import Protocol
    from eval.splits import Split
    from tdam.backbones.base import Backbone
    from wsol.benchmarking.experiment import Entry, Scoring
    from wsol.benchmarking.replicates import RunScores
    from wsol.evaluation.comparison import Results
    from wsol.evaluation.folder_maps import FolderMaps

LOOKED = "unlabelled.json"  # the threshold that images ask for, and what it was found by
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

    All threshold rules share the same maps, since each image's outcome is kept at every threshold,
    and so do protocols that show the network the same of an image.

    Args:
        entry: the model
        seed: of the run
        weights: as for `build_network`
        images: to score, and to choose thresholds on
        scoring: protocols and variants
        out: folder for the scores of this model and seed
        shows: whether to keep the first protocol's maps of the first variant for a report
        device: that the network runs on
        batch_size: images at once
        workers: threads that read images and score maps
        events: told of each new pass over a split, as a task

    Returns:
        the scores of the run, and the folder of the first results

    Raises:
        ValueError: weights, labels or rules that do not fit
        tdam.weights.WeightsError: weights that cannot be had or read
    """
    primary = find_primary(scoring, images)
    chooser = images.chooser if VAL in scoring.thresholds else None
    variants: list[ScoringVariant] = []
    for wanted_stride in scoring.output_strides:
        network = build_network(entry, weights, wanted_stride, scoring.size, images.trained_classes)
        settings: dict[str, Any] = network.settings
        outputs, stride = settings["num_classes"], settings["output_stride"]
        names = class_names(outputs, network.class_names)
        for rules in group_protocols(scoring.rules):
            source = NetworkMaps(
                network,
                images.scored,
                images.root,
                network.spec.method,
                classes=images.find_classes(names),
                class_map=rules[0].class_map,
                image=rules[0].image,
                batch_size=batch_size,
                workers=workers,
                device=device,
                overlaps=images.overlaps,
                precision=scoring.precision,
                smooth=scoring.smooth,
            )
            for wanted in scoring.methods:
                method = settle_method(wanted, network)
                of_pass = [
                    ScoringVariant(
                        wanted=(wanted, wanted_stride),
                        method=method,
                        output_stride=stride,
                        chooses=chooser is not None,
                        choose=scoring.choose,
                        size=scoring.size,
                        weights_sha256=source.origin["weights_sha256"],
                        protocol=each.name if scoring.several else "",
                        view=name_view(each) if scoring.several else "",
                    )
                    for each in rules
                ]
                source = replace(source, method=method)
                source.check_views()
                text = f"{entry.name}, {method}, stride {stride}"
                if scoring.several:
                    text += f", {' and '.join(each.name for each in rules)}"
                scored = ScorePass(out, rules, of_pass, text, events)
                found = scored.look(source) if UNLABELLED in scoring.thresholds else None
                scored.follow(
                    primary, source, None if chooser is None else replace(source, split=chooser),
                    shows and not variants, found,
                )  # fmt: skip
                labels = dict(enumerate(images.scored.class_names or ()))
                what = f"{describe_network(settings)}, {method}"
                name_results(scored.folder(SCORED), what, labels, names)
                variants += [replace(each, unlabelled=found) for each in of_pass]
    write_variants(out, variants)
    return read_run_scores(out, entry.name, seed, scoring)


def list_followed(scoring: Scoring, images: Images) -> list[Any]:
    """List the threshold rules that can be followed, for want of images to choose on or not."""
    return [rule for rule in scoring.thresholds if rule != VAL or images.chooser is not None]


def find_primary(scoring: Scoring, images: Images) -> Any:
    """Name the rule of results on disk and of pages: the first one that can be followed.

    Raises:
        ValueError: there is none, or too few images for a rule
    """
    if UNLABELLED in scoring.thresholds and len(images.scored) < ENOUGH:
        raise ValueError(
            f"Expected at least {ENOUGH} images for the rule {UNLABELLED} but got "
            f"{len(images.scored)}"
        )
    followed = list_followed(scoring, images)
    if not followed:
        raise ValueError(
            "Expected boxes to choose a threshold on, in a split of its own or among the images "
            "held out in training; without them another rule than val is needed"
        )
    return followed[0]


@dataclass(frozen=True)
class ScorePass:
    """One network, one map method, and the protocols that are scored on the same maps.

    Args:
        home: folder for the scores of the run
        rules: the protocols
        variants: one a protocol
        text: names it, for a task
        events: told of each new pass over a split
    """

    home: Path
    rules: Sequence[Protocol]
    variants: Sequence[ScoringVariant]
    text: str
    events: Events

    def folder(self, part: str) -> Path:
        """Tell where the scores of a part go: of several protocols, to one folder each in it."""
        results = self.home / self.variants[0].results(part)
        return results if len(self.rules) == 1 else results.parent

    def follow(
        self,
        primary: Any,
        source: NetworkMaps | FolderMaps,
        chooser: NetworkMaps | FolderMaps | None,
        keep: bool = False,
        found: float | None = None,
    ) -> None:
        """Score the maps of a split under a rule, after those that thresholds are chosen on.

        Args:
            primary: the rule, as `find_primary` names it
            source: of the maps to score
            chooser: of the maps that thresholds are chosen on; None where nothing is chosen
            keep: whether to keep the first protocol's maps for a report
            found: threshold of the rule `unlabelled`; None where nobody asked
        """
        levels: list[Any] = [None] * len(self.rules)
        missed: tuple[str, ...] = ()
        if chooser is not None:
            chosen = self.score(CHOSEN, chooser, ["oracle"] * len(self.rules))
            levels = [each["max_box_acc_threshold"] for each in chosen]
            missed = tuple(chosen[0]["unreadable"]) if primary == VAL else ()
        if primary == UNLABELLED and found is not None:
            asked: list[Any] = [round_to_grid(rules, found) for rules in self.rules]
        else:
            asked = [{VAL: level, "own": None}.get(str(primary), primary) for level in levels]
        self.score(SCORED, source, asked, primary if primary in BEFOREHAND else None, keep, missed)

    def look(self, source: NetworkMaps) -> float:
        """Find the threshold that images ask for without a box, unless it is known from before.

        Args:
            source: of the maps to score

        Returns:
            a share of the maps' range, of no protocol's grid

        Raises:
            ValueError: fewer images than say something, or no map that shows something
        """
        path = self.home / self.variants[0].folder / LOOKED
        header = loads(dumps(describe_pass(source, (), (), None, None, None)))
        try:
            kept = read_json(path)
            if kept["of"] == header and 0 <= kept["threshold"] <= 1:
                return float(kept["threshold"])
        except (OSError, LookupError, TypeError, ValueError):  # not there, or of something else
            pass
        chosen = choose_unlabelled(source, self.events, f"look at {self.text} without boxes")
        make_folder(path.parent)
        told = {"threshold": chosen.threshold, "interval": chosen.interval, "of": header}
        write_file(path, dumps(told, indent=1) + "\n")
        return chosen.threshold

    def score(
        self,
        part: str,
        source: NetworkMaps | FolderMaps,
        thresholds: Sequence[Any],
        rule: str | None = None,
        keep: bool = False,
        missed: tuple[str, ...] = (),
    ) -> list[dict[str, Any]]:
        """Score a split, unless all that its scores depend on is as it was.

        Args:
            part: `CHOSEN` or `SCORED`
            source: of the maps
            thresholds: one a protocol
            rule: that gave them
            keep: also keep the maps that a page shows
            missed: what could not be read of the images that the thresholds are from

        Returns:
            the scores, one record a protocol
        """
        folder, keeper = self.folder(part), None
        if keep:
            maps, ids = self.home / self.variants[0].results(part) / MAPS, source.split.ids
            first = self.rules[0]
            keeper = MapKeeper(maps, ids, choose_images(ids), first.levels, first.rounding)
        kept = self._read_kept(part, source, thresholds, rule, keeper)
        if kept is not None:
            return kept
        remove_variants(self.home)  # until all variants are of the same weights again

        def score() -> None:
            task = f"score {self.text}, {source.split.name}"
            with working(self.events, task, len(source.split)):
                score_maps(
                    source,
                    self.rules,
                    thresholds,
                    rule=rule,
                    workers=source.workers,
                    out=folder,
                    keep=keeper,
                    unreadable_chosen_on=missed,
                    events=self.events,
                )

        try:
            score()
        except ResumeError:  # cut off with other weights, which are gone
            discard_results(folder)
            score()
        return [results.scores for results in self._read(part, slim=True)]

    def _read(self, part: str, slim: bool = False) -> list[Results]:
        return [read_results(self.home / each.results(part), slim=slim) for each in self.variants]

    def _read_kept(
        self,
        part: str,
        source: NetworkMaps | FolderMaps,
        thresholds: Sequence[Any],
        rule: str | None,
        keeper: MapKeeper | None,
    ) -> list[dict[str, Any]] | None:
        """Read scores that count as they are: of the same images, weights and rules, all there."""
        if not is_scored(source, self.rules, thresholds, self.folder(part), rule=rule, keep=keeper):
            return None
        try:
            every = self._read(part)
            for results in every:
                check_sums(results)
        except ResultError:  # somebody removed, broke or changed a file
            return None
        scores = [results.scores for results in every]
        missed = (each["unreadable"] or each.get("unreadable_chosen_on") for each in scores)
        return None if any(missed) else scores
