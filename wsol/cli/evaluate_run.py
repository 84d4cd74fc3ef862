"""The run behind `wsol evaluate`: room for its results, thresholds of val, and the scores."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

from wsol.cli import common, outputs

if TYPE_CHECKING:
    from pathlib import Path

    from eval.protocols import Protocol
    from wsol.evaluation.map_source import MapSource
    from wsol.evaluation.result import Evaluation


def free(out: Path, force: bool) -> bool:
    """Make room for results, or tell that an unfinished run is left as it is, to go on."""
    from wsol.evaluation.image_results import CHOSEN, discard_results
    from wsol.evaluation.resume_file import SETTINGS, is_unfinished

    chosen = out / CHOSEN
    if force:
        discard_results(outputs.free_folder(out, force))
        discard_results(chosen)
    begun = is_unfinished(out) or is_unfinished(chosen) or (chosen / SETTINGS).is_file()
    goes_on = begun and not (out / SETTINGS).is_file()
    outputs.free_folder(out, force or goes_on)
    if goes_on:
        sys.stderr.write(f"going on with the unfinished run in {out}\n")
    return goes_on


def choose(
    source: MapSource, rules: list[Protocol], options: dict[str, Any], out: Path | None
) -> tuple[list[Any], list[str]]:
    """Find the best thresholds on val, unless they were found before; name what was unreadable."""
    from wsol.evaluation.image_results import CHOSEN
    from wsol.evaluation.score_maps import finished_thresholds

    folder = None if out is None else out / CHOSEN
    if folder is not None and source.split.masks is None:
        known = finished_thresholds(source, rules, folder, options["save"])
        if known is not None:
            return known
    found = run(source, rules, ["oracle"] * len(rules), {**options, "out": folder})
    levels = [getattr(each.result, "max_box_acc_threshold", None) for each in found]
    return levels, list(found[0].unreadable)


def run(
    source: MapSource, rules: list[Protocol], levels: list[Any], options: dict[str, Any]
) -> list[Evaluation]:
    """Score the maps of a source with a progress bar, or say what is wrong and exit."""
    from eval.manifest import ManifestError
    from wsol.evaluation.map_source import MapError
    from wsol.evaluation.resume_file import ResumeError
    from wsol.evaluation.score_maps import score_maps

    split = source.split
    with common.progress(f"evaluate {split.name}", len(split)) as advance:
        try:
            return score_maps(source, rules, levels, progress=advance, **options)
        except ManifestError as error:
            common.fail(str(error))
        except MapError as error:
            sys.stderr.writelines(f"{line}\n" for line in error.faults)
            common.fail(
                f"{len(error.faults)} maps are missing, broken or of no image; with "
                "--allow-missing those of images count as missed"
            )
        except ResumeError as error:
            raise typer.BadParameter(f"{error}; --force begins anew", param_hint="--out") from error
        except ValueError as error:
            hint = "--classes" if "class table" in str(error) else "DATA"
            raise typer.BadParameter(str(error), param_hint=hint) from error
