"""Scoring a data set: the maps of a network, or maps on disk, against true boxes or masks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.manifest import Split
from tdam.events import SILENT, Events
from wsol.data_ranges import tells_stretched
from wsol.errors import ArgumentError, about
from wsol.evaluation.folder_maps import FolderMaps
from wsol.evaluation.map_source import MapError
from wsol.evaluation.network_maps import NetworkMaps
from wsol.folder_lock import holds
from wsol.label_matching import BY_NUMBER, match_evaluated, name_labels
from wsol.networks import get_network, settle_input
from wsol.sharing import led
from wsol.text import count_things, list_few
from wsol.workflows.any_step_job import check_steps_rule, plan_any_step
from wsol.workflows.evaluation_data import list_other_ids, open_predictions
from wsol.workflows.evaluation_job import open_job
from wsol.workflows.evaluation_options import Wanted, one_or_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from torch import nn

    from eval.manifest import DataSet
    from eval.protocols import ClassMap
    from tdam.preprocessing import Preprocessing
    from wsol.evaluation.result import Evaluation
    from wsol.maps import MapExtractor
    from wsol.workflows.any_step_job import AnyStepJob, StepsRule
    from wsol.workflows.evaluation_job import EvaluationJob
    from wsol.workflows.evaluation_options import Protocols

_MAPS_WAY_OUT = (
    "With allow_missing those of images count as missed, and others names the images of other "
    "splits that have maps there"
)


@led
@holds("out", "report")
@tells_stretched
def evaluate(
    model: nn.Module | str | Path | Callable[[], nn.Module],
    data: Split | DataSet | str | Path,
    root: str | Path | None = None,
    *,
    split: str = "test",
    protocol: Protocols = "wsoleval",
    threshold: float | str | None = None,
    choose: str | Split = "val",
    method: str | type[MapExtractor] = "auto",
    layer: str | None = None,
    fc_layer: str | None = None,
    step: int | None = None,
    steps_rule: StepsRule = "last",
    partner: nn.Module | str | Path | Callable[[], nn.Module] | None = None,
    classes: Mapping[int, int] | str | Path | None = None,
    class_map: ClassMap | None = None,
    preprocessing: Preprocessing | None = None,
    mask_root: str | Path | None = None,
    out: str | Path | None = None,
    formats: Sequence[str] = (),
    zero_based: bool = False,
    save_maps: str | None = None,
    report: str | Path | None = None,
    coco: bool = False,
    batch_size: int = 32,
    workers: int = 2,
    device: str = "auto",
    precision: str = "float32",
    channels_last: bool | None = None,
    smooth: str = "none",
    allow_overlap: bool = False,
    force: bool = False,
    events: Events = SILENT,
) -> Evaluation | list[Evaluation]:
    """Score a network's localizations.

    Started by torchrun, every process calls this and scores its part; the first one writes.

    Args:
        model: any network; the file, run or name of a checkpoint; the name of a network that comes
            with weights, or of another library's, `timm:NAME` or `torchvision:NAME`; or a function
            that gives a network, called once all else is checked
        data: as for `eval.manifest.open_data_set`, or a split of one; without true boxes and masks
            the classes alone are scored
        root: folder that the ids are relative to; None: as the data set has it
        split: such as `test`, or `val+test`
        protocol: name of a protocol, path of its TOML file, or the record itself; several of these
            score the same maps by the box rule of each; `all` for all that have a name
        threshold: share of the map's range; `oracle` for the best on the scored split itself;
            `val` for the best on `choose`; `unlabelled` for the one that the scored images ask
            for without their boxes; or None for the protocol's own if it has one, else `oracle`
        choose: name of the split that `val` chooses on; that split itself where `data` is one
        method: map method, by name or as a class; `auto` for the network's own
        layer: module that the maps are made of; None for the network's own, like the next
        fc_layer: the classifier's linear layer, which class activation maps need
        step: whose map and classes to score, 1 to T; None: the last
        steps_rule: `any` also scores by TDAM's published rule that any step may be right, each step
            with a threshold of its own, beside a partner with as many guesses; `last` does not
        partner: with `any`, as for `model`, mapped by `method` too; None: the own last step
        classes: index among the network's outputs by label, or the path of such a table (CSV with
            the columns label, imagenet1k_index); None: as data set and network tell by a
            `classes.csv`, by names, or by as many classes
        class_map: whose map to score; with `predicted`, labels need not fit the network, and what
            needs the true class is None; None: as the protocol has it
        preprocessing: what the network wants as input, as far as the protocol does not say
        mask_root: folder that mask paths are relative to; None: `root`
        out: folder for per-image results; a run that was cut off in it goes on
        formats: of boxes to write into `out`, names of writers
        zero_based: pixels of VOC files count from 0, for readers that do not subtract 1
        save_maps: write maps into `out`, as `float64`, `float16` or `uint8`
        report: folder for a page with tables, curves and pictures
        coco: whether to add COCO's AP and AR, which needs `out`
        batch_size: images at once
        workers: threads that read images and score maps
        device: `auto`, `cpu`, `cuda`, or any name that torch knows
        precision: of the network: `float32`, or by autocast `bfloat16`, `float16`; scores say so
        channels_last: memory layout of what it computes on; None for the faster one
        smooth: `flip` or `flip+scale` for a mean over views of an image, as for `Localizer`
        allow_overlap: score also images that the threshold is chosen on, or that the weights' run,
            as its folder tells, was trained on or chosen by; every result then says so
        force: overwrite what an earlier run wrote
        events: told of what is done

    Returns:
        the scores, with every choice that they depend on; a list, one for each protocol, where
        `protocol` names several

    Raises:
        wsol.errors.ArgumentError: a ValueError that says which argument cannot be used, and why
        eval.manifest.ManifestError: a fault in the data set, or images that are not only scored
        wsol.evaluation.resume_file.ResumeError: `out` holds an unfinished run with other settings
    """
    wanted = Wanted(
        split, protocol, threshold, class_map, mask_root, out, formats, save_maps, report, coco,
        workers, force, events, allow_overlap, steps_rule == "any", {"method": method != "auto",
        "layer": layer, "fc_layer": fc_layer, "smooth": smooth != "none"},
        {"zero_based": zero_based},
    )  # fmt: skip
    check_steps_rule(steps_rule, partner, step, layer)
    settings = _settle_settings(batch_size, workers, device, precision, channels_last, smooth)
    others = () if partner is None else (partial(get_network, partner),)
    job = open_job(data, root, choose, wanted, partial(get_network, model), *others)
    network = job.network
    preprocessing = settle_input(network, preprocessing, layer)
    subject, names, outputs, settled, note = _describe(network, job, method, layer, step, classes)
    if note:
        events.say(note)
    own = partial(
        NetworkMaps, network, method=settled, classes=outputs, preprocessing=preprocessing,
        layer=layer, fc_layer=fc_layer,
    )  # fmt: skip
    subject += _tell_arithmetic(settings)
    sources, any_step = _open_sources(job, own, settings, step, method, classes)
    labels = name_labels(job.scored, outputs, names)
    evaluations = job.run(
        sources, subject, outputs, names, labels, by_network=True,
        by_number=note if BY_NUMBER in note else "", any_step=any_step,
    )  # fmt: skip
    return one_or_all(evaluations, protocol)


def _settle_settings(
    batch_size: int,
    workers: int,
    device: str,
    precision: str,
    channels_last: bool | None,
    smooth: str,
) -> dict[str, Any]:
    """Settle how every network computes, the partner's too."""
    from wsol.maps.smoothing import check_smooth
    from wsol.runtime import settle_device

    with about("smooth"):
        check_smooth(smooth)

    return {
        "batch_size": batch_size,
        "workers": workers,
        "device": str(settle_device(device, precision)),
        "precision": precision,
        "channels_last": channels_last,
        "smooth": smooth,
    }


