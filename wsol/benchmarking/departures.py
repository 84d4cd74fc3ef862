"""What tells a run from the experiment as it stands, so that its expected values do not count."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from eval.manifest import ManifestError
from wsol.fingerprints import hash_file
from wsol.training.data import load_training_data

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wsol.benchmarking.experiment import Experiment
    from wsol.benchmarking.plan import Task
    from wsol.benchmarking.scored_data import ScoredData


def list_departures(experiment: Experiment, images: int, on: ScoredData | None) -> list[str]:
    """Say what of a run's images and recipe is not as the experiment has it.

    Args:
        experiment: with what was changed in it, and the numbers of images that it is of
        images: how many are scored
        on: the data; None where all runs are recorded

    Returns:
        a line each; none where it is the experiment as it stands, as far as numbers tell
    """
    lines = []
    if experiment.changes:
        lines.append(f"recipe changed by {', '.join(experiment.changes)}")
    whole = experiment.whole
    if whole.images not in (0, images):
        what = f"images in split {experiment.scoring.split}"
        lines.append(f"{images:,} {what}, where it is of {whole.images:,}")
    trained = next((each for each in experiment.models if each.checkpoint is None), None)
    if on is None or trained is None or not whole.training_images:
        return lines
    recipe = trained.recipe
    try:
        used = load_training_data(on.data, None, recipe.val_share, recipe.seed, recipe.per_class)
    except ManifestError:  # nothing to train on, so that weights are scored as they are
        return lines
    if len(used.train) < whole.training_images:
        what = f"{len(used.train):,} training images"
        lines.append(f"{what}, where it has at least {whole.training_images:,}")
    return lines


def list_strange_weights(tasks: Iterable[Task]) -> list[str]:
    """Say which files of weights are not those that the experiment means, by their SHA-256.

    Args:
        tasks: the runs; a file that is not there is told elsewhere

    Returns:
        a line each, for those whose hash is known
    """
    lines = []
    for task in tasks:
        wanted = task.sha256
        digest = hash_file(task.weights) if wanted and task.weights and not task.recorded else None
        if digest is not None and not digest.startswith(wanted):
            shown = digest[: len(wanted)]
            file = Path(task.weights or "").name
            lines.append(f"{file}: its sha256 begins with {shown}, not with {wanted}")
    return list(dict.fromkeys(lines))
