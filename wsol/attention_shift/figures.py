"""Pictures of an attention shift: a strip with all steps of an image, and an animation of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from matplotlib.patheffects import Normal, Stroke
from PIL import Image, ImageColor

from wsol.attention_shift.sheet import BAR, PANEL, Sheet
from wsol.attention_shift.text import (
    another_object_text,
    headline,
    scale_text,
    shorten,
    step_lines,
)
from wsol.contours import contour_lines
from wsol.figures import draw_boxes, draw_contours, save_figure
from wsol.fonts import all_fonts, displayable
from wsol.out_files import save_file
from wsol.overlays import box_line, fit_view, overlay, value_limits
from wsol.palette import DEFAULT_MAP, DIVERGING, TRUE, step_colours

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from wsol.attention_shift.trace import Shift

_GAP, _LABELS = 0.14, 0.8  # inches: between pictures, of the numbers of a colour bar
_LINE = 0.165  # height of a line of text
_CASE = [Stroke(linewidth=4.4, foreground="black", alpha=0.55),
         Stroke(linewidth=3.2, foreground="white"), Normal()]  # fmt: skip
_STAYS = 1200  # milliseconds that a frame of an animation stays, the last half as long again
_VIEW = 640  # pixels of a picture's longer side


def save_strip(image: Image.Image, shift: Shift, path: Path, colours: str = DEFAULT_MAP) -> None:
    """Draw a strip into a PNG file, at 160 pixels an inch.

    Args:
        image: RGB, the photograph that the shift is of, or a smaller copy
        shift: to draw
        path: of the file
        colours: name of a matplotlib colour map
    """
    save_figure(draw_strip(image, shift, colours), path, trim=False)


@all_fonts()
def draw_strip(image: Image.Image, shift: Shift, colours: str = DEFAULT_MAP) -> Figure:
    """Draw input, steps and difference beside each other, and searchlights below.

    All steps share one scale and one colour bar; the difference has symmetric limits. Each
    searchlight's block has a scale of its own, which its maps share.

    Args:
        image: RGB, the photograph that the shift is of, or a smaller copy
        shift: to draw
        colours: name of a matplotlib colour map

    Returns:
        a figure, not shown anywhere
    """
    view = fit_view(image, _VIEW)
    count = len(shift.steps)
    tall = PANEL * min(max(view.height / view.width, 0.4), 1.6)
    several = count > 1
    right = _GAP + count * (PANEL + _GAP)  # where the steps begin to have neighbours
    width = right + PANEL + BAR + _LABELS
    if several:
        width += PANEL + _GAP + BAR + _LABELS
    lines = 5 if shift.true_boxes is not None else 4
    first = tall + 0.3 + lines * _LINE + 0.15
    row = tall + 0.4
    height = 0.55 + first + len(shift.searchlights) * row
    sheet = Sheet(width, height)
    sheet.figure.text(
        0.14 / width, 1 - 0.14 / height, headline(shift), va="top", parse_math=False, fontsize=10.5
    )
    top = 0.65
    shades = step_colours(count)
    axes = sheet.picture(view, shift, _GAP, top, tall)
    _draw_input(axes, shift, shades)
    sheet.note(axes, f"input, {shift.width} \u00d7 {shift.height}", _input_lines(shift))
    for number, (step, shade) in enumerate(zip(shift.steps, shades, strict=True), start=1):
        shown = overlay(view, step.map, shift.region, (shift.width, shift.height), colours)
        axes = sheet.picture(shown, shift, _GAP + number * (PANEL + _GAP), top, tall)
        _draw_step(axes, shift, number - 1, shade)
        title = f"step {number}{another_object_text(step)}"
        sheet.note(axes, title, step_lines(shift, number - 1))
    at = right + PANEL + 0.08
    bar = sheet.bar(at, top, tall, colours, (shift.low, shift.high))
    for step, shade in zip(shift.steps, shades, strict=True):
        if step.level is not None and step.level <= 1:
            bar.axhline(_raw(shift, step.level), color=shade, lw=1.6, path_effects=_CASE[1:])
    if several:
        limit = shift.greatest_change
        limits = (-limit, limit)
        at += BAR + _LABELS
        shown = overlay(
            view, shift.difference, shift.region, (shift.width, shift.height), DIVERGING, limits
        )
        axes = sheet.picture(shown, shift, at, top, tall)
        what = ["blue: less, red: more", f"at most {scale_text(limit, span=limit)}"]
        what = what if limit else ["no difference"]
        sheet.note(axes, f"step {count} less step 1", what)
        sheet.bar(at + PANEL + 0.08, top, tall, DIVERGING, limits)
    for index, name in enumerate(shift.searchlights):
        _draw_searchlights(sheet, view, shift, name, top + first + index * row, tall, colours)
    return sheet.figure


@all_fonts()
def draw_frames(image: Image.Image, shift: Shift, colours: str = DEFAULT_MAP) -> list[Image.Image]:
    """Draw one frame a step for an animation, all on one scale.

    Args:
        image: RGB, the photograph that the shift is of, or a smaller copy
        shift: to draw
        colours: name of a matplotlib colour map

    Returns:
        T frames of one size, RGB
    """
    view = fit_view(image, _VIEW)
    tall = 1.6 * PANEL * min(max(view.height / view.width, 0.4), 1.6)
    width = 1.6 * PANEL + 2 * _GAP + BAR + _LABELS
    lines = 5 if shift.true_boxes is not None else 4
    height = 0.62 + tall + lines * _LINE + 0.2
    shades = step_colours(len(shift.steps))
    frames = []
    for index, step in enumerate(shift.steps):
        sheet = Sheet(width, height, dpi=144)
        shown = overlay(view, step.map, shift.region, (shift.width, shift.height), colours)
        axes = sheet.picture(shown, shift, _GAP, 0.6, tall, 1.6 * PANEL)
        _draw_step(axes, shift, index, shades[index])
        _draw_path(axes, shift, shades, index + 1)
        name = shorten(shift.name, 40)
        sheet.figure.text(_GAP / width, 1 - 0.12 / height, name, va="top", parse_math=False)
        title = f"step {index + 1} of {len(shift.steps)}{another_object_text(step)}"
        sheet.note(axes, title, step_lines(shift, index, 56))
        at = _GAP + 1.6 * PANEL + 0.08
        bar = sheet.bar(at, 0.6, tall, colours, (shift.low, shift.high))
        if step.level is not None and step.level <= 1:
            level = _raw(shift, step.level)
            bar.axhline(level, color=shades[index], lw=1.6, path_effects=_CASE[1:])
        frames.append(sheet.image())
    return frames


def save_animation(frames: list[Image.Image], path: Path) -> None:
    """Write frames as a GIF that repeats, one table of colours for all, so that colours compare.

    Args:
        frames: RGB, of one size
        path: of the file
    """
    width, height = frames[0].size
    marks = [TRUE, *step_colours(len(frames))]  # thin lines, whose colours a table would leave out
    sheet = Image.new("RGB", (width, height * len(frames) + 16 * len(marks)))
    for index, frame in enumerate(frames):
        sheet.paste(frame, (0, index * height))
    for index, mark in enumerate(marks):
        y = height * len(frames) + 16 * index
        sheet.paste(ImageColor.getrgb(mark), (0, y, width, y + 16))
    table = sheet.quantize(256, Image.Quantize.MEDIANCUT)
    plain = [frame.quantize(palette=table, dither=Image.Dither.FLOYDSTEINBERG) for frame in frames]
    save = partial(
        plain[0].save,
        format="gif",
        save_all=True,
        append_images=plain[1:],
        duration=[_STAYS] * (len(plain) - 1) + [_STAYS * 3 // 2],
        loop=0,
        optimize=False,
    )
    save_file(path, save)


def _raw(shift: Shift, value: float) -> float:
    return shift.low + value * (shift.high - shift.low)


def _input_lines(shift: Shift) -> list[str]:
    lines = ["boxes from light (step 1) to dark", "dots: centres of mass above the threshold"]
    if shift.true_boxes is not None:
        lines.append("dashed: true box")
    if len(shift.steps) == 1:
        lines = ["the network has one step:", "there is no shift to see", *lines[2:]]
    return lines


def _draw_input(axes: Axes, shift: Shift, shades: list[str]) -> None:
    _draw_truth(axes, shift)
    for step, shade in zip(shift.steps, shades, strict=True):
        if step.box is not None:
            axes.plot(*box_line(step.box), color=shade, lw=1.6, path_effects=_CASE, clip_on=False)
    _draw_path(axes, shift, shades, len(shift.steps))


def _draw_step(axes: Axes, shift: Shift, index: int, shade: str) -> None:
    step = shift.steps[index]
    draw_contours(axes, contour_lines(step.map, step.level, shift.region))
    _draw_truth(axes, shift)
    if step.box is not None:
        axes.plot(*box_line(step.box), color=shade, lw=1.9, path_effects=_CASE, clip_on=False)


def _draw_truth(axes: Axes, shift: Shift) -> None:
    if shift.true_boxes is not None:
        draw_boxes(axes, shift.true_boxes, TRUE, "--", 1.8)


def _draw_path(axes: Axes, shift: Shift, shades: list[str], until: int) -> None:
    points = [step.centroid for step in shift.steps[:until]]
    known = [point for point in points if point is not None]
    if len(known) > 1:
        axes.plot(*zip(*known, strict=True), color="black", lw=2.6, alpha=0.7)
        axes.plot(*zip(*known, strict=True), color="white", lw=1.3)
    for point, shade in zip(points, shades, strict=False):
        if point is not None:
            axes.plot(*point, "o", ms=5.5, color=shade, mec="white", mew=0.9, path_effects=[
                Stroke(linewidth=2.2, foreground="black"), Normal()])  # fmt: skip


def _draw_searchlights(
    sheet: Sheet, view: Image.Image, shift: Shift, name: str, y: float, tall: float, colours: str
) -> None:
    lights = shift.searchlights[name]
    limits = value_limits(lights)
    first = len(shift.steps) - len(lights)  # with m = 0, also the last step modulates itself
    axes = sheet.add_axes(_GAP, y, PANEL, tall)
    axes.axis("off")
    text = [f"searchlight of {shorten(displayable(name), 22)}"]
    text += [f"{lights.shape[2]} \u00d7 {lights.shape[1]}, own scale"]
    if limits[0] == limits[1]:
        text.append(f"{limits[0]:.3f} everywhere")
    axes.text(0, 1, "\n".join(text), va="top", fontsize=9, linespacing=1.4, parse_math=False)
    for number, light in enumerate(lights, start=first + 1):
        shown = overlay(view, light, shift.region, (shift.width, shift.height), colours, limits)
        at = _GAP + number * (PANEL + _GAP)
        panel = sheet.picture(shown, shift, at, y, tall)
        title = f"what step {number} looks through" if first else f"laid on step {number}"
        panel.set_title(title, fontsize=9, loc="left", pad=3)
    at = _GAP + len(shift.steps) * (PANEL + _GAP) + PANEL + 0.08
    sheet.bar(at, y, tall, colours, limits)
