"""Which stage of a network each of its parameters belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdam.attach import modules_of

if TYPE_CHECKING:
    from tdam.backbones.base import Backbone


def find_stages(model: Backbone) -> dict[str, int]:
    """Number the stage of every parameter, aside from the classifier's and what was added to it.

    A stage is what `stage_blocks` names, with what leads into it: the stem belongs to the first,
    a transition to the stage behind it, and what follows the last stage to that. Modules that no
    weights of others have, such as VGG-16's sixth convolution, count to the classifier.

    Args:
        model: from `create_model`

    Returns:
        stage from 0 by name, in the network's order

    >>> from tdam import create_model
    >>> stages = find_stages(create_model("resnet18"))
    >>> stages["conv1.weight"], stages["layer1.0.conv1.weight"], stages["layer4.1.bn2.bias"]
    (0, 0, 3)
    """
    blocks = model.stage_blocks()
    new = tuple(f"{module}." for module in (model.spec.classifier, *model.spec.added))
    starts = {
        f"{module}.": stage
        for stage, names in enumerate(blocks)
        for name in names
        for module in modules_of(name)
    }
    stages: dict[str, int] = {}
    waiting: list[str] = []  # for the stage that they lead into
    for name, _ in model.named_parameters():
        if name.startswith(new):
            continue
        stage = next((starts[start] for start in starts if name.startswith(start)), None)
        if stage is None:
            waiting.append(name)
            continue
        stages |= dict.fromkeys([*waiting, name], stage)
        waiting = []
    return stages | dict.fromkeys(waiting, len(blocks) - 1)


def spread_factors(model: Backbone, factors: tuple[float, ...]) -> dict[str, float]:
    """Give every parameter, the classifier's aside, its stage's factor.

    Args:
        model: from `create_model`
        factors: by stage; none for 1 everywhere

    Raises:
        ValueError: not as many factors as stages
    """
    stages = find_stages(model)
    count = len(model.stage_blocks())
    if factors and len(factors) != count:
        raise ValueError(
            f"Expected stage_lr to be {count} factors, one for each stage of {model.spec.name}, "
            f"but got {len(factors)}"
        )
    return {name: factors[stage] if factors else 1.0 for name, stage in stages.items()}
