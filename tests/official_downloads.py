"""Ten classes laid out as ILSVRC is downloaded, and published files of weights, but random."""

import argparse

import numpy as np
import torch

from eval.manifest import load_split
from eval.tables import read_table
from tdam import create_model

_XML = "<annotation><size><width>{}</width><height>{}</height></size>{}</annotation>"
_OBJECT = (
    "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax>"
    "<ymax>{}</ymax></bndbox></object>"
)


def write_ilsvrc(home, source, train, test, boxes="xml"):
    """Link images of `imagenet10` into the official layout.

    Args:
        home: created
        source: folder of `imagenet10`
        train: images of a class at most
        test: the same
        boxes: `xml` in a flat val, or `csv` (Kaggle's table, boxes of the stored pixels) in a val
            that is sorted into classes
    """
    wnids = [row["wnid"] for _, row in read_table(source / "classes.csv", ("label", "wnid"))]
    names = [row["name"] for _, row in read_table(source / "classes.csv", ("label", "name"))]
    images = home / "ILSVRC" / "Data" / "CLS-LOC"
    for wnid in wnids:
        (images / "train" / wnid).mkdir(parents=True)
        for path in sorted((source / "train" / wnid).iterdir())[:train]:
            (images / "train" / wnid / path.name).symlink_to(path)
    lines = [f"{wnid} {name}" for wnid, name in zip(wnids, names, strict=True)]
    (home / "LOC_synset_mapping.txt").write_text("\n".join(lines) + "\n")
    (images / "val").mkdir()
    xml = home / "ILSVRC" / "Annotations" / "CLS-LOC" / "val"
    table = ["ImageId,PredictionString"]
    split = load_split(source / "manifest", "test")
    for row in _first(split.labels, test):
        wnid, path = wnids[split.labels[row]], source / split.ids[row]
        size, corners = split.sizes[row], split.boxes[row]
        if boxes == "csv":
            scale = 224 / np.array([*size, *size])  # as the stored images are
            corners = (corners * scale).astype(int)
            words = " ".join(f"{wnid} {' '.join(map(str, box))}" for box in corners.tolist())
            table.append(f"{path.stem},{words} ")
            (images / "val" / wnid).mkdir(exist_ok=True)
            (images / "val" / wnid / path.name).symlink_to(path)
            continue
        objects = "".join(_OBJECT.format(wnid, *box) for box in corners.tolist())
        xml.mkdir(parents=True, exist_ok=True)
        (xml / f"{path.stem}.xml").write_text(_XML.format(*size, objects))
        (images / "val" / path.name).symlink_to(path)
    if boxes == "csv":
        (home / "LOC_val_solution.csv").write_text("\n".join(table) + "\n")
    return home


def _first(labels, count):
    return sorted(row for label in set(labels) for row in np.flatnonzero(labels == label)[:count])


def write_published(folder, files):
    """Write random weights under published names, wrapped as timm's trainer does.

    Args:
        folder: created
        files: by name of the file: network, T and m; None in place of these for a plain network
    """
    folder.mkdir(parents=True, exist_ok=True)
    for file, (network, steps) in files.items():
        torch.manual_seed(len(file))
        settings = {}
        if steps is not None:
            settings = {"attention": "tdam", "steps": steps[0], "distance": steps[1]}
        state = create_model(network, **settings).state_dict()
        if steps is None:
            torch.save(state, folder / file)
            continue
        named = {_publish(key): each for key, each in state.items() if not key.endswith(".gain")}
        content = {
            "state_dict": named, "arch": f"td_{network}", "epoch": 7, "version": 2, "metric": 0.1,
            "args": argparse.Namespace(model=f"td_{network}"),
        }  # fmt: skip
        torch.save(content, folder / file)
    return folder


def _publish(key):
    """Give a tensor of ours the name that it has in the published files."""
    block, is_added, rest = key.partition("top_down.")
    if not is_added:
        return key
    kind, *parts = rest.split(".")
    if kind == "norms":
        step, norm, tensor = parts
        return f"{block}{norm}_{int(step) + 1}.{tensor}"
    layers = {"from_top": "Ug_top_mlp.0", "from_bottom": "Ug_bottom_mlp.0", "to_bottom": "Ug_mlp.0"}
    return f"{block}RA_block.{layers[parts[0]]}.weight"


PUBLISHED = {
    "TD_RNet18_t2_m2_joint.pth.tar": ("resnet18", (2, 2)),
    "TD_RNet34_t2_m2_joint.pth.tar": ("resnet34", (2, 2)),
    "TD_RNet50_t2_m1_joint.pth.tar": ("resnet50", (2, 1)),
    "TD_RNet101_t2_m1_joint.pth.tar": ("resnet101", (2, 1)),
    "resnet18-f37072fd.pth": ("resnet18", None),
    "resnet34-b627a593.pth": ("resnet34", None),
    "resnet50-0676ba61.pth": ("resnet50", None),
    "resnet101-63fe2227.pth": ("resnet101", None),
}


def write_metadata(home, source, train, val, test):
    """Link images of `imagenet10` as the standard evaluation has ImageNet, and describe them so.

    Args:
        home: takes `metadata/ILSVRC` and `dataset/ILSVRC`
        source: folder of `imagenet10`
        train: images of a class at most
        val: the same; they stand for ImageNetV2
        test: the same
    """
    images, wnids = home / "dataset" / "ILSVRC", {}
    for name, most in (("train", train), ("val", val), ("test", test)):
        split = load_split(source / "manifest", name)
        files = {"image_ids": [], "class_labels": [], "image_sizes": [], "localization": []}
        for count, row in enumerate(_first(split.labels, most)):
            label, path = int(split.labels[row]), source / split.ids[row]
            if name == "train":
                wnids[label] = path.parent.name
            where = {
                "train": f"train/{wnids.get(label)}/{path.stem}.JPEG",
                "val": f"val2/{label}/{count}.jpeg",
                "test": f"val/{path.name}",
            }[name]
            (images / where).parent.mkdir(parents=True, exist_ok=True)
            (images / where).symlink_to(path)
            files["image_ids"].append(where)
            files["class_labels"].append(f"{where},{label}")
            if name != "train":
                files["image_sizes"].append(f"{where},{split.sizes[row][0]},{split.sizes[row][1]}")
                for box in split.boxes[row].tolist():
                    files["localization"].append(f"{where},{','.join(map(str, box))}")
        folder = home / "metadata" / "ILSVRC" / name
        folder.mkdir(parents=True)
        for file, lines in files.items():
            (folder / f"{file}.txt").write_text("\n".join(lines))
    return home / "metadata" / "ILSVRC", images
