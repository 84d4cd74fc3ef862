"""The standard evaluation's counts, literally: file, float64, levels, contours, boxes, overlaps."""

from functools import cache

import cv2
import numpy as np

SIDE = 224


def count_hits(folder, split, thresholds, deltas=(30, 50, 70)):
    """Count the images that are hit at each threshold, by mode and delta."""
    counts = {mode: {str(d): np.zeros(len(thresholds), int) for d in deltas}
              for mode in ("largest", "all")}  # fmt: skip
    for row, image_id in enumerate(split.ids):
        heat = np.load(folder / f"{image_id}.npy").astype(np.float64)  # as the published code casts
        levels = (heat * 255).astype(np.uint8)
        true = [scale(box, split.sizes[row]) for box in split.boxes[row]]

        @cache
        def overlaps(level, levels=levels, true=true):
            largest, every = boxes_above(levels, level)
            return [max(iou(box, other) for box in boxes for other in true)
                    for boxes in ([largest], every)]  # fmt: skip

        for at, threshold in enumerate(thresholds):
            best = overlaps(int(threshold * levels.max()))
            for mode, overlap in zip(("largest", "all"), best, strict=True):
                for delta in deltas:
                    counts[mode][str(delta)][at] += overlap >= delta / 100
    return counts


def scale(box, size):
    """Carry a true box to the square, each coordinate cut to a whole number."""
    width, height = size
    factors = (SIDE / width, SIDE / height) * 2
    return [int(value * factor) for value, factor in zip(box, factors, strict=True)]


def boxes_above(levels, level):
    """The box of the largest contour, and those of all."""
    _, foreground = cv2.threshold(levels, level, 255, cv2.THRESH_BINARY)
    contours, _ = cv2.findContours(foreground, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return [0, 0, 0, 0], [[0, 0, 0, 0]]
    boxes = []
    for contour in contours:
        x, y, width, height = cv2.boundingRect(contour)
        boxes.append([x, y, min(x + width, SIDE - 1), min(y + height, SIDE - 1)])
    return boxes[int(np.argmax([cv2.contourArea(contour) for contour in contours]))], boxes


def iou(box, other):
    """Overlap of two boxes whose first and last pixels both count."""
    across = min(box[2], other[2]) - max(box[0], other[0]) + 1
    down = min(box[3], other[3]) - max(box[1], other[1]) + 1
    shared = max(across, 0) * max(down, 0)
    areas = [(b[2] - b[0] + 1) * (b[3] - b[1] + 1) for b in (box, other)]
    return shared / (sum(areas) - shared)