def _tell_arithmetic(settings: Mapping[str, Any]) -> str:
    """Name how maps are computed, in a line for people, as far as it is not as usual."""
    told = "" if settings["precision"] == "float32" else f", {settings['precision']}"
    told += ", channels_last" if settings["channels_last"] else ""
    return told + ("" if settings["smooth"] == "none" else f", smooth {settings['smooth']}")


def _open_sources(
    job: EvaluationJob,
    own: Callable[..., NetworkMaps],
    settings: Mapping[str, Any],
    step: int | None,
    method: Any,
    classes: Mapping[int, int] | str | Path | None,
) -> tuple[list[NetworkMaps], AnyStepJob | None]:
    """Settle what gives the maps of each split, and the guesses of every step where these count."""
    shared: dict[str, Any] = {
        **settings,
        "root": job.image_root,
        "class_map": job.class_map,
        "image": job.protocols[0].image,
        "overlaps": job.overlaps,
    }
    with about("step"):
        sources = [own(split=each, step=step, **shared) for each in job.splits]
    with about("smooth"):
        sources[0].check_views()
    if not job.wanted.any_step:
        return sources, None
    partner, name = _describe_partner(job, method, classes)
    other = None if partner is None else partial(partner, **shared)
    return sources, plan_any_step(job, partial(own, **shared), other, name)


