"""What a threshold without a box gives away, on objects of three sizes; needs the real images.

WSOL_DATA=FOLDER python tests/benchmarks/unlabelled_threshold.py [--most N] prints a table: GT-known
Loc (IoU 0.5) at the oracle's threshold, and at 0.2, Li's and the found one less that, with the
paired interval of the found one against 0.2. With --counts: the thresholds that random choices of
12 to 100 images ask for, and what they give on all.
"""

import argparse
import csv
import os
import sys
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from skimage.filters import threshold_li

from eval.cub import build_cub
from eval.geometry import to_edges
from eval.manifest import load_split
from eval.protocols import find_protocol
from eval.splits import spread_rows, take_rows
from tdam import create_model, load_checkpoint
from wsol.evaluation.calibration import _measure, choose_threshold
from wsol.evaluation.network_maps import NetworkMaps
from wsol.evaluation.unlabelled import find_steady_boxes, of_outputs
from wsol.frames import cut_frame
from wsol.images import read_image
from wsol.levels import LEVELS, quantise

RULES = find_protocol("clean")
NETWORKS = {
    "weights that come along": lambda: load_checkpoint("efficientnet_lite0_tdam")[0],
    "plain": lambda: create_model("efficientnet_lite0", weights="pretrained"),
}
METHODS = {
    "weights that come along": (("gradcampp", None), ("cam", None)),
    "plain": (("gradcampp", None), ("layercam", "bn2"), ("cam", None)),
}


def reframe(split, root, folder, how, seed):
    """Write a copy of every image cropped to its largest object, or set into its surroundings."""
    random = np.random.default_rng(seed)
    boxes, sizes, ids = [], [], []
    for row, image_id in enumerate(split.ids):
        image = read_image(root / image_id, boxed=split.size(row))
        shares = to_edges(split.boxes[row]) / np.tile(split.sizes[row], 2)
        largest = shares[(shares[:, 2:] - shares[:, :2]).prod(axis=1).argmax()]
        frame = np.array([-0.2, -0.2, 1.2, 1.2])
        if how == "big":
            side = np.minimum((largest[2:] - largest[:2]) / random.uniform(0.8, 1.0), 1)
            start = largest[:2] - random.random(2) * (side - (largest[2:] - largest[:2]))
            start = start.clip(0, 1 - side)
            frame = np.concatenate([start, start + side])
        pixels = np.multiply(frame[2:] - frame[:2], image.size)
        cut = cut_frame(image, frame, int(pixels.max() / 1.5) + 1)
        name = f"{row}.png"
        cut.save(folder / name)
        inside = (shares - np.tile(frame[:2], 2)) / np.tile(frame[2:] - frame[:2], 2)
        inside = inside.clip(0, 1)[
            ((inside.clip(0, 1)[:, 2:] - inside.clip(0, 1)[:, :2]) > 0).all(1)
        ]
        boxes.append(inside * np.tile(cut.size, 2) - [0, 0, 1, 1])
        sizes.append(cut.size)
        ids.append(name)
    return replace(split, ids=tuple(ids), sizes=np.array(sizes), boxes=tuple(boxes))


def overlaps(source):
    """Overlap with a true box at every threshold, an image a row."""
    with closing(_measure(source, 0, 1)) as batches:
        return np.stack([each for batch in batches for *_, each in batch])


def li_mean(source):
    maps = (shown.heat(RULES) for shown in source.read(range(len(source.split))))
    return float(np.mean([threshold_li(quantise(heat)) / LEVELS for heat in maps if heat.any()]))


def paired(hits, others):
    differences = 100 * (hits.astype(float) - others)
    picked = np.random.default_rng(0).integers(0, len(hits), (2000, len(hits)))
    low, high = np.percentile(differences[picked].mean(axis=1), [2.5, 97.5])
    return f"{differences.mean():+.1f} ({low:+.1f} to {high:+.1f})"


