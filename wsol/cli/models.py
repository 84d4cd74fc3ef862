"""`wsol models`: the networks there are."""

from __future__ import annotations


def models() -> None:
    """List the networks: parameters, input, and where their default weights come from."""
    import torch

    from tdam.registry import MODELS, create_model
    from wsol.cli.common import print_table

    rows = []
    for name, spec in MODELS.items():
        with torch.device("meta"):
            parameters = sum(p.numel() for p in create_model(name).parameters())
        side = spec.preprocessing.size
        rows.append([name, f"{parameters / 1e6:.2f} M", f"{side} x {side}", spec.map_layer])
        rows[-1].append(spec.pretrained)
    header = ["network", "parameters", "input", "map layer", "default weights"]
    print_table("Networks", header, rows)
