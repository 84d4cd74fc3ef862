"""`wsol evaluate`: localization scores of a network, or of maps on disk, under a named protocol."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wsol.cli import common

if TYPE_CHECKING:
    from eval.manifest import Split
    from wsol.evaluation import Evaluation


def evaluate(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder with one folder a split.")],
    split: Annotated[str, typer.Option(help="Such as test, or val+test.")] = "test",
    root: Annotated[Path | None, typer.Option(help="Image root of the ids.")] = None,
    maps: Annotated[
        Path | None, typer.Option(help="Score <id>.npy maps of this folder, not a network.")
    ] = None,
    model: common.Model = common.DEFAULT_MODEL,
    weights: common.Weights = "auto",
    checkpoint: common.Checkpoint = None,
    attention: common.Attention = "none",
    steps: common.Steps = 2,
    distance: common.Distance = 1,
    searchlight: common.Searchlight = "joint",
    output_stride: common.OutputStride = None,
    method: common.Method = "auto",
    protocol: Annotated[str, typer.Option(help="wsoleval.", metavar="NAME")] = "wsoleval",
    threshold: Annotated[
        str, typer.Option(help="oracle, val, or a number from 0 to 1.", metavar="T")
    ] = "oracle",
    classes: Annotated[
        Path | None,
        typer.Option(help="CSV with label,imagenet1k_index; default: classes.csv near DATA."),
    ] = None,
    class_map: Annotated[
        str, typer.Option(help="Whose map: ground_truth or predicted.", metavar="NAME")
    ] = "ground_truth",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all scores and curves to this file.")
    ] = None,
    device: common.Device = "auto",
    batch_size: common.BatchSize = 32,
    workers: common.Workers = 2,
    seed: common.Seed = 0,
    force: common.Force = False,
) -> None:
    """Score localizations against true boxes.

    DATA holds one folder a split with image_ids.txt, class_labels.txt, image_sizes.txt and
    localization.txt. Every score is in percent and names its protocol, threshold rule and class
    map; an oracle threshold is chosen on the very split that is scored.
    """
    from eval.manifest import ManifestError, list_splits, load_split
    from eval.protocols import find_protocol

    with common.wrong_use("--protocol"):
        find_protocol(protocol)
    common.check_model(model, attention, method)
    if class_map not in ("ground_truth", "predicted"):
        message = f"expected ground_truth or predicted, got {class_map!r}"
        raise typer.BadParameter(message, param_hint="--class-map")
    level = _threshold(threshold)
    if level == "val" and "val" in split.split("+"):
        message = f"val cannot be chosen on while {split!r} scores it"
        raise typer.BadParameter(message, param_hint="--threshold")
    if json_file is not None:
        common.free_file(json_file, "--json", force)
    if not data.is_dir():
        raise typer.BadParameter(f"{data}: no such folder", param_hint="DATA")
    if maps is None and root is None:
        raise typer.BadParameter("needed to find the images", param_hint="--root")
    for flag, folder in (("--root", root), ("--maps", maps)):
        if folder is not None and not folder.is_dir():
            raise typer.BadParameter(f"{folder}: no such folder", param_hint=flag)
    unknown = set(split.split("+")) - set(list_splits(data))
    if unknown:
        known = ", ".join(list_splits(data)) or "none"
        message = f"{data} has no split {min(unknown)!r}; it has {known}"
        raise typer.BadParameter(message, param_hint="--split")
    try:
        scored = load_split(data, split)
        chooser = load_split(data, "val") if level == "val" else None
    except ManifestError as error:
        common.fail(str(error))
    options: dict[str, Any] = {"protocol": protocol, "class_map": class_map}
    if maps is None:
        network = common.load_model(
            model,
            weights,
            seed,
            checkpoint,
            attention=attention,
            steps=steps,
            distance=distance,
            searchlight=searchlight,
            output_stride=output_stride,
        )
        method = common.choose_method(network, method)
        options |= {
            "model": network,
            "root": root,
            "method": method,
            "classes": _class_table(data, root, classes, network.settings["num_classes"]),
            "batch_size": batch_size,
            "workers": workers,
            "device": common.choose_device(device),
        }
    else:
        options["maps"] = maps
    if chooser is not None:
        level = _run(chooser, "oracle", None, options).result.max_box_acc_threshold
        found = _run(scored, level, "val", options)
    else:
        found = _run(scored, level, None, options)
    if json_file is not None:
        json_file.write_text(json.dumps(found.to_dict()) + "\n", encoding="utf-8")
    what = f"maps of {maps}"
    if maps is None:
        what = f"{_describe(network.settings)}, {method}"
    _print(found, what)
    for line in found.unreadable:
        sys.stderr.write(f"{line}\n")
    if found.unreadable:
        sys.stderr.write(f"{len(found.unreadable)} images could not be read: counted as missed\n")
        raise typer.Exit(1)


def _run(split: Split, level: Any, rule: str | None, options: dict[str, Any]) -> Evaluation:
    from eval.manifest import ManifestError
    from wsol.evaluation import MapError, evaluate, evaluate_maps

    score = evaluate_maps if "maps" in options else evaluate
    with common.progress(f"evaluate {split.name}", len(split)) as advance:
        try:
            return score(split=split, threshold=level, rule=rule, progress=advance, **options)
        except (ManifestError, MapError) as error:
            common.fail(str(error))
        except ValueError as error:
            hint = "--classes" if "class table" in str(error) else "DATA"
            raise typer.BadParameter(str(error), param_hint=hint) from error


def _describe(settings: dict[str, Any]) -> str:
    """Name a network as `resnet50 + tdam (joint, T2, m1)`."""
    text = str(settings["name"])
    if settings["attention"] == "tdam":
        text += " + tdam ({searchlight}, T{steps}, m{distance})".format(**settings)
    elif settings["attention"] != "none":
        text += f" + {settings['attention']}"
    return text if settings["output_stride"] == 32 else f"{text} /{settings['output_stride']}"


def _threshold(text: str) -> float | str:
    if text in ("oracle", "val"):
        return text
    try:
        level = float(text)
    except ValueError:
        level = -1.0
    if not 0 <= level <= 1:
        message = f"expected oracle, val or a number from 0 to 1, got {text!r}"
        raise typer.BadParameter(message, param_hint="--threshold")
    return level


def _class_table(
    data: Path, root: Path | None, classes: Path | None, outputs: int
) -> dict[int, int] | None:
    """Read the class table: the one named, or for 1000 outputs the first classes.csv near."""
    from eval.manifest import ManifestError, list_splits, load_classes, load_split

    if classes is None and outputs != 1000:
        # A split may lack the last classes, so all of them say how many there are.
        labels = [load_split(data, name).labels.max() for name in list_splits(data)]
        return {i: i for i in range(outputs)} if max(labels) + 1 == outputs else None
    if classes is None:
        folders = [data, data.absolute().parent, *([root] if root else [])]
        classes = next((f / "classes.csv" for f in folders if (f / "classes.csv").is_file()), None)
        if classes is None:
            return None
    try:
        table = load_classes(classes)
    except ManifestError as error:
        common.fail(str(error))
    typer.echo(f"labels mapped onto ImageNet's 1000 classes by {classes}", err=True)
    return table


def _print(found: Evaluation, what: str) -> None:
    result = found.result
    rules = {
        "oracle": f"best on {found.split} itself (oracle)",
        "val": "best on val",
        "fixed": "fixed",
    }

    def percent(value: float | None) -> str:
        return "-" if value is None else f"{value:.1f}"

    acc = " / ".join(percent(result.box_acc[str(delta)]) for delta in (30, 50, 70))
    rows = [
        [f"MaxBoxAcc (largest contour, at {result.max_box_acc_threshold:.3f})"],
        [f"box accuracy 30 / 50 / 70 (all contours): {acc};  MaxBoxAccV2"],
        [f"GT-known Loc at {result.threshold:.3f}"],
        [f"Top-1 Loc at {result.threshold:.3f}"],
        [f"Top-5 Loc at {result.threshold:.3f}"],
        ["top-1 accuracy (over all outputs)"],
        ["top-5 accuracy"],
        ["baseline: centre box"],
        ["baseline: full image"],
    ]
    values = [
        result.max_box_acc,
        result.max_box_acc_v2,
        result.gt_known_loc,
        result.top1_loc,
        result.top5_loc,
        result.top1_cls,
        result.top5_cls,
        result.baselines["centre_box"],
        result.baselines["full_image"],
    ]
    title = f"{what}: {result.images} images of {found.split}, protocol {found.protocol}"
    common.print_table(
        title,
        ["score", "percent"],
        [[*row, percent(value)] for row, value in zip(rows, values, strict=True)],
    )
    typer.echo(
        f"threshold {result.threshold:.3f}, {rules[found.rule]}; grid {found.interval}; class map "
        f"{found.class_map}; several true boxes on {result.several_true_boxes:.1%} of the images"
    )
    if result.without_true_box:
        typer.echo(f"{result.without_true_box} images have no true box and count as missed")
