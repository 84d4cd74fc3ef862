"""From labelled images to a localizer, in one folder that says how it came about."""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.manifest import DataSet
from tdam.events import SILENT, Events
from wsol.data_ranges import tells_stretched
from wsol.errors import ArgumentError, about
from wsol.folder_lock import has_files, hold_folder
from wsol.out_folders import free_file
from wsol.sharing import led
from wsol.shipped import tell_absent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tdam.training.recipe import Recipe
    from wsol.training.train import TrainedRun


@led
@tells_stretched
def train(
    data: str | Path | DataSet,
    out: str | Path = "wsol-run",
    *,
    recipe: str | Path | Recipe | None = None,
    changes: Sequence[str] = (),
    root: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    cache: str | Path | None = None,
    device: str = "auto",
    workers: int = 2,
    save_every: float = 300.0,
    allow_overlap: bool = False,
    events: Events = SILENT,
    **choices: Any,
) -> TrainedRun:
    """Train a classifier with image labels, so that it can localize.

    No boxes are needed. Where the data set has no split val, a part of every class is held out to
    choose the best epoch by. Started by torchrun, every process calls this and works on its part
    of each batch and of the validation images; the first one writes and tells `events`.

    Args:
        data: as for `eval.manifest.open_data_set`
        out: folder of the run; its `model.safetensors` are the weights, and the folder alone does
            as a checkpoint too
        recipe: name of one that comes along, path of a TOML file, or the record; None for
            `finetune` or, with `resume`, for that of the run
        changes: of the recipe, as text such as `ema=0.99`
        root: image root; None: as the data set has it
        resume: go on with the run in `out`
        force: replace a run that is in `out`
        cache: folder of packed images, which runs may share; None for one that is removed
        device: `auto`, `cpu`, `cuda`, or any name that torch knows
        workers: processes that read images
        save_every: seconds after which an epoch that still runs is saved
        allow_overlap: train all the same where validation images are trained on too, by path or
            content, and say so in the run's record
        events: told of what is done
        choices: fields of `tdam.training.Recipe` to change, such as `epochs=5`

    Returns:
        the weights' file, the settled recipe, what was measured, and what could not be read

    Raises:
        wsol.errors.ArgumentError: a ValueError that says which argument cannot be used, and why
        eval.manifest.ManifestError: data that cannot be trained on, or images that are trained on
            and chosen by
        tdam.training.TrainingError: a training that cannot go on
        tdam.weights.WeightsError: weights that cannot be had
        wsol.folder_lock.FolderHeldError: another process trains in `out`
        KeyboardInterrupt: somebody asked to stop; everything is saved
    """
    folder = Path(out)
    settled = settle_recipe(recipe, changes, choices, folder, resume)
    if isinstance(data, DataSet):
        data = data.path
    elif not isinstance(data, (str, Path)):
        raise TypeError(f"Expected data to be a path or an opened data set but got {data!r}")
    if not Path(data).exists():
        raise ArgumentError("data", tell_absent(data))
    if root is not None and not Path(root).is_dir():
        raise ArgumentError("root", f"{root}: no such folder")

    from tdam.training.errors import TrainingError
    from wsol.runtime import find_device
    from wsol.training.train import train_localizer

    with about("device"):
        where = find_device(device)
    try:
        # A folder that is not there yet is made, and held, once it is known to be no class of the
        # data's.
        with hold_folder(folder) if folder.is_dir() else nullcontext():
            if not resume:
                _check_free(folder, force)
            return train_localizer(
                data,
                folder,
                settled,
                root=root,
                resume=resume,
                force=force,
                device=str(where),
                workers=workers,
                cache=cache,
                save_every=save_every,
                allow_overlap=allow_overlap,
                events=events,
            )
    except OSError as error:
        message = f"{error.filename or folder}: {error.strerror or error}"
        raise TrainingError(message) from error
    except ValueError as error:
        if type(error) is not ValueError:
            raise
        argument = _find_argument(str(error), choices)
        raise ArgumentError("out" if resume else argument, str(error)) from error


def _find_argument(message: str, choices: dict[str, Any]) -> str:
    """Tell which argument a complaint about a training is about, by the field that it names."""
    from tdam.training.recipe import Recipe

    named = re.match(r"Expected (\w+) (to be|from) ", message)
    if named is not None and named[1] in {field.name for field in fields(Recipe)}:
        return named[1]
    return "weights" if "weights" in choices and "weights" in message else "recipe"


def settle_recipe(
    recipe: str | Path | Recipe | None,
    changes: Sequence[str],
    choices: dict[str, Any],
    out: Path,
    resume: bool,
) -> Recipe:
    """Put together the recipe that is asked for.

    Args:
        recipe: as for `train`, like the rest
        changes: as text
        choices: by field
        out: folder of the run
        resume: whether to go on with it

    Raises:
        wsol.errors.ArgumentError: a recipe, change or choice that cannot be used
    """
    from tdam.registry import find_attention, find_spec
    from tdam.training.recipe import DEFAULT_RECIPE, Recipe, load_recipe
    from tdam.unfinished import RECIPE

    with about("recipe"):
        if isinstance(recipe, Recipe):
            settled = recipe
        elif recipe is None and resume:
            if not (out / RECIPE).is_file():
                raise ArgumentError("resume", f"{out} holds no run to go on with")
            settled = load_recipe(str(out / RECIPE))
        else:
            settled = load_recipe(DEFAULT_RECIPE if recipe is None else str(recipe))
    with about("changes"):
        settled = settled.change_by_text([changes] if isinstance(changes, str) else list(changes))
    for key, value in choices.items():
        with about(key):
            settled = settled.change(**{key: value})
    with about("model"):
        find_spec(settled.model)
    with about("attention"):
        find_attention(settled.attention)
    return settled


def _check_free(out: Path, force: bool) -> None:
    """Refuse a folder where a run would overwrite something or, with `force`, what is no run."""
    from tdam.unfinished import RECIPE

    with about("out"):
        if not out.is_dir():
            free_file(out, force)
        elif has_files(out) and not force:
            raise ValueError(
                f"{out} exists; choose another folder, go on with --resume, or add --force"
            )
        elif has_files(out) and not (out / RECIPE).is_file():
            raise ValueError(f"{out} holds something that is no run; choose another folder")
