"""`wsol evaluate`: localization scores of a network, or of maps on disk, under named protocols."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eval.protocols import PROTOCOLS
from tdam.strict_json import dumps
from wsol.cli import common, networks
from wsol.cli.completing import offer
from wsol.cli.console import ConsoleEvents
from wsol.cli.interrupts import tell_nothing_saved, telling_what_is_kept
from wsol.cli.usage import usage
from wsol.errors import about
from wsol.evaluation.threshold_rules import ORACLE, UNLABELLED, VAL
from wsol.networks import get_network
from wsol.out_files import write_named
from wsol.out_folders import free_file, writing
from wsol.text import count_things, escape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsol.evaluation.result import Evaluation


_NAMED = 10  # images that could not be read


def _list_box_formats() -> list[str]:
    from wsol.writers import WRITERS, find_writer

    return sorted(name for name in WRITERS if not find_writer(name).of_maps)


def _list_precisions() -> list[str]:
    from wsol.evaluation.map_files import PRECISIONS

    return list(PRECISIONS)


AtStep = Annotated[
    int | None,
    typer.Option(
        "--at-step", help="Whose map and classes to score, 1 to T; default: the last.", metavar="K"
    ),
]
StepsRule = Annotated[
    str,
    typer.Option(
        help="last, or any: also count images that any step has right, as TDAM's published code "
        "does, beside a partner with as many guesses.",
        metavar="RULE",
        autocompletion=offer(("last", "any")),
    ),
]
Partner = Annotated[
    str | None,
    typer.Option(
        help="With --steps-rule any, the network or checkpoint that has as many guesses, by the "
        "same --method and --output-stride; default: the last step.",
        metavar="NAME",
    ),
]
Formats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        help="Boxes as predict writes them, into --out; repeatable.",
        metavar="NAME",
        autocompletion=offer(_list_box_formats),
    ),
]

Maps = Annotated[
    Path | None, typer.Option(help="Score <id>.npy maps of this folder, not a network.")
]
Boxes = Annotated[
    Path | None,
    typer.Option(
        help="Score the boxes of this file or folder: COCO, CSV, JSON Lines, VOC or YOLO, or a "
        "labelling tool's own JSON or XML."
    ),
]
Predictions = Annotated[
    Path | None,
    typer.Option(
        help="With --maps or --boxes: predicted classes, a table id,label[,score][,rank] or "
        "logits (.npy)."
    ),
]
ByProtocol = Annotated[
    str,
    typer.Option(
        help=f"{', '.join(PROTOCOLS)}, all, or a .toml file.",
        metavar="NAME",
        autocompletion=offer((*PROTOCOLS, "all")),
    ),
]
Threshold = Annotated[
    str | None,
    typer.Option(
        help="oracle, val, unlabelled (by the images alone, no boxes used), or a number from 0 to "
        "1; default: the protocol's own, or oracle.",
        metavar="T",
        autocompletion=offer((ORACLE, VAL, UNLABELLED)),
    ),
]
ClassMap = Annotated[
    str | None,
    typer.Option(
        help="Whose map: ground_truth or predicted; default: the protocol's.",
        metavar="NAME",
        autocompletion=offer(("ground_truth", "predicted")),
    ),
]
SaveMaps = Annotated[
    str | None,
    typer.Option(
        help="Maps into --out: float64, float16 or uint8.",
        metavar="TYPE",
        autocompletion=offer(_list_precisions),
    ),
]


def evaluate(
    data: common.Scored,
    split: common.SplitName = "test",
    root: common.Root = None,
    maps: Maps = None,
    boxes: Boxes = None,
    predictions: Predictions = None,
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
    smooth: common.Smooth = "none",
    layer: common.Layer = None,
    step: AtStep = None,
    steps_rule: StepsRule = "last",
    partner: Partner = None,
    protocol: ByProtocol = "wsoleval",
    threshold: Threshold = None,
    classes: common.ClassTable = None,
    class_map: ClassMap = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all scores and curves to this file.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for results of every image; a run that was cut off goes on."),
    ] = None,
    formats: Formats = None,
    zero_based: common.ZeroBased = False,
    save_maps: SaveMaps = None,
    report: common.Report = None,
    coco: Annotated[bool, typer.Option("--coco", help="Add COCO's AP and AR.")] = False,
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing", help="Missing or broken maps, boxes and predictions count as missed."
        ),
    ] = False,
    device: common.Device = "auto",
    batch_size: common.BatchSize = 32,
    workers: common.Workers = 2,
    precision: common.Precision = "float32",
    channels_last: common.ChannelsLast = None,
    seed: common.Seed = 0,
    allow_overlap: common.AllowOverlap = False,
    max_pixels: common.MaxPixels = None,
    force: common.Force = False,
) -> None:
    """Score localizations against true boxes or masks, or classes alone where there are none.

    Every score is in percent, with its bootstrap 95 % interval, and names its protocol, threshold
    rule and class map; an oracle threshold is chosen on the very split that is scored. With
    --protocol all the same maps are scored under every protocol.
    """
    asked: dict[str, Any] = networks.attention_flags(attention, steps, distance, searchlight)
    networks.check_model(model, method, checkpoint, weights, **asked)
    given = "--boxes" if boxes is not None else "--maps" if maps is not None else ""
    if predictions is not None and not given:
        raise typer.BadParameter("goes with --maps or --boxes", param_hint="--predictions")
    if boxes is not None:
        _refuse_of_maps(maps=maps, mask_root=mask_root, threshold=threshold, format=formats,
                        zero_based=zero_based or None, save_maps=save_maps)  # fmt: skip
    if given:
        networks.refuse_flags(
            given, model=model, weights=weights, checkpoint=checkpoint, output_stride=output_stride,
            method=method, layer=layer, at_step=step, partner=partner,
            steps_rule=None if steps_rule == "last" else steps_rule, precision=precision,
            channels_last=channels_last, smooth=None if smooth == "none" else smooth, **asked,
        )  # fmt: skip
    if not data.exists():
        from wsol.shipped import tell_absent

        raise typer.BadParameter(tell_absent(data), param_hint="DATA")
    with usage():
        if json_file is not None:
            with about("json"):
                free_file(json_file, force)
        from wsol.workflows import evaluate as work

        shared: dict[str, Any] = {
            "split": split, "protocol": protocol, "threshold": _threshold(threshold),
            "class_map": class_map, "mask_root": mask_root, "out": out, "formats": formats or (),
            "zero_based": zero_based, "save_maps": save_maps, "report": report, "coco": coco,
            "workers": workers, "force": force, "allow_overlap": allow_overlap,
        }  # fmt: skip
        with telling_what_is_kept(partial(_tell_kept, out, force)), ConsoleEvents() as events:
            if boxes is not None:
                from wsol.workflows.evaluate_boxes import evaluate_boxes

                names = ("split", "protocol", "class_map", "out", "report", "coco", "force")
                scored = evaluate_boxes(
                    data, boxes, root, predictions=predictions, classes=classes,
                    allow_missing=allow_missing, events=events,
                    **{name: shared[name] for name in names},
                )  # fmt: skip
            elif maps is not None:
                scored = work.evaluate_maps(
                    data, maps, root, predictions=predictions, classes=classes,
                    allow_missing=allow_missing, events=events, **shared,
                )  # fmt: skip
            else:
                name = model if checkpoint is not None else model or common.DEFAULT_MODEL
                flags: tuple[Any, ...] = (name, weights, seed, checkpoint, output_stride)
                network = partial(networks.load_model, *flags, **asked)
                other = partner and partial(get_network, partner, output_stride)
                guesses: dict[str, Any] = {"steps_rule": steps_rule, "partner": other}
                scored = work.evaluate(
                    network, data, root, method=method, layer=layer, step=step, classes=classes,
                    batch_size=batch_size, device=device, precision=precision, smooth=smooth,
                    channels_last=channels_last, events=events, **guesses, **shared,
                )  # fmt: skip
    _report(scored, json_file, protocol == "all", out, save_maps, given, allow_missing)


def _tell_kept(out: Path | None, force: bool) -> str:
    """Say what an interruption leaves."""
    from wsol.evaluation.resume_file import is_complete, is_unfinished

    if out is None:
        return "nothing is kept: with --out the same command goes on where it was cut off"
    if is_complete(out):
        return f"the scores in {out} are complete, but not all that was asked for: add --force"
    if is_unfinished(out):
        without = " without --force" if force else ""
        return f"the same command{without} goes on from what is saved in {out}"
    return tell_nothing_saved(out)


def _refuse_of_maps(**given: object) -> None:
    """Exit with 2 where a flag says something of maps though boxes are scored."""
    for flag, value in given.items():
        if value is not None:
            message = "cannot be combined with --boxes, which are scored as they are"
            raise typer.BadParameter(message, param_hint=f"--{flag.replace('_', '-')}")


def _report(
    scored: Evaluation | list[Evaluation],
    json_file: Path | None,
    several: bool,
    out: Path | None,
    save_maps: str | None,
    given: str,
    allow_missing: bool,
) -> None:
    """Write the JSON, print the scores, and name what could not be read."""
    evaluations = scored if isinstance(scored, list) else [scored]
    if json_file is not None:
        content = [each.to_dict() for each in evaluations]
        text = dumps(content if several else content[0]) + "\n"
        with usage(), about("json"), writing(json_file):
            write_named(json_file, text)
    _print(evaluations, several)
    if save_maps is not None:
        from wsol.evaluation.map_files import PRECISIONS

        sys.stderr.write(
            f"maps in {out}/maps as {save_maps}, off by at most {PRECISIONS[save_maps]:.2g}\n"
        )
    unreadable = [*evaluations[0].unreadable_chosen_on, *evaluations[0].unreadable]
    _name_few(unreadable)
    if unreadable:
        count = count_things(len(unreadable), "map" if given == "--maps" else "image")
        how = "have no boxes to score" if given == "--boxes" else "could not be read"
        sys.stderr.write(f"{count} {how}: counted as missed\n")
        raise typer.Exit(0 if allow_missing else 1)


def _name_few(lines: Sequence[str]) -> None:
    """Write the first lines to stderr, and how many more there are."""
    sys.stderr.writelines(f"{escape(line)}\n" for line in lines[:_NAMED])
    if len(lines) > _NAMED:
        sys.stderr.write(f"and {len(lines) - _NAMED} more, which --json and --out list\n")


def _print(evaluations: list[Evaluation], several: bool) -> None:
    from wsol.cli.score_tables import print_evaluation, print_protocols

    first = evaluations[0]
    if first.coco is not None:
        rows = [[name, f"{value:.1f}"] for name, value in first.coco.items()]
        common.print_table(f"COCOeval, class map {first.class_map}", ["score", "percent"], rows)
    if several:
        print_protocols(evaluations, first.subject)
    else:
        print_evaluation(first)


def _threshold(text: str | None) -> float | str | None:
    """Read a number; what is none stays a word, which the library knows or refuses."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text
