"""Small worlds that reports are made of, with names that would run if they could."""

import json
import re
from types import SimpleNamespace

import numpy as np
from PIL import Image

from eval.manifest import Split
from eval.protocols import find_protocol
from wsol.evaluation.folder_maps import FolderMaps
from wsol.evaluation.image_results import name_results
from wsol.evaluation.score_maps import score_maps
from wsol.heatmap import to_heatmap
from wsol.report import read_run, write_report

EVIL = "<script>window.hacked=1</script>"
IDS = (
    f"a{EVIL}.png",
    "b\"onerror='window.hacked=1'.png",
    "ça 日本.png",
    "one pixel.png",
    "large.jpg",
    "gone.png",
    "<!--<img src=x onerror=window.hacked=1>.png",
)
SIZES = ((60, 40), (40, 60), (64, 64), (1, 1), (8700, 5800), (30, 30), (50, 20))
NAMES = ("</title>" + EVIL, "d'\"é|*x*")


def make_maps(folder, ids, sharpness):
    """One bright spot a map, somewhere else on each."""
    across = (np.arange(224) + 0.5) / 224
    for row, image_id in enumerate(ids):
        x, y = 0.3 + 0.4 * (row % 3) / 2, 0.3 + 0.4 * (row % 2)
        square = (across[None] - x) ** 2 + (across[:, None] - y) ** 2
        path = folder / f"{image_id}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, to_heatmap(np.exp(-sharpness * square)))
    return folder


def make_split(ids, sizes):
    boxes = [
        np.array([[width * 0.2, height * 0.2, width * 0.7, height * 0.7]]).astype(np.int64)
        for width, height in sizes
    ]
    labels = np.arange(len(ids)) % 2
    return Split("test", tuple(ids), labels, np.array(sizes), tuple(boxes), class_names=NAMES)


def score(split, maps, out, keep=None):
    rules = find_protocol("wsoleval")
    score_maps(FolderMaps(split, maps), [rules], ["oracle"], out=out, keep=keep)
    name_results(out, f"maps {EVIL}", dict(enumerate(NAMES)), None)
    return out


def make_world(home):
    """Images with names that would run, two runs on them, and the report of both."""
    colours = np.random.default_rng(0)
    for image_id, size in zip(IDS, SIZES, strict=True):
        path = home / "images" / image_id
        path.parent.mkdir(parents=True, exist_ok=True)
        if image_id != "gone.png":
            Image.new("RGB", size, tuple(colours.integers(0, 255, 3).tolist())).save(path)
    split = make_split(IDS, SIZES)
    runs = []
    for name, sharpness in (("first", 12), ("second", 40)):
        maps = make_maps(home / name / "maps", IDS, sharpness)
        runs.append(read_run(score(split, maps, home / name), f"{name} <b>"))
    page = write_report(home / "report", runs, home / "images")
    return SimpleNamespace(home=home, split=split, runs=runs, page=page, folder=page.parent)


def block(text, name):
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', text, re.S)
    return json.loads(found[1])
