"""`wsol evaluate`: localization scores of a network, or of maps on disk, under named protocols."""

from __future__ import annotations

import json
import sys
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wsol.cli import common, data_sets, evaluate_run, networks, outputs, reports

if TYPE_CHECKING:
    from wsol.evaluation.map_source import MapSource


def evaluate(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Folder with one folder a split, or with images and these in manifest/; or a "
            "COCO data set file.",
        ),
    ],
    split: Annotated[str, typer.Option(help="Such as test, or val+test.")] = "test",
    root: Annotated[
        Path | None, typer.Option(help="Image root of the ids; default: as DATA has it.")
    ] = None,
    maps: Annotated[
        Path | None, typer.Option(help="Score <id>.npy maps of this folder, not a network.")
    ] = None,
    mask_root: Annotated[
        Path | None, typer.Option(help="Root of mask paths; default: --root, or DATA.")
    ] = None,
    model: common.PlainModel = None,
    weights: common.Weights = "auto",
    checkpoint: common.Checkpoint = None,
    attention: common.Attention = None,
    steps: common.Steps = None,
    distance: common.Distance = None,
    searchlight: common.Searchlight = None,
    output_stride: common.OutputStride = None,
    method: common.Method = "auto",
    layer: common.Layer = None,
    step: Annotated[
        int | None,
        typer.Option(
            "--at-step",
            help="Whose map and classes to score, 1 to T; default: the last.",
            metavar="K",
        ),
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="wsoleval, tdam, clean, all, or a .toml file.", metavar="NAME")
    ] = "wsoleval",
    threshold: Annotated[
        str | None,
        typer.Option(
            help="oracle, val, or a number from 0 to 1; default: the protocol's own, or oracle.",
            metavar="T",
        ),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(help="CSV with label,imagenet1k_index; default: classes.csv near DATA."),
    ] = None,
    class_map: Annotated[
        str | None,
        typer.Option(
            help="Whose map: ground_truth or predicted; default: the protocol's.", metavar="NAME"
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all scores and curves to this file.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for results of every image; a run that was cut off goes on."),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", help="Boxes as predict writes them, into --out; repeatable.", metavar="NAME"
        ),
    ] = None,
    save_maps: Annotated[
        str | None,
        typer.Option(help="Maps into --out: float64, float16 or uint8.", metavar="TYPE"),
    ] = None,
    report: common.Report = None,
    coco: Annotated[bool, typer.Option("--coco", help="Add COCO's AP and AR.")] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Missing or broken maps count as missed.")
    ] = False,
    device: common.Device = "auto",
    batch_size: common.BatchSize = 32,
    workers: common.Workers = 2,
    seed: common.Seed = 0,
    force: common.Force = False,
) -> None:
    """Score localizations against true boxes or masks.

    Every score is in percent, with its bootstrap 95 % interval, and names its protocol, threshold
    rule and class map; an oracle threshold is chosen on the very split that is scored. With
    --protocol all the same maps are scored under every protocol.
    """
    from eval.manifest import open_data_set
    from eval.protocols import PROTOCOLS, find_protocol
    from wsol.writers import check_format

    with common.wrong_use("--protocol"):
        rules = [*PROTOCOLS.values()] if protocol == "all" else [find_protocol(protocol)]
    asked = networks.attention_flags(attention, steps, distance, searchlight)
    networks.check_model(model, method, checkpoint, weights, **asked)
    if class_map not in (None, "ground_truth", "predicted"):
        message = f"expected ground_truth or predicted, got {class_map!r}"
        raise typer.BadParameter(message, param_hint="--class-map")
    level = _threshold(threshold)
    if level == "val" and "val" in split.split("+"):
        message = f"val cannot be chosen on while {split!r} scores it"
        raise typer.BadParameter(message, param_hint="--threshold")
    if maps is not None:
        networks.refuse_flags(
            model=model, weights=weights, checkpoint=checkpoint, output_stride=output_stride,
            method=method, layer=layer, at_step=step, **asked,
        )  # fmt: skip
    with common.wrong_use("--format"):
        kinds = [check_format(kind) for kind in dict.fromkeys(formats or [])]
    if "npy" in kinds:
        raise typer.BadParameter("npy is --save-maps float64 here", param_hint="--format")
    for flag, given in (("--format", kinds), ("--save-maps", save_maps), ("--coco", coco)):
        if given and out is None:
            raise typer.BadParameter("needs --out", param_hint=flag)
    for flag, given in (("--format", kinds), ("--coco", coco), ("--report", bool(report))):
        if given and protocol == "all":
            raise typer.BadParameter("goes with one protocol", param_hint=flag)
    if save_maps is not None and rules[0].image == "crop":
        message = f"goes not with {rules[0].name}: a file does not say that it shows a crop"
        raise typer.BadParameter(message, param_hint="--save-maps")
    writer = None
    if out is not None and save_maps is not None:
        from wsol.evaluation.map_files import PRECISIONS, MapWriter

        with common.wrong_use("--save-maps"):
            writer = MapWriter(out / "maps", save_maps)
    if json_file is not None:
        outputs.free_file(json_file, "--json", force)
    if not data.exists():
        raise typer.BadParameter(f"{data}: no such file or folder", param_hint="DATA")
    place = data
    opened = open_data_set(place)
    data, home = opened.path, opened.root
    if not opened.splits:
        message = (
            f"{data} holds no truth: expected a folder with manifests of splits (or with images "
            "and manifest/) or a COCO data set file"
        )
        raise typer.BadParameter(message, param_hint="DATA")
    if root is None and (maps is None or data.is_file() or data != place):
        root = home
    if maps is None and root is None:
        raise typer.BadParameter("needed to find the images", param_hint="--root")
    for flag, folder in (("--root", root), ("--maps", maps), ("--mask-root", mask_root)):
        if folder is not None and not folder.is_dir():
            raise typer.BadParameter(f"{folder}: no such folder", param_hint=flag)
    scored, chooser = data_sets.load_splits(data, split, level == "val")
    for flag, given in (("--format", kinds), ("--coco", coco)):
        if given and scored.boxes is None:
            message = f"needs boxes, which {data} has not"
            raise typer.BadParameter(message, param_hint=flag)
    goes_on = False
    if out is not None:
        with outputs.writing(out, "--out"):
            goes_on = evaluate_run.free(out, force)
    work = None if report is None else reports.free(report, out, goes_on, force)

    chosen = class_map or rules[0].class_map
    sources: list[MapSource]
    what = f"maps of {maps}"
    table: dict[int, int] | None = None
    names: tuple[str, ...] = scored.class_names or ()
    if maps is None:
        from tdam.spec import describe_network
        from wsol.classes import class_names
        from wsol.evaluation.network_maps import NetworkMaps

        data_sets.check_root(scored, root or data)
        if checkpoint is None:
            model = model or common.DEFAULT_MODEL
        network = networks.load_model(model, weights, seed, checkpoint, output_stride, **asked)
        method = networks.choose_method(network, method)
        networks.check_layer(network, method, layer)
        count = network.settings["num_classes"]
        own = class_names(count, network.class_names)
        if network.class_names is not None or len(names) != count:
            names = own
        what = f"{describe_network(network.settings)}, {method}"
        what += "" if layer is None else f" of {layer}"
        what += "" if step is None else f", step {step}"
        with common.wrong_use("--classes"):
            table = data_sets.find_classes(data, scored, root, classes, own)
        where = common.choose_device(device)
        with common.wrong_use("--at-step"):
            sources = [
                NetworkMaps(
                    network,
                    each,
                    root or data,
                    method,
                    table,
                    chosen,  # type: ignore[arg-type]
                    rules[0].image,
                    batch_size=batch_size,
                    workers=workers,
                    device=where,
                    layer=layer,
                    step=step,
                )
                for each in (scored, chooser)
                if each is not None
            ]
    else:
        from wsol.evaluation.folder_maps import FolderMaps

        others = cache(partial(data_sets.list_ids, data))
        sources = [
            FolderMaps(each, maps, chosen, allow_missing, others)  # type: ignore[arg-type]
            for each in (scored, chooser)
            if each is not None
        ]
        if allow_missing:
            sys.stderr.writelines(f"{line}\n" for line in sources[0].list_extra())  # type: ignore[attr-defined]
    labels = data_sets.name_labels(scored, table, names if maps is None else ())
    keep = None if work is None else work.keeper(scored, rules[0])
    options: dict[str, Any] = {
        "mask_root": mask_root or root or data,
        "workers": workers,
        "save": writer,
    }
    levels: list[Any] = [level] * len(rules)
    spoiled: list[str] = []
    if chooser is not None:
        levels, spoiled = evaluate_run.choose(sources[1], rules, options, out)
    options |= {"out": out, "rule": None if chooser is None else "val", "keep": keep}
    if out is None and work is not None:
        options["out"] = work.results
    evaluations = evaluate_run.run(sources[0], rules, levels, options)
    if options["out"] is not None:
        from wsol.evaluation.image_results import name_results

        name_results(options["out"], what, labels, names if maps is None else None)
    if out is not None and (kinds or coco):
        from wsol.evaluation.exports import export_boxes, score_coco

        export_boxes(out, kinds, names, root)
        if coco:
            _print_coco(score_coco(out, scored, table), chosen)
    if json_file is not None:
        content = [each.to_dict() for each in evaluations]
        text = json.dumps(content if protocol == "all" else content[0]) + "\n"
        with outputs.writing(json_file, "--json"):
            json_file.write_text(text, encoding="utf-8")
    from wsol.cli.score_tables import print_evaluation, print_protocols

    if protocol == "all":
        print_protocols(evaluations, what)
    else:
        print_evaluation(evaluations[0], what)
    if work is not None and keep is not None:
        work.write(out or work.results, keep, sources[0], root or home)
    if save_maps is not None:
        sys.stderr.write(
            f"maps in {out}/maps as {save_maps}, off by at most {PRECISIONS[save_maps]:.2g}\n"
        )
    spoiled += evaluations[0].unreadable
    sys.stderr.writelines(f"{line}\n" for line in spoiled)
    if spoiled:
        count = common.count_things(len(spoiled), "image" if maps is None else "map")
        sys.stderr.write(f"{count} could not be read: counted as missed\n")
        raise typer.Exit(0 if allow_missing else 1)


def _threshold(text: str | None) -> float | str | None:
    if text in (None, "oracle", "val"):
        return text
    try:
        level = float(text)
    except ValueError:
        level = -1.0
    if not 0 <= level <= 1:
        message = f"expected oracle, val or a number from 0 to 1, got {text!r}"
        raise typer.BadParameter(message, param_hint="--threshold")
    return level


def _print_coco(scores: dict[str, float], class_map: str) -> None:
    rows = [[name, f"{value:.1f}"] for name, value in scores.items()]
    common.print_table(f"COCOeval, class map {class_map}", ["score", "percent"], rows)
