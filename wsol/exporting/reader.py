"""Boxes from what `wsol export` wrote, as `wsol predict` has them: wsol_reader.py NAME.onnx PHOTO.

Needs numpy, opencv-python, pillow, onnxruntime, and NAME.json beside NAME.onnx. Pictures of more
than 8 bits a channel are not read as there.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from PIL import Image, ImageOps


class Reader:
    """Localizes with the network of an ONNX file."""

    def __init__(self, path: str | Path) -> None:
        self.told = json.loads(Path(path).with_suffix(".json").read_text(encoding="utf-8"))
        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def __call__(self, photos: Sequence[str | Path]) -> list[list[dict[str, Any]]]:
        """Find the k classes of each photo: name, probability, box (x0 y0 x1 y1, or None)."""
        inputs, regions = zip(*map(self.prepare, photos), strict=True)
        outputs = ["classes", "probabilities", "maps"]
        found = self.session.run(outputs, {"images": np.stack(inputs)})
        return [[{"name": self.told["classes"][label], "probability": float(likely),
                  "box": self.cut_box(raw, region)} for label, likely, raw in zip(*own, strict=True)]
                for *own, region in zip(*found, regions, strict=True)]  # fmt: skip

    def prepare(self, path: str | Path) -> tuple[np.ndarray, np.ndarray]:
        """Read a photo: (3, side, side), normalised, and the part of it that this shows."""
        image, told = ImageOps.exif_transpose(Image.open(path)), self.told["input"]
        if image.has_transparency_data:
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image.convert("RGBA"))
        size = np.array(image.size, np.float64)
        shown = size if told["mode"] == "squash" else size.min() * told["share"]
        region = np.concatenate([(size - shown) / 2, (size + shown) / 2])
        how = Image.Resampling[told["interpolation"].upper()]
        resized = image.convert("RGB").resize((told["size"],) * 2, how, box=tuple(region))
        pixels = np.asarray(resized, np.float32) / 255 - np.array(told["mean"], np.float32)
        return (pixels / np.array(told["std"], np.float32)).transpose(2, 0, 1), region

    def cut_box(self, raw: np.ndarray, region: np.ndarray) -> list[float] | None:
        """Draw the box around the largest region of a map, in pixels of the photo."""
        side = self.told["input"]["size"]
        heat = cv2.resize(raw, (side, side), interpolation=cv2.INTER_CUBIC)
        heat = heat - heat.min()
        if not raw.max() > raw.min() or not 0 < heat.max() < np.inf:  # which NaN fails, too
            return None
        levels = ((heat / heat.max()).astype(np.float64) * 255).astype(np.uint8)
        mask = (levels > int(self.told["threshold"] * int(levels.max()))).astype(np.uint8)
        borders, _ = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
        if not borders:
            return None
        x, y, width, height = cv2.boundingRect(max(borders, key=cv2.contourArea))
        scale = np.tile(region[2:] - region[:2], 2)
        box = np.array([x, y, x + width, y + height]) * scale / side + np.tile(region[:2], 2)
        return [float(edge) for edge in box]


if __name__ == "__main__":
    reader = Reader(sys.argv[1])
    for photo in sys.argv[2:]:
        sys.stdout.write("".join(f"{photo}\t{json.dumps(each)}\n" for each in reader([photo])[0]))
