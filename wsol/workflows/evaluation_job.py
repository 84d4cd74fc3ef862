"""An evaluation from its first check to its last file, whatever the maps come from.

`open_job` checks all that can be checked before a network runs, and makes room for the results;
`EvaluationJob.run` chooses thresholds, scores, and writes down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from eval.manifest import DataSet, ManifestError, Split
from eval.protocols import ClassMap, Protocol
from tdam.events import working
from wsol.errors import ArgumentError, about
from wsol.evaluation.exports import export_boxes, score_coco
from wsol.evaluation.finished_pass import finished_thresholds
from wsol.evaluation.image_results import CHOSEN, discard_results, name_results
from wsol.evaluation.label_scorer import has_labels_only
from wsol.evaluation.map_files import MapWriter
from wsol.evaluation.map_source import MapError
from wsol.evaluation.pass_header import describe_pass
from wsol.evaluation.resume_file import (
    SETTINGS,
    ResumeError,
    has_records,
    hold_settings,
    is_unfinished,
    release_settings,
)
from wsol.evaluation.score_maps import score_maps, settle_threshold
from wsol.evaluation.threshold_rules import UNLABELLED, VAL
from wsol.evaluation.unlabelled import choose_unlabelled
from wsol.out_folders import free_folder, writing
from wsol.overlap import check_apart, list_sets
from wsol.training.image_list import find_weights_file, list_unknown, read_image_sets
from wsol.workflows.evaluation_data import check_seen, find_masks, load_truth, open_data
from wsol.workflows.evaluation_options import (
    Wanted,
    check_outputs,
    check_threshold,
    find_protocols,
)
from wsol.workflows.report_job import ReportJob, free_report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wsol.evaluation.map_source import MapSource
    from wsol.evaluation.network_maps import NetworkMaps
    from wsol.evaluation.result import Evaluation
    from wsol.workflows.any_step_job import AnyStepJob


@dataclass(frozen=True, eq=False)
class EvaluationJob:
    """An evaluation that can begin.

    Args:
        wanted: of it
        protocols: at least one
        class_map: whose map
        data: the data set; None for splits that came as such
        root: of the images; None where it is not known or not asked for
        scored: split to score
        chooser: split to choose thresholds on, or None
        network: what `load` gave, or None
        partner: what `load_partner` gave, or None
        overlaps: what the scores have to tell of shared images; None where it is not known
        out: folder for results, free or with an unfinished run
        save: of maps, or None
        report: of the page, or None
    """

    wanted: Wanted
    protocols: tuple[Protocol, ...]
    class_map: ClassMap
    data: DataSet | None
    root: Path | None
    scored: Split
    chooser: Split | None
    network: Any
    partner: Any
    overlaps: tuple[str, ...] | None
    out: Path | None
    save: MapWriter | None
    report: ReportJob | None

    @property
    def image_root(self) -> Path:
        """Folder that the ids are relative to, for those who read images.

        Raises:
            ArgumentError: it is not known
        """
        if self.root is None:
            raise ArgumentError("root", "needed to find the images")
        return self.root

    @property
    def known_root(self) -> Path | None:
        """Folder that the ids are relative to, as was asked for or as the data have it."""
        return self.root or (None if self.data is None else self.data.root)

    @property
    def splits(self) -> list[Split]:
        """The split to score and, where there is one, that to choose on."""
        return [self.scored] if self.chooser is None else [self.scored, self.chooser]

    def run(
        self,
        sources: Sequence[MapSource],
        subject: str,
        outputs: Mapping[int, int] | None,
        names: Sequence[str],
        labels: dict[int, str],
        by_network: bool,
        by_number: str = "",
        any_step: AnyStepJob | None = None,
    ) -> list[Evaluation]:
        """Choose thresholds, score, and write down.

        Args:
            sources: of the maps, one for each of `splits`
            subject: what is scored, in a line
            outputs: index among the network's outputs by label, or None
            names: of the network's outputs or, without one, of the classes
            labels: class names by label
            by_network: whether a network makes the maps
            by_number: what to tell where labels are taken for the outputs' numbers
            any_step: judges the guesses of every step, where that is wanted

        Returns:
            one record a protocol
        """
        wanted, out = self.wanted, self.out
        results = self.report.results if out is None and self.report is not None else out
        keeper = None
        if self.report is not None:
            keeper = self.report.keeper(self.scored, self.protocols[0])
        levels: list[Any] = [wanted.threshold] * len(self.protocols)
        unreadable: tuple[str, ...] = ()
        source, others = sources[0], list(sources[1:])
        if any_step is not None:
            source, others = any_step.source, [*others, *any_step.list_choosers()]
        self._begin(source, others)
        if self.chooser is not None:
            levels, unreadable = self.choose(sources[1])
        elif wanted.threshold == UNLABELLED:
            with about("threshold"):  # of a network's maps, as was checked
                chosen = choose_unlabelled(cast("NetworkMaps", sources[0]), wanted.events)
            levels = [chosen.threshold] * len(self.protocols)
        options: dict[str, Any] = {
            "rule": self._rule,
            "keep": keeper,
            "unreadable_chosen_on": unreadable,
        }
        if any_step is not None:
            options["kind"] = any_step.kind(self, levels)
        scored = self._score(source, levels, out=results, save=self.save, **options)
        if out is not None:
            release_settings(out)
        evaluations = [replace(each, subject=subject) for each in scored]
        if results is not None:
            outputs_named = names if by_network else None
            name_results(results, subject, labels, outputs_named, by_number, self.known_root)
        if out is not None and (wanted.formats or wanted.coco):
            of_formats = wanted.format_options
            export_boxes(out, wanted.formats, names, self.root, of_formats, wanted.events)
        if out is not None and wanted.coco:
            coco = score_coco(out, self.scored, outputs)
            evaluations = [replace(each, coco=coco) for each in evaluations]
        if self.report is not None and keeper is not None and results is not None:
            self.report.write(results, keeper, sources[0], self.known_root, wanted.events)
        return evaluations

    @property
    def _rule(self) -> str | None:
        """Name of the rule that gives thresholds before the maps are scored, or None."""
        if self.chooser is not None:
            return VAL
        return UNLABELLED if self.wanted.threshold == UNLABELLED else None

    def _begin(self, source: MapSource, choosers: Sequence[MapSource]) -> None:
        """Hold everything that the scores depend on against an unfinished run, or write it down.

        Args:
            source: of the maps to score
            choosers: of all maps that thresholds are chosen by
        """
        if self.out is None:
            return
        threshold, rule = self.wanted.threshold, self._rule
        levels = [
            threshold if rule is not None else settle_threshold(rules, threshold)
            for rules in self.protocols
        ]
        masks = find_masks(self.wanted, self.root, self.data)
        describe = partial(describe_pass, protocols=self.protocols, mask_root=masks, save=self.save)
        chosen_on = [describe(each, thresholds=["oracle"], rule=None) for each in choosers]
        settings = {**describe(source, thresholds=levels, rule=rule), "chosen_on": chosen_on}
        goes_on = any(map(has_records, (self.out, *self.out.glob(f"{CHOSEN}*"))))
        hold_settings(self.out, settings, goes_on)
        if goes_on:
            self.wanted.events.say(f"going on with the unfinished run in {self.out}")

    def choose(self, source: MapSource, name: str = CHOSEN) -> tuple[list[Any], tuple[str, ...]]:
        """Find the best thresholds on other images, unless they were found before.

        Args:
            source: of the maps of these images
            name: of the folder of the results, in that of all results; begins with `CHOSEN`

        Returns:
            one threshold a protocol, None for masks; and what could not be read
        """
        folder = None if self.out is None else self.out / name
        save = self.save if name == CHOSEN else None  # maps of other steps would take their place
        if folder is not None and source.split.masks is None:
            known = finished_thresholds(source, self.protocols, folder, save)
            if known is not None:
                return known, ()
        best = self._score(source, ["oracle"] * len(self.protocols), out=folder, save=save)
        levels = [getattr(each.result, "max_box_acc_threshold", None) for each in best]
        return levels, best[0].unreadable

    def _score(
        self, source: MapSource, levels: list[Any], *, out: Path | None, **options: Any
    ) -> list[Evaluation]:
        """Score the maps of a source, told as a task."""
        events = self.wanted.events
        mask_root = find_masks(self.wanted, self.root, self.data)
        try:
            with working(events, f"evaluate {source.split.name}", len(source.split)):
                return score_maps(
                    source,
                    self.protocols,
                    levels,
                    mask_root=mask_root,
                    workers=self.wanted.workers,
                    out=out,
                    events=events,
                    **options,
                )
        except (ManifestError, MapError, ResumeError, ArgumentError):
            raise
        except ValueError as error:
            argument = "classes" if "class table" in str(error) else "data"
            raise ArgumentError(argument, str(error)) from error


def open_job(
    data: Split | DataSet | str | Path,
    root: str | Path | None,
    choose: str | Split,
    wanted: Wanted,
    load: Callable[[], Any] | None,
    load_partner: Callable[[], Any] | None = None,
    maps: Path | None = None,
) -> EvaluationJob:
    """Check what is wanted, read the splits, and make room for the results.

    Args:
        data: as for `evaluate`
        root: of the images
        choose: split to choose thresholds on, or its name
        wanted: of the evaluation
        load: gives the network, once all else is checked, and before anything is removed; None
            where maps on disk are scored, so that images need not be there
        load_partner: gives the network that has as many guesses, or None
        maps: folder of those on disk, where these are scored

    Raises:
        ArgumentError: an argument that cannot be used
        ManifestError: a fault in the data set, or files that the processes of a job do not all
            see alike
        OverlapError: images that are scored and also chosen by or trained on
    """
    protocols = find_protocols(wanted.protocol)
    wanted = replace(wanted, threshold=check_threshold(wanted, choose))
    if wanted.class_map not in (None, *get_args(ClassMap)):
        names = " or ".join(get_args(ClassMap))
        raise ArgumentError(
            "class_map", f"Expected class_map to be {names} but got {wanted.class_map!r}"
        )
    wanted = replace(wanted, formats=check_outputs(wanted, protocols))
    out = None if wanted.out is None else Path(wanted.out)
    save = None
    if out is not None and wanted.save_maps is not None:
        with about("save_maps"):
            save = MapWriter(out / "maps", wanted.save_maps)
    opened, home = open_data(data, root, of_maps=load is None)
    for argument, folder in (("root", home), ("mask_root", wanted.mask_root)):
        if folder is not None and not Path(folder).is_dir():
            raise ArgumentError(argument, f"{folder}: no such folder")
    scored, chooser = load_truth(data if opened is None else opened, choose, wanted, protocols)
    labels_only = has_labels_only(scored)
    if load is None and wanted.threshold == UNLABELLED:
        raise ArgumentError("threshold", "unlabelled needs the network that the maps are of")
    if labels_only and load is None:
        raise ArgumentError("data", f"Expected split {scored.name} to have boxes but it has none")
    network = partner = None
    if load is not None and home is not None:
        check_root(scored, home)
        network = load()
        partner = None if load_partner is None else load_partner()
    images = home or (None if opened is None else opened.root)
    weights = [find_weights_file(each) for each in (network, partner)]
    trained_on = [sets for each in weights for sets in read_image_sets(each)]
    overlaps = check_apart(
        [*list_sets(scored, chooser, images), *trained_on],
        wanted.allow_overlap,
        wanted.events,
        [name for each in weights for name in list_unknown(each)],
    )
    check_seen((scored, chooser), home, maps, find_masks(wanted, home, opened))
    goes_on = out is not None and _free_results(out, wanted)
    report = None
    if wanted.report is not None:
        report = free_report(Path(wanted.report), wanted.force, out=out, goes_on=goes_on)
    class_map = wanted.class_map or protocols[0].class_map
    if labels_only:
        wanted.events.say(f"{scored.name} has no boxes: classes are scored, nothing is localized")
        class_map = "ground_truth"  # which the classes are held against
    return EvaluationJob(
        wanted=wanted,
        protocols=protocols,
        class_map=class_map,  # type: ignore[arg-type]
        data=opened,
        root=home,
        scored=scored,
        chooser=chooser,
        network=network,
        partner=partner,
        overlaps=overlaps,
        out=out,
        save=save,
        report=report,
    )


def _free_results(out: Path, wanted: Wanted) -> bool:
    """Make room for results, or tell that an unfinished run is left as it is, to go on."""
    chosen = out / CHOSEN
    with about("out"), writing(out):
        if wanted.force:
            discard_results(free_folder(out, force=True))
            for folder in (chosen, *out.glob(f"{CHOSEN}-*")):
                discard_results(folder)
        begun = is_unfinished(out) or is_unfinished(chosen) or (chosen / SETTINGS).is_file()
        goes_on = begun and not (out / SETTINGS).is_file()
        free_folder(out, begun=wanted.force or goes_on)
    return goes_on


def check_root(split: Split, root: Path) -> None:
    """Refuse an image root below which none of a split's images lies.

    Raises:
        ArgumentError: there is none
    """
    if split.ids and not any((root / image_id).is_file() for image_id in split.ids):
        raise ArgumentError(
            "root", f"none of {len(split.ids)} images lies below {root}, such as {split.ids[0]}"
        )
