"""Training methods written down literally, place by place, from the papers' definitions.

Hide-and-Seek (ICCV 2017), the attention-based dropout layer (CVPR 2019), and adversarial
complementary learning (CVPR 2018).
"""

import torch


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
