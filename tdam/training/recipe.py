"""A recipe: every choice of a training as one frozen record, read from TOML."""

from __future__ import annotations

import json
import reprlib
import tomllib
from dataclasses import asdict, dataclass, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from tdam.named_weights import is_named
from tdam.toml_records import fit_fields, read_toml
from tdam.training.recipe_rules import check_alone, check_together

DEFAULT_RECIPE = "finetune"

ARCHITECTURE = (
    "attention", "steps", "distance", "searchlight", "output_stride", "dilated", "head",
    "acol_threshold", "regularizer", "regularized", "adl_rate", "adl_threshold",
)  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Args:
        name: of the recipe
        model: name of a registered network
        attention: as `create_model` takes it, like all down to `adl_threshold`
        steps: T
        distance: m
        searchlight: kind of it
        output_stride: 32, 16 or 8
        dilated: reach a stride below 32 by dilation, or by stride 1 alone
        head: `own`; `mean`, a linear one on the mean of the last map; `acol`, two classifiers; or
            `spg`, one like `mean` with branches that guide it
        acol_threshold: share of its range from which on the first one's map is erased
        regularizer: layer that acts in training only, a key of `tdam.regularizers.REGULARIZERS`
        regularized: blocks that it follows; none for its usual places
        adl_rate: probability that ADL hides what is looked at most
        adl_threshold: share of the strongest attention from which on it is hidden
        weights: `pretrained`; torchvision's `imagenet1k_v1` or `imagenet1k_v2`; `random`; or the
            path of a file
        new_head: take a file's weights without its classifier; the new one starts at zero
        freeze_norms: keep the statistics of batch norms as the weights have them, which few images
            cannot improve; their gains and offsets still learn
        size: side of the input, in pixels; 0 for the network's own
        small_size: side of the input in the first epochs, in pixels, where smaller is faster; 0 for
            no such epochs
        small_epochs: number of epochs at that size
        epochs: passes over all training images, those of `cooldown` among them
        batch_size: images in a batch, of all processes together
        accumulate: batches whose gradients make one step
        optimizer: `sgd` with Nesterov's momentum, or `adamw`
        lr: highest learning rate of the backbone
        stage_lr: factors on `lr` for each stage of the network in turn, its attention too; the
            stem goes with the first, what lies before a stage with that stage, what follows the
            last with the last. There are as many as stages: 4 in ResNet and ConvNeXt, 5 in
            EfficientNet-Lite, MobileNetV3 and VGG; none for 1 everywhere
        head_lr: factor on `lr` for the classifier, and for modules that no weights of others have
        attention_lr: factor on the stage's rate for what attention adds, but a later step's norms.
            A searchlight is summed over all channels: from pretrained features, steps that suit a
            convolution saturate it at once
        momentum: of SGD; the first beta of AdamW
        weight_decay: of all weights but those of norms, and biases
        decay_norms: let norms and biases decay too
        schedule: `cosine` down to `min_lr`, or `steps`
        rate_every: set the rate anew at every `step`, by the moment of its middle, or at every
            `epoch`, by the number of epochs before it
        min_lr: lowest rate after the warm-up; a group whose highest rate is lower keeps that
        warmup: epochs in which the rate rises from `warmup_lr`
        warmup_lr: rate that it rises from
        warmup_prefix: the cosine begins where the warm-up ends; false: with the first epoch, and
            the warm-up stands in place of its beginning, as in timm's trainer
        cooldown: last epochs, after the cosine, at `min_lr`
        drops: epochs after which the schedule `steps` multiplies the rate by `drop`
        drop: that factor
        learns: `all`, or the `classifier` alone: what it takes of each image, and of the mirrored
            one, is computed once, and every epoch learns from that. Views are of the whole image
        targets: what the network learns to say of an image: its class (`labels`), or what the same
            weights without attention say of the whole image (`plain`). Then only the parts that
            attention adds learn, and the weights keep their classes, of which the data may show
            few. The network stays in evaluation mode: no statistics change
        loss: a key of `tdam.training.losses.LOSSES`
        label_smoothing: share of probability spread over all classes
        mixup: alpha of mixed images; 0 for none
        cutmix: alpha of pasted patches; 0 for none; with both, a batch takes either
        mix_rate: probability that a batch is mixed at all, by these two
        erasing: probability that a patch of an image becomes noise
        hide_rate: probability that a square of an image gets the mean colour (Hide-and-Seek: K.
            Singh, Y. Lee, ICCV 2017), anew for each square and each view; 0 for none
        hide_sizes: sides of the squares that a view is cut into, in pixels, from the upper left;
            each view takes one of them at random, 0 leaving it whole
        min_scale: least share of an image's area that a crop shows; 1 squashes the whole image
        resize: side in pixels that images are squashed to before a random crop of `size`, in place
            of crops by `min_scale`; 0 for those. Smaller views take as large a part
        interpolation: of views: `bilinear`, `bicubic`, or either of them at `random` for each image
        flip: probability of a mirrored image
        colour: strength of random brightness, contrast and saturation
        ema: decay per step of the averaged weights, which are then the result; 0 for none
        precision: `float32`; `bfloat16` by autocast; `float16` by autocast, with loss scaling, for
            GPUs without bfloat16; or `auto` for the faster of the first two on this machine. It is
            the training's: validation is in float32
        channels_last: memory layout of images and weights
        compile: run the network through torch.compile
        packed: decode and reduce every image once, before the first epoch
        select: which epoch's weights are the result: the best by `accuracy` on the validation
            images, by `localization` on those with boxes, or the `last`
        method: map method that is stored with the weights; `auto` for the network's own
        pick_threshold: threshold that is stored with the result: `val`, the one that fits the boxes
            of validation images best; `unlabelled`, the one that training images ask for without a
            box; or `none`
        val_share: part of the training images held out where no validation split exists
        per_class: training images of a class at most, the first of the split in its order; 0 for
            all
        val_limit: images that an epoch is measured on at most, evenly spread over the classes of
            the validation images; 0 for all
        val_every: epochs from one measurement to the next; the last one is always measured
        seed: of all random numbers
    """

    name: str = DEFAULT_RECIPE
    model: str = "efficientnet_lite0"
    attention: str = "none"
    steps: int = 2
    distance: int = 1
    searchlight: str = "joint"
    output_stride: int = 32
    dilated: bool = True
    head: Literal["own", "mean", "acol", "spg"] = "own"
    acol_threshold: float = 0.7
    regularizer: str = "none"
    regularized: tuple[str, ...] = ()
    adl_rate: float = 0.75
    adl_threshold: float = 0.9
    weights: str = "pretrained"
    new_head: bool = False
    freeze_norms: bool = False
    size: int = 0
    small_size: int = 0
    small_epochs: int = 0
    epochs: int = 20
    batch_size: int = 32
    accumulate: int = 1
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.01
    stage_lr: tuple[float, ...] = ()
    head_lr: float = 1.0
    attention_lr: float = 1.0
    momentum: float = 0.9
    weight_decay: float = 1e-4
    decay_norms: bool = False
    schedule: Literal["cosine", "steps"] = "cosine"
    rate_every: Literal["step", "epoch"] = "step"
    min_lr: float = 0.0
    warmup: float = 1.0
    warmup_lr: float = 0.0
    warmup_prefix: bool = True
    cooldown: int = 0
    drops: tuple[int, ...] = ()
    drop: float = 0.1
    learns: Literal["all", "classifier"] = "all"
    targets: Literal["labels", "plain"] = "labels"
    loss: str = "cross_entropy"
    spg_thresholds: tuple[float, ...] = (0.7, 0.01, 0.5, 0.05, 0.7, 0.1)
    label_smoothing: float = 0.1
    mixup: float = 0.0
    cutmix: float = 0.0
    mix_rate: float = 1.0
    erasing: float = 0.0
    hide_rate: float = 0.0
    hide_sizes: tuple[int, ...] = (0, 16, 32, 44, 56)
    min_scale: float = 0.35
    resize: int = 0
    interpolation: Literal["bilinear", "bicubic", "random"] = "bilinear"
    flip: float = 0.5
    colour: float = 0.0
    ema: float = 0.0
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
    channels_last: bool = True
    compile: bool = False
    packed: bool = False
    select: Literal["accuracy", "localization", "last"] = "accuracy"
    method: str = "auto"
    pick_threshold: Literal["none", "val", "unlabelled"] = "none"
    val_share: float = 0.15
    per_class: int = 0
    val_limit: int = 0
    val_every: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check_alone(self)

    def check_together(self) -> None:
        """Refuse choices that each can be made, but not with the others.

        Raises:
            ValueError: it names one of them
        """
        check_together(self)

    @property
    def architecture(self) -> dict[str, Any]:
        """Arguments of `create_model` that say what becomes of the network that `model` names."""
        own = {name: getattr(self, name) for name in ARCHITECTURE}
        return {**own, "regularized": self.regularized or None}

    @property
    def starts_from_file(self) -> bool:
        """Whether the weights to begin with are the caller's own, in a file or a run's folder."""
        return self.weights != "random" and not is_named(self.weights)

    def change(self, **choices: Any) -> Recipe:
        """Return a recipe with some choices replaced.

        Raises:
            ValueError: a key that does not exist (the message lists those that do), or a value of
                another type or out of range
        """
        if isinstance(picks := choices.get("pick_threshold"), bool):  # as recipes once had it
            choices["pick_threshold"] = "val" if picks else "none"
        return replace(self, **fit_fields("a recipe", Recipe, choices))

    def change_by_text(self, assignments: list[str]) -> Recipe:
        """Return a recipe with choices replaced that are written as `key=value`.

        Raises:
            ValueError: no `=`, a key that does not exist, or a value that does not fit
        """
        choices: dict[str, Any] = {}
        for text in assignments:
            key, equals, value = text.partition("=")
            if not equals:
                raise ValueError(f"Expected key=value but got {text!r}")
            try:
                choices[key.strip()] = tomllib.loads(f"it = {value}")["it"]
            except (ValueError, RecursionError):
                choices[key.strip()] = value.strip()  # words need no quotes
        return self.change(**choices)

    def to_toml(self) -> str:
        """Write all choices down, as `load_recipe` reads them."""
        lines = [
            f"{name} = {json.dumps(value, ensure_ascii=False)}"
            for name, value in asdict(self).items()
        ]
        return "\n".join(lines).replace("\x7f", "\\u007f") + "\n"  # TOML takes no DEL as it is


def list_recipes() -> list[str]:
    """Name the recipes that the package carries."""
    folder = resources.files("tdam.training") / "recipes"
    return sorted(Path(each.name).stem for each in folder.iterdir() if each.name.endswith(".toml"))


def load_recipe(name: str | Path) -> Recipe:
    """Read a recipe.

    Args:
        name: of one that the package carries, or the path of a TOML file: the keys are the fields
            of `Recipe`, and `base` names the recipe whose choices hold where a key is missing

    Raises:
        ValueError: no such recipe, or one that breaks a rule of `Recipe`

    >>> load_recipe("finetune").model
    'efficientnet_lite0'
    """
    return _load(str(name), ())


def _load(name: str, seen: tuple[str, ...]) -> Recipe:
    if name in seen:
        raise ValueError(f"Expected a recipe but {' -> '.join((*seen, name))} never ends")
    if name in list_recipes():
        path = Path(str(resources.files("tdam.training") / "recipes" / f"{name}.toml"))
    elif name.endswith(".toml"):
        path = Path(name)
    else:
        raise ValueError(
            f"Expected recipe to be one of {', '.join(list_recipes())} or a .toml file but got "
            f"{name!r}"
        )
    content, _ = read_toml(path, "a recipe")
    try:
        base = content.pop("base", None)
        if base is not None and not isinstance(base, str):
            raise ValueError(f"Expected base to name a recipe but got {reprlib.repr(base)}")
        recipe = Recipe() if base is None else _load(base, (*seen, name))
        return recipe.change(**{"name": path.stem, **content})
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def differing_keys(first: Recipe, second: Recipe) -> list[str]:
    """Name the choices in which two recipes differ."""
    return [f.name for f in fields(first) if getattr(first, f.name) != getattr(second, f.name)]
