"""What attention costs: a network with it and the plain one, channels_last, float32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from tdam import create_model
from wsol.speed.ratios import Ratio, compare_times, peak_bytes

if TYPE_CHECKING:
    from tdam.backbones.base import Backbone


def compare_network(
    name: str, settings: dict[str, Any], batch_size: int, repeats: int
) -> list[Ratio]:
    """Compare a network with attention to the plain one, at its own input size.

    Args:
        name: of a registered network
        settings: arguments of `create_model`, attention among them
        batch_size: images at once
        repeats: pairs that count

    Returns:
        ratios of inference time, per-step outputs, training step and peak memory
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    layout = torch.channels_last

    def prepare(**chosen: Any) -> Backbone:
        network = create_model(name, **chosen)
        return network.to(device).to(memory_format=layout)

    plain, ours = prepare(), prepare(**settings)
    side = plain.spec.preprocessing.size
    images = torch.rand(batch_size, 3, side, side, device=device).to(memory_format=layout)
    actual = ours.settings
    label = actual["attention"]
    # The targets are those of the reference configuration.
    reference = {"attention": "tdam", "steps": 2, "distance": 1, "searchlight": "joint"}
    aimed = name == "resnet50" and reference.items() <= actual.items()
    ratios = []
    with torch.inference_mode():
        ratios.append(
            compare_times(
                f"inference, {label} / plain",
                lambda: ours(images),
                lambda: plain(images),
                repeats,
                1.15 if aimed else None,
            )
        )
        if label == "tdam":
            ratios.append(
                compare_times(
                    f"all {actual['steps']} steps / one forward of the same network",
                    lambda: ours.forward_steps(images),
                    lambda: ours(images),
                    repeats,
                    1.30 if actual["steps"] == 2 else None,
                )
            )
        memory = peak_bytes(lambda: ours(images)) / peak_bytes(lambda: plain(images))
    ratios.append(Ratio(f"peak memory of inference, {label} / plain", 1.15, memory, memory, memory))
    ratios.append(
        compare_times(
            f"training step, {label} / plain",
            _Trainer(ours.train(), images),
            _Trainer(plain.train(), images),
            repeats,
            1.25 if aimed else None,
        )
    )
    return ratios


class _Trainer:
    """One step of SGD on synthetic labels."""

    def __init__(self, network: torch.nn.Module, images: torch.Tensor) -> None:
        self.network = network
        self.images = images
        self.labels = torch.zeros(len(images), dtype=torch.long, device=images.device)
        self.optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)

    def __call__(self) -> None:
        self.optimizer.zero_grad()
        logits = self.network(self.images)
        torch.nn.functional.cross_entropy(logits, self.labels).backward()
        self.optimizer.step()
