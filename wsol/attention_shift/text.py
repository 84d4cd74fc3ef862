"""What is said of an attention shift in pictures, on the page and on the terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wsol.attention_shift.trace import SAME_OBJECT
from wsol.fonts import shorten
from wsol.text import percent, write_beside

if TYPE_CHECKING:
    from wsol.attention_shift.trace import Shift, ShiftStep


def headline(shift: Shift) -> str:
    """Name class, probability and file in one line."""
    said = f"{shorten(shift.name, 44)}  {percent(shift.steps[-1].score)}"
    if shift.path is not None:
        said += f"   ({shorten(shift.path.name, 44)})"
    return said


def step_lines(shift: Shift, index: int, width: int = 32) -> list[str]:
    """Put a step's numbers in lines.

    Args:
        shift: of an image
        index: of the step, from 0
        width: characters a line has room for

    Returns:
        four lines, and a fifth where the truth is known
    """
    step = shift.steps[index]
    lines = []
    if step.top is not None:
        lines.append(f"top-1: {shorten(step.top.name, width - 14)} {percent(step.top.score)}")
    lines.append(f"map: {shorten(shift.name, width - 12)} {percent(step.score)}")
    area = f"above threshold: {percent(step.area)}"
    if index == 0:
        lines.append(area)
        lines.append("" if step.box is not None else "no box")
    else:
        lines.append(area if step.shift is None else f"{area}, moved {step.shift:.1f} px")
        before = step.iou_before
        if step.box is None:
            lines.append("no box")
        else:
            told = "" if before is None else f"IoU with step {index}: {write_overlap(before)}"
            lines.append(told)
    if step.iou_true is not None:
        lines.append(f"IoU with truth: {write_overlap(step.iou_true)}")
    return lines


def shift_rows(shift: Shift) -> list[list[str]]:
    """Put an image's numbers in rows for the terminal, one a step.

    Args:
        shift: of an image

    Returns:
        rows of file, step, class that the network puts first, its probability, class whose map it
        is, its probability, box, centroid's shift, IoU with the truth, remark; `-` for what is
        not known
    """
    rows = []
    for number, step in enumerate(shift.steps, start=1):
        box = None if step.box is None else "{:.1f} {:.1f} {:.1f} {:.1f}".format(*step.box)
        rows.append(
            [
                str(shift.path),
                f"step {number}",
                "-" if step.top is None else step.top.name,
                "-" if step.top is None else f"{step.top.score:.4f}",
                shift.name,
                f"{step.score:.4f}",
                box or "no box",
                "-" if step.shift is None else f"{step.shift:.1f} px",
                "-" if step.iou_true is None else f"IoU {write_overlap(step.iou_true, 3)}",
                "another object" if step.another_object else "",
            ]
        )
    return rows


def write_overlap(iou: float, digits: int = 2) -> str:
    """Write an IoU so that it lies on its own side of one half: what is more is the same object.

    >>> write_overlap(0.5017), write_overlap(0.733)
    ('0.502', '0.73')
    """
    return write_beside(iou, SAME_OBJECT, digits)


def another_object_text(step: ShiftStep) -> str:
    """Mark a step whose box shows another object."""
    return "  \u25c6 another object" if step.another_object else ""


def scale_text(value: float, position: object = None, *, span: float) -> str:
    """Write a number on a scale with as many digits as tell its neighbours apart.

    Args:
        value: to write
        position: among the ticks; only tells that matplotlib asks, which wants a true minus sign
        span: from the least to the greatest number; 0 for a single one

    >>> scale_text(0.0125, span=0.05), scale_text(-3.0, span=12), scale_text(2.5e-9, span=1e-8)
    ('0.0125', '-3.0', '2.5e-09')
    """
    digits = 3 if span <= 0 else 2 - math.floor(math.log10(span)) if span < 1e3 else 0
    text = f"{value:.{max(digits, 0)}f}" if digits <= 7 else f"{value:.1e}"
    text = text if float(text) else text.lstrip("-")
    return text.replace("-", "\u2212") if position is not None else text
