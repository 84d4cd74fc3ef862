"""Training methods written down literally, place by place, from the papers' definitions.

Hide-and-Seek (ICCV 2017), the attention-based dropout layer (CVPR 2019), adversarial complementary
learning (CVPR 2018), and self-produced guidance (ECCV 2018).
"""

import math

import torch
from torch.nn.functional import interpolate


def find_hidden_squares(image, side):
    """Cut an image into squares and list which are hidden; None where one is only in part."""
    _, height, width = image.shape
    hidden = []
    for top in range(0, height, side):
        for left in range(0, width, side):
            zeros = [
                bool((image[:, y, x] == 0).all())
                for y in range(top, min(top + side, height))
                for x in range(left, min(left + side, width))
            ]
            if any(zeros) != all(zeros):
                return None
            hidden.append(all(zeros))
    return hidden


def drop_or_light_up(features, drops, gamma):
    """Multiply features by the drop mask, or by the importance map."""
    images = []
    for image in features:
        channels, height, width = image.shape
        attention = {
            (y, x): sum(image[c, y, x] for c in range(channels)) / channels
            for y in range(height)
            for x in range(width)
        }
        strongest = max(value.item() for value in attention.values())
        planes = []
        for c in range(channels):
            rows = []
            for y in range(height):
                row = []
                for x in range(width):
                    seen = attention[y, x]
                    if drops:
                        factor = 0.0 if seen.item() >= gamma * strongest else 1.0
                    else:
                        factor = 1 / (1 + torch.exp(-seen))
                    row.append(image[c, y, x] * factor)
                rows.append(torch.stack(row))
            planes.append(torch.stack(rows))
        images.append(torch.stack(planes))
    return torch.stack(images)


def scale_map(values):
    """Stretch a map, a list of rows, to [0, 1]; a constant one has nothing to stretch."""
    low, high = min(map(min, values)), max(map(max, values))
    if low == high:
        return None
    return [[(value - low) / (high - low) for value in row] for row in values]


def erase_seen(features, class_map, threshold):
    """Erase the features of an image, (C, h, w), where its scaled map reaches the threshold."""
    scaled = scale_map(class_map.detach().tolist())
    erased = features.clone()
    for y, row in enumerate(scaled or []):
        for x, value in enumerate(row):
            if value >= threshold:
                erased[:, y, x] = 0 * features[:, y, x]
    return erased


def learn_by_both(first, second, features, labels, threshold):
    """The sum of both classifiers' mean cross-entropies; each maps (1, C, h, w) to (1, K, h, w)."""
    total = torch.zeros(())
    for image, label in zip(features, labels.tolist(), strict=True):
        maps = first(image[None])[0]
        others = second(erase_seen(image, maps[label], threshold)[None])[0]
        for each in (maps, others):
            scores = [plane.sum() / plane.numel() for plane in each]
            total = total + torch.stack([s.exp() for s in scores]).sum().log() - scores[label]
    return total / len(labels)


def fuse_maps(first, second, features, ids, threshold):
    """The greater of both classifiers' scaled maps of a class, image by image, as lists."""
    fused = []
    for image, label in zip(features, ids, strict=True):
        one = first(image[None])[0, label]
        other = second(erase_seen(image, one, threshold)[None])[0, label]
        height, width = one.shape
        zeros = [[0.0] * width for _ in range(height)]
        pair = [scale_map(each.detach().tolist()) or zeros for each in (one, other)]
        fused.append(
            [[max(a, b) for a, b in zip(*rows, strict=True)] for rows in zip(*pair, strict=True)]
        )
    return fused


def enlarge(plane, height, width):
    """Enlarge a map, (h, w), as the published code does."""
    return interpolate(plane[None, None], (height, width), mode="bilinear", align_corners=False)[
        0, 0
    ]


def mark_object(guide, high, low):
    """Say of every pixel of a guide, a list of rows, whether it is object; None where unknown."""
    flat = [value for row in guide for value in row]
    strong = high
    if sum(value > high for value in flat) < 30 * len(flat) / 224**2:
        strong = 0.7 * max(flat)
    marks = []
    for value in flat:
        mark = True if value > strong else None
        marks.append(False if value < low else mark)
    return marks


def learn_by_guides(head, maps, labels, thresholds, height, width):
    """Cross-entropy of the classes, and of three branches by what guides each of them.

    Args:
        head: with `classifier`, `first`, `second`, `shared` and `last`
        maps: of the two earlier layers and the last one, (N, C, h, w)
        labels: true classes
        thresholds: high and low, three times
        height: of the input
        width: of the input
    """
    known = {name: [] for name in ("second", "first", "last")}
    total = torch.zeros(())
    for i, label in enumerate(labels.tolist()):
        one, other, features = (each[i] for each in maps)
        rows, columns = features.shape[1:]
        scores = []
        for weight, bias in zip(head.classifier.weight, head.classifier.bias, strict=True):
            seen = sum(weight[c] * features[c] for c in range(len(features)))
            scores.append(seen.sum() / (rows * columns) + bias)
            if len(scores) == label + 1:
                class_map = seen.detach()
        total = total + torch.logsumexp(torch.stack(scores), 0) - scores[label]
        said = {
            "first": head.shared(head.first(one[None])),
            "second": head.shared(head.second(other[None])),
            "last": head.last(features[None]),
        }
        said = {name: enlarge(each[0, 0], height, width) for name, each in said.items()}
        seen = {
            name: [[1 / (1 + math.exp(-v)) for v in row] for row in each.tolist()]
            for name, each in said.items()
        }
        both = [
            [(a + b) / 2 for a, b in zip(*pair, strict=True)]
            for pair in zip(seen["first"], seen["second"], strict=True)
        ]
        guides = {
            "second": scale_map(enlarge(class_map, height, width).tolist()),
            "first": seen["second"],
            "last": both,
        }
        for number, name in enumerate(known):
            marks = mark_object(guides[name], *thresholds[2 * number : 2 * number + 2])
            for value, mark in zip(said[name].flatten(), marks, strict=True):
                if mark is not None:
                    known[name].append(torch.log1p(torch.exp(-value if mark else value)))
    total = total / len(labels)
    for costs in known.values():
        if costs:
            total = total + torch.stack(costs).mean()
    return total