def _describe_partner(
    job: EvaluationJob, method: Any, classes: Mapping[int, int] | str | Path | None
) -> tuple[Callable[..., NetworkMaps] | None, str | None]:
    """Settle what gives the partner's maps, by the method asked for, and what people call it."""
    if job.partner is None:
        return None, None
    subject, _, outputs, method, note = _describe(job.partner, job, method, None, None, classes)
    if note:
        job.wanted.events.say(f"partner: {note}")
    return partial(NetworkMaps, job.partner, method=method, classes=outputs), subject


def _describe(
    network: Any,
    job: EvaluationJob,
    method: Any,
    layer: str | None,
    step: int | None,
    classes: Mapping[int, int] | str | Path | None,
) -> tuple[str, tuple[str, ...], Mapping[int, int] | None, Any, str]:
    """Settle what is scored: a line for people, names of outputs, class table, method, a note."""
    from tdam.spec import describe_network
    from wsol.classes import class_names
    from wsol.maps.names import explain_method, settle_method
    from wsol.maps.passes import check_layer

    if slow := explain_method(method, network):
        job.wanted.events.say(slow)
    with about("method"):
        method = settle_method(method, network)
    settings = getattr(network, "settings", None)
    if settings is None:  # a network of somebody else's: labels are its outputs by default
        table = classes
        if isinstance(classes, (str, Path)):
            from eval.manifest import load_classes

            table = load_classes(classes)
        name = type(network).__name__
        return name, job.scored.class_names or (), table, method, ""  # type: ignore[return-value]
    if layer is not None:
        with about("layer"):
            check_layer(network, method, layer)
    count = settings["num_classes"]
    own = class_names(count, network.class_names)
    given = job.scored.class_names or ()
    names = own if network.class_names is not None or len(given) != count else given
    with about("classes"):
        outputs, note = match_evaluated(job.scored, own, classes=classes, data=job.data)
    subject = f"{describe_network(settings)}, {method}"
    subject += "" if layer is None else f" of {layer}"
    subject += "" if step is None else f", step {step}"
    return subject, names, outputs, method, note