def judge(source, steady):
    chosen = choose_threshold(of_outputs(replace(source, split=steady)))
    hits = overlaps(source) >= 0.5
    rates, grid = 100 * hits.mean(axis=0), RULES.thresholds

    def at(threshold):
        return int(np.abs(grid - threshold).argmin())

    best, li = rates.argmax(), li_mean(source)
    return (
        f"{rates[best]:.1f} ({grid[best]:.2f})",
        f"{rates[at(0.2)] - rates[best]:+.1f}",
        f"{rates[at(li)] - rates[best]:+.1f} ({li:.2f})",
        f"{rates[at(chosen.threshold)] - rates[best]:+.1f} ({chosen.threshold:.2f})",
        f"{chosen.interval[0]:.2f} to {chosen.interval[1]:.2f}",
        f"{100 * chosen.overlap:.0f}",
        paired(hits[:, at(chosen.threshold)], hits[:, at(0.2)]),
    )


def list_sets(home, most, scratch):
    table = {
        int(row["label"]): int(row["imagenet1k_index"])
        for row in csv.DictReader((home / "imagenet10" / "classes.csv").open())
    }
    imagenet = load_split(home / "imagenet10" / "manifest", "test")
    cub = home / "cub10" / "CUB_200_2011"
    birds = next(split for split in build_cub(cub, scratch / "cub").splits if split.name == "test")
    for name, split, root, classes in (
        ("imagenet10", imagenet, home / "imagenet10", table),
        ("birds", birds, cub / "images", None),
    ):
        split = spread_rows(split, most)
        yield name, split, root, classes
        for seed, how in ((101, "big"), (102, "small")):
            folder = scratch / f"{name}-{how}"
            folder.mkdir()
            yield f"{name} {how}", reframe(split, root, folder, how, seed), folder, classes


def tell(cells):
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


def count_images(most):
    """Print the threshold of some images, its interval, and the loss of it on all, in points."""
    tell(("data", "images", "threshold", "its interval", "loss"))
    with tempfile.TemporaryDirectory() as scratch:
        sets = list_sets(Path(os.environ["WSOL_DATA"]), most, Path(scratch))
        model = NETWORKS["plain"]()
        for name, split, root, classes in sets:
            if name not in ("imagenet10", "birds"):
                continue
            whose = "predicted" if classes is None else "ground_truth"
            source = NetworkMaps(model, split, root, "gradcampp", classes, whose, batch_size=16)
            rates = 100 * (overlaps(source) >= 0.5).mean(axis=0)
            random = np.random.default_rng(7)
            for count, times in ((12, 5), (24, 5), (50, 4), (100, 2)):
                for _ in range(times):
                    rows = sorted(random.choice(len(split), count, replace=False).tolist())
                    part = replace(source, split=take_rows(split, rows, name))
                    steady, _ = find_steady_boxes(part)
                    found = choose_threshold(of_outputs(replace(part, split=steady)))
                    low, high = found.interval
                    at = int(np.abs(RULES.thresholds - found.threshold).argmin())
                    loss = rates.max() - rates[at]
                    tell((name, str(count), f"{found.threshold:.3f}", f"{low:.2f} to {high:.2f}",
                          f"{loss:.1f}"))  # fmt: skip


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--most", type=int, default=200, help="images a set")
    options.add_argument("--counts", action="store_true", help="of fewer images")
    chosen = options.parse_args()
    most = chosen.most
    if chosen.counts:
        count_images(most)
        return
    header = ("maps", "data", "oracle", "0.2", "Li", "steady boxes", "its interval",
              "agreement, %", "steady boxes minus 0.2")  # fmt: skip
    tell(header)
    with tempfile.TemporaryDirectory() as scratch:
        sets = list(list_sets(Path(os.environ["WSOL_DATA"]), most, Path(scratch)))
        for network, make in NETWORKS.items():
            model = make()
            for name, split, root, classes in sets:
                whose = "predicted" if classes is None else "ground_truth"
                source = NetworkMaps(model, split, root, "gradcampp", classes, whose, batch_size=16)
                steady, _ = find_steady_boxes(source)
                for method, layer in METHODS[network]:
                    maps = replace(source, method=method, layer=layer)
                    row = (f"{network}, {method}", name, *judge(maps, steady))
                    tell(row)


if __name__ == "__main__":
    main()
