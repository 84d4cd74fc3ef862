"""The levels of a map: how values in [0, 1] become whole levels, and which level a threshold is.

Boxes are never cut at a threshold itself. The map is quantised to whole levels, and foreground is
every pixel strictly above trunc(threshold * highest level of the map).
"""

from __future__ import annotations

import numpy as np

LEVELS = 255  # of the field's rule, u8 = trunc(255 * map)


def scale_map(heat: np.ndarray, levels: int = LEVELS, rounding: str = "below") -> np.ndarray:
    """Stretch a map in [0, 1] so that its levels are the whole parts of its values.

    Args:
        heat: (H, W), floating point, in [0, 1]
        levels: that 1 stands for
        rounding: `below`, or `nearest` for values that are whole already

    Returns:
        (H, W), in the map's own precision: multiplying in another one would move pixels that lie
        next to a level across it

    >>> scale_map(np.array([[0.0, 0.5, 1.0]]))
    array([[  0. , 127.5, 255. ]])
    """
    scaled: np.ndarray = heat * levels
    return np.rint(scaled) if rounding == "nearest" else scaled


def quantise(heat: np.ndarray, levels: int = LEVELS, rounding: str = "below") -> np.ndarray:
    """Turn a map into the whole levels that boxes are found on.

    Args:
        heat: as for `scale_map`, like the rest
        levels: at most 255
        rounding: `below` or `nearest`

    Returns:
        (H, W), uint8

    >>> quantise(np.array([[0.0, 0.5, 1.0]]))
    array([[  0, 127, 255]], dtype=uint8)
    """
    return scale_map(heat, levels, rounding).astype(np.uint8)


def level_of(threshold: float | np.ndarray, peak: int) -> np.ndarray:
    """Find the level that pixels have to exceed.

    Args:
        threshold: share of the map's maximum, in [0, 1], any shape
        peak: highest level of the map

    Returns:
        int64, of the same shape

    >>> level_of(np.array([0.2, 1.0]), 250)
    array([ 50, 250])
    """
    return (np.asarray(threshold, np.float64) * int(peak)).astype(np.int64)


def first_value_above(threshold: float, levels: int = LEVELS, rounding: str = "below") -> float:
    """Give the value from which on a pixel counts in a map that reaches 1.

    It is that of the next level, a little above the threshold; no pixel reaches it at a threshold
    of 1.

    Args:
        threshold: share of the map's maximum that a pixel has to exceed, in [0, 1]
        levels: that 1 stands for
        rounding: `below`, or `nearest`, which counts pixels from half a level below the next one

    >>> first_value_above(0.2) * 255, first_value_above(0.2, 100, "nearest") * 100
    (52.0, 20.5)
    """
    following = int(level_of(threshold, levels)) + 1
    return (following - 0.5 if rounding == "nearest" else following) / levels