@led
@holds("out", "report")
def evaluate_maps(
    data: Split | DataSet | str | Path,
    maps: str | Path,
    root: str | Path | None = None,
    *,
    split: str = "test",
    protocol: Protocols = "wsoleval",
    threshold: float | str | None = None,
    choose: str | Split = "val",
    class_map: ClassMap | None = None,
    mask_root: str | Path | None = None,
    predictions: str | Path | None = None,
    classes: Mapping[int, int] | str | Path | None = None,
    allow_missing: bool = False,
    others: Iterable[str] = (),
    out: str | Path | None = None,
    formats: Sequence[str] = (),
    zero_based: bool = False,
    save_maps: str | None = None,
    report: str | Path | None = None,
    coco: bool = False,
    workers: int = 2,
    allow_overlap: bool = False,
    force: bool = False,
    events: Events = SILENT,
) -> Evaluation | list[Evaluation]:
    """Score maps that any program wrote; of several processes each scores its part.

    Args:
        data: as for `evaluate`, like everything not listed here
        maps: folder with `<image id>.npy` for every image (the id's suffix kept), each (S, S) with
            S the protocol's size, in [0, 1], or uint8 with 255 for 1; maps of other splits of the
            data set may lie there too
        root: of the images, which only a report shows
        split: to score
        protocol: one or several
        threshold: a number or a rule
        choose: split that `val` chooses on
        class_map: whose maps they are, for the record; None: as the protocol has it
        mask_root: folder that mask paths are relative to; None: `root`, or where the data set lies
            or, for a split, `maps`
        predictions: file of predicted classes, as `wsol.evaluation.predictions.read_predictions`
            takes it, which Top-1 and Top-5 Loc need
        classes: index among a network's outputs by label, or the path of such a table, where
            `predictions` numbers those outputs; None: it has the data's labels, and only logits of
            another number of classes go by the table near the data
        allow_missing: count maps that are missing or broken as missed, and pass over those of no
            image; the same of `predictions`
        others: ids of further images that have maps there, where `data` is a split
        out: folder for per-image results
        formats: of boxes to write into `out`
        zero_based: as for `evaluate`
        save_maps: write the maps into `out` once more
        report: folder for a page
        coco: whether to add COCO's AP and AR
        workers: threads that read and score maps
        allow_overlap: score images all the same that the threshold is chosen on
        force: overwrite what an earlier run wrote
        events: told of what is done

    Returns:
        as `evaluate`

    Raises:
        MapError: a map that is missing, has another shape or leaves [0, 1], or one of no image
        wsol.errors.ArgumentError: a ValueError that says which argument cannot be used, and why
        eval.manifest.ManifestError: a fault in the data set, or images that are not only scored
        wsol.evaluation.resume_file.ResumeError: `out` holds an unfinished run with other settings
    """
    folder = Path(maps)
    if not folder.is_dir():
        raise ArgumentError("maps", f"{maps}: no such folder")
    if mask_root is None and root is None and isinstance(data, Split):
        mask_root = maps
    wanted = Wanted(
        split, protocol, threshold, class_map, mask_root, out, formats, save_maps, report, coco,
        workers, force, events, allow_overlap, format_options={"zero_based": zero_based},
    )  # fmt: skip
    job = open_job(data, root, choose, wanted, None, maps=folder)

    list_others = partial(list_other_ids, job.splits, job.data, others)
    sources = [
        FolderMaps(each, folder, job.class_map, allow_missing, list_others, overlaps=job.overlaps)
        for each in job.splits
    ]
    if predictions is not None:
        known = open_predictions(
            predictions, job.scored, job.data, classes, list_others, allow_missing, events
        )
        sources[0] = replace(sources[0], predictions=known)
    if allow_missing and (extra := sources[0].list_extra()):
        events.say(f"{count_things(len(extra), 'map')} of no image: {list_few(extra)}")
    labels = name_labels(job.scored, None, ())
    names = job.scored.class_names or ()
    try:
        evaluations = job.run(sources, f"maps of {maps}", None, names, labels, by_network=False)
    except MapError as error:  # which other callers cannot allow
        raise MapError(error.kinds, _MAPS_WAY_OUT) from error
    return one_or_all(evaluations, protocol)
