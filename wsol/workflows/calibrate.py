"""The threshold that a few corrected boxes, or images alone, ask for, stored with the weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdam.events import SILENT, Events, working
from wsol.data_ranges import tells_stretched
from wsol.errors import ArgumentError, about
from wsol.folder_lock import hold_file, hold_folder
from wsol.label_matching import describe_match, match_labels
from wsol.out_folders import free_file, writing
from wsol.overlap import check_apart, of_split
from wsol.text import count_things

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from eval.splits import Split
    from wsol.evaluation.calibration import Calibration
    from wsol.evaluation.network_maps import NetworkMaps
    from wsol.maps import MapExtractor

_OWN = 0.99  # a mean overlap that boxes drawn by hand do not have


@tells_stretched
def calibrate(
    checkpoint: str | Path,
    boxes: str | Path | None = None,
    root: str | Path | None = None,
    *,
    unlabelled: str | Path | None = None,
    out: str | Path | None = None,
    method: str | type[MapExtractor] = "auto",
    device: str = "auto",
    batch_size: int = 16,
    workers: int = 2,
    allow_overlap: bool = False,
    force: bool = False,
    events: Events = SILENT,
) -> Calibration:
    """Pick the threshold at which a network's boxes overlap corrected ones most, and store it.

    Fifty images are enough for most purposes; the interval says how sure the threshold is. Images
    of classes that the network does not know are measured by the map of its own choice. Where
    there are no boxes, photographs alone do, as `wsol.evaluation.unlabelled` tells.

    Args:
        checkpoint: file of weights, folder of a run, or the name of weights that come along
        boxes: as for `wsol.drawn_boxes.load_drawn_boxes`; None with `unlabelled`
        root: folder of the images; None: where the boxes say
        unlabelled: folder of photographs, at least a few dozen, in place of boxes
        out: file to write, ends in `.safetensors`; None: the checkpoint itself
        method: map method, stored too; `auto` for the network's own
        device: `auto`, `cpu`, `cuda`, or any name that torch knows
        batch_size: images at once
        workers: threads that read images
        allow_overlap: choose all the same on images that the weights were trained on, by path or
            content, as far as the folder of their run tells, and say so
        force: overwrite `out`
        events: told of what is done

    Returns:
        the threshold, what it was chosen by, and where it is stored

    Raises:
        wsol.errors.ArgumentError: a ValueError that says which argument cannot be used, and why
        eval.manifest.ManifestError: a fault in the boxes' files, or images that were trained on
        tdam.weights.WeightsError: weights that cannot be read
    """
    from tdam import load_checkpoint, save_checkpoint
    from tdam.weights import find_weights
    from wsol.classes import class_names
    from wsol.drawn_boxes import load_drawn_boxes
    from wsol.evaluation.network_maps import NetworkMaps
    from wsol.evaluation.unlabelled import list_unlabelled
    from wsol.maps.names import explain_method, settle_method
    from wsol.runtime import find_device
    from wsol.training.image_list import list_unknown, read_image_sets, write_own_list

    weights = find_weights(checkpoint)
    if not weights.exists():
        raise ArgumentError("checkpoint", f"{weights}: no such file or folder")
    if boxes is None and unlabelled is None:
        raise ArgumentError("boxes", "needed, or a folder of unlabelled photographs in their place")
    for argument, given in (("boxes", boxes), ("root", root)):
        if unlabelled is not None and given is not None:
            raise ArgumentError(
                argument, "cannot be combined with --unlabelled, a folder of images"
            )
    for argument, path in (("boxes", boxes), ("unlabelled", unlabelled)):
        if path is not None and not Path(path).exists():
            raise ArgumentError(argument, f"{path}: no such file or folder")
    if weights != Path(checkpoint) and out is None:
        raise ArgumentError("out", "needed to keep the weights that come along as they are")
    with _hold(Path(checkpoint), None if out is None else Path(out)):
        target = _choose_target(Path(checkpoint), None if out is None else Path(out), force)
        sets, unknown = [*read_image_sets(weights)], list_unknown(weights)
        overlaps: tuple[str, ...] | None = ()
        if boxes is not None:
            split, home = load_drawn_boxes(boxes, "corrected", root, events)
            sets.append(of_split(split, "choosing", home, f"the images of {Path(boxes).name}"))
            overlaps = check_apart(sets, allow_overlap, events, unknown)
        elif unlabelled is not None:
            with about("unlabelled"):
                split, home = list_unlabelled(unlabelled, events)
        with about("checkpoint"):
            network, _ = load_checkpoint(checkpoint)
        if note := explain_method(method, network):
            events.say(note)
        with about("method"):
            method = settle_method(method, network)
        names = class_names(network.settings["num_classes"], network.class_names)
        outputs = None if boxes is None else _match(split, names, events)
        with about("device"):
            where = str(find_device(device))
        source = NetworkMaps(
            network,
            split,
            home,
            method,
            outputs,
            "predicted" if outputs is None else "ground_truth",
            batch_size=batch_size,
            workers=workers,
            device=where,
        )
        chosen = _choose(source, boxes is not None, events)
        for line in chosen.unreadable:
            events.say(line)
        if chosen.unreadable:
            count = count_things(len(chosen.unreadable), "image")
            events.say(f"{count} could not be read: left out")
        network.threshold = chosen.threshold
        network.spec = replace(network.spec, method=source.method_name)
        with about("out"), writing(target):
            save_checkpoint(network, target)
            write_own_list(target, sets, unknown)
            _note_in_run(target, where, str(boxes or unlabelled), chosen.threshold)
        if boxes is not None and chosen.overlap > _OWN and chosen.images > 1:
            events.say(
                "these boxes are what the network predicts itself: was the file saved after they "
                "were corrected?"
            )
        return replace(chosen, path=target, method=source.method_name, overlaps=overlaps)


def _choose(source: NetworkMaps, by_boxes: bool, events: Events) -> Calibration:
    from wsol.evaluation.calibration import choose_threshold
    from wsol.evaluation.unlabelled import choose_unlabelled

    if not by_boxes:
        with about("unlabelled"):
            return choose_unlabelled(source, events, "calibrate")
    with working(events, "calibrate", len(source.split)), about("boxes"):
        return choose_threshold(source, events)


def _match(split: Split, names: tuple[str, ...], events: Events) -> dict[int, int] | None:
    """Tell which of a network's outputs the labels of corrected boxes are, and say what is not."""
    match = match_labels(split, names, numbers="no names")
    said = describe_match(match, split, names) or match.strangers
    if match.source == "numbers":
        said = said or "no file names the classes: their numbers are taken for the network's"
    elif match.outputs is None:
        said = said or "the classes are not the network's"
        said += "; the maps of the predicted classes are measured"
    if said:
        events.say(said)
    return match.outputs


