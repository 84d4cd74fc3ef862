"""What would fail after hours of training or scoring, told before the first run begins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdam import create_model
from tdam.named_weights import is_named
from tdam.torchvision_files import name_file
from tdam.weights import WeightsError
from wsol.benchmarking.score_weights import build_network, find_primary
from wsol.classes import class_names
from wsol.label_matching import true_outputs
from wsol.maps.names import settle_method
from wsol.training.data import load_training_data
from wsol.training.network import begin_network
from wsol.training.train import check_training

if TYPE_CHECKING:
    from eval.manifest import DataSet
    from tdam.training.recipe import Recipe
    from wsol.benchmarking.experiment import Entry, Scoring
    from wsol.benchmarking.score_weights import Images


def check_weights(entry: Entry, weights: str, images: Images, scoring: Scoring) -> None:
    """See whether weights can be scored in every variant.

    Args:
        entry: the model
        weights: as for `build_network`
        images: to score, and to choose thresholds on
        scoring: protocols and variants

    Raises:
        ValueError: weights, labels, methods or threshold rules that do not fit
        tdam.weights.WeightsError: weights that cannot be had or read
    """
    find_primary(scoring, images)
    if entry.origin and not is_named(weights) and not Path(weights).exists():
        raise WeightsError(f"{weights}: no such file; it can be had at {entry.origin}")
    for stride in scoring.output_strides:
        try:
            network = build_network(entry, weights, stride, scoring.size, images.trained_classes)
        except WeightsError as error:
            file = name_file(entry.recipe.model, weights)
            if not file:
                raise
            raise WeightsError(
                f"{error}; {file} in the folder of --weights does as well"
            ) from error
        _check_network(network, images, scoring)


def check_trained(
    recipe: Recipe, folder: Path, images: Images, scoring: Scoring, data: DataSet
) -> None:
    """See whether a training can begin, and what comes out of it be scored in every variant.

    Args:
        recipe: of the training, settled
        folder: of the run
        images: to score, and to choose thresholds on
        scoring: protocols and variants
        data: the data set

    Raises:
        ValueError: a recipe, labels, methods or threshold rules that do not fit
        eval.manifest.ManifestError: data that cannot be trained on
        tdam.weights.WeightsError: weights that cannot be had or read
    """
    find_primary(scoring, images)
    training_data = load_training_data(data, None, recipe.val_share, recipe.seed, recipe.per_class)
    check_training(recipe, training_data, folder, None)
    network, _, _ = begin_network(recipe, training_data, folder, [])
    _check_network(network, images, scoring)
    settings = {**recipe.architecture, "num_classes": network.settings["num_classes"]}
    for stride in scoring.output_strides:
        if stride:
            create_model(recipe.model, **{**settings, "output_stride": stride})


def _check_network(network: Any, images: Images, scoring: Scoring) -> None:
    """Refuse methods or labels that do not fit a network."""
    for method in scoring.methods:
        settle_method(method, network)
    count = network.settings["num_classes"]
    classes = images.find_classes(class_names(count, network.class_names))
    for split in (images.scored, images.chooser):
        if split is not None:
            needed = any(rules.class_map == "ground_truth" for rules in scoring.rules)
            true_outputs(split, classes, count, needed)
