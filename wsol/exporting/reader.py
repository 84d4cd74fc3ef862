"""Boxes as `wsol predict` draws them, without torch: wsol_reader.py NAME.onnx PHOTO ..."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from PIL import Image, ImageOps


class Reader:
    """Localizes with the network of an ONNX file; `told` is what the JSON beside it says."""

    def __init__(self, path: str | Path) -> None:
        self.told = json.loads(Path(path).with_suffix(".json").read_text(encoding="utf-8"))
        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def __call__(self, photos: list[str]) -> list[list[tuple[str, float, list[float] | None]]]:
        """Find the k classes of each photo: name, probability, and box x0 y0 x1 y1 or None."""
        inputs, parts = zip(*map(self.prepare, photos), strict=True)
        wanted, names = ["classes", "probabilities", "maps"], self.told["classes"]
        found = self.session.run(wanted, {"images": np.stack(inputs)})
        rows = [(zip(*row, strict=True), part) for *row, part in zip(*found, parts, strict=True)]
        return [[(names[c], float(p), self.cut(m, part)) for c, p, m in row] for row, part in rows]

    def prepare(self, path: str) -> tuple[np.ndarray, np.ndarray]:
        """Read a photo: (3, side, side), normalised, and the part of it that this shows."""
        image, told = ImageOps.exif_transpose(Image.open(path)), self.told["input"]
        if image.mode[0] in "IF":
            raise ValueError(f"{path}: expected 8 bits a channel but got mode {image.mode}")
        seen = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        size = np.array(image.size, np.float64)
        shown = size if told["mode"] == "squash" else size.min() * told["share"]
        part = np.concatenate([(size - shown) / 2, (size - shown) / 2 + shown])
        how = Image.Resampling[told["interpolation"].upper()]
        image = seen.convert("RGB").resize((told["size"],) * 2, how, box=tuple(part))
        pixels = np.asarray(image, np.float32) / 255 - np.array(told["mean"], np.float32)
        return (pixels / np.array(told["std"], np.float32)).transpose(2, 0, 1), part

    def cut(self, raw: np.ndarray, part: np.ndarray) -> list[float] | None:
        """Draw the box around the largest region of a map, in pixels of the photo."""
        side, start, end = self.told["input"]["size"], part[:2], part[2:]
        heat = cv2.resize(raw, (side, side), interpolation=cv2.INTER_CUBIC)
        heat -= heat.min()
        if not raw.max() > raw.min() or not 0 < heat.max() < np.inf:  # where NaN is neither
            return None
        levels = ((heat / heat.max()).astype(np.float64) * 255).astype(np.uint8)
        mask = (levels > int(self.told["threshold"] * int(levels.max()))).astype(np.uint8)
        borders, _ = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
        x, y, w, h = cv2.boundingRect(max(borders, key=cv2.contourArea)) if borders else (0,) * 4
        corners = np.array([(x, y), (x + w, y + h)]) * (end - start) / side + start
        return corners.flatten().tolist() if borders else None


if __name__ == "__main__":
    reader = Reader(sys.argv[1])
    for photo in sys.argv[2:]:
        sys.stdout.write(f"{photo}\t{json.dumps(reader([photo])[0])}\n")