def _hold(checkpoint: Path, out: Path | None) -> AbstractContextManager[None]:
    """Hold the file to write, and the whole run that it belongs to."""
    if out is None and checkpoint.is_dir():
        return hold_folder(checkpoint)
    return hold_file(checkpoint if out is None else out)


def _note_in_run(weights: Path, device: str, chosen_by: str, threshold: float) -> None:
    """Say in the record of a run that its weights hold another threshold, if it is one's."""
    from tdam.unfinished import RECORD
    from tdam.weights import RESULT
    from wsol.training.record import add_session, read_record, write_record

    folder = weights.resolve().parent
    if weights.resolve() == folder / RESULT and (folder / RECORD).is_file():
        record = read_record(folder)
        what: dict[str, Any] = {"boxes": str(Path(chosen_by).resolve()), "threshold": threshold}
        if "result" in record:  # which tells of the weights as they are now
            what["threshold_before"] = record["result"].get("threshold")
            record["result"]["threshold"] = threshold
        write_record(folder, add_session(record, "calibrate", device, **what))


def _choose_target(checkpoint: Path, out: Path | None, force: bool) -> Path:
    """Tell which file to write, or that it cannot hold a threshold."""
    if out is not None:
        if out.suffix != ".safetensors":
            raise ArgumentError("out", f"expected .safetensors, got {out}")
        with about("out"):
            return free_file(out, force)
    from tdam.weights import find_file

    target = find_file(checkpoint)
    if target.suffix != ".safetensors":
        message = f"{target} cannot hold a threshold; name a .safetensors file to write"
        raise ArgumentError("out", message)
    return target
