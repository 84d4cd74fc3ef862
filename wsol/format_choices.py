"""Which formats are written, and with which options: checked before anything is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from wsol.errors import ArgumentError, about

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wsol.writers import Writer


class FormatOptions(TypedDict, total=False):
    """What can be asked of formats; those that do not take an option pass over it.

    Args:
        confidence: add the score in formats that leave it out
        rle: segments of COCO files are masks, run-length encoded, and not polygons
        zero_based: pixels of VOC files count from 0, for readers that do not subtract 1
        val: share of the images that goes into the part val of a trainer's folder
        image_prefix: what Label Studio opens images by, before their paths below the source
        upright_copies: files name upright copies of the images that EXIF turns
    """

    confidence: bool
    rle: bool
    zero_based: bool
    val: float
    image_prefix: str | None
    upright_copies: bool


def check_formats(
    formats: str | type[Writer] | Iterable[str | type[Writer]],
    options: Mapping[str, Any],
    engine: str | None,
    others: Mapping[str, Any],
) -> tuple[list[Any], dict[str, Any]]:
    """Drop what comes twice, and see to it that all formats exist and one takes each option.

    Args:
        formats: as for `wsol.prediction.predict`, like the next one
        options: of formats by name; False, None and 0 ask for nothing
        engine: that writes instead, or None
        others: arguments that an engine does not follow

    Returns:
        the formats, and the options that are asked for

    Raises:
        ArgumentError: an unknown format, or an option that none of them takes, or not so
    """
    from wsol.engines.prediction import check_engine
    from wsol.writers import find_writer

    if engine is not None:
        return check_engine(engine, formats, {**options, **others}), {}
    kinds = list(dict.fromkeys([formats] if isinstance(formats, (str, type)) else formats))
    with about("formats"):
        for kind in kinds:
            find_writer(kind)
    check_options(kinds, options)
    return kinds, {name: asked for name, asked in options.items() if asked}


def need_steps(kinds: Iterable[str | type[Writer]], engine: str | None = None) -> bool:
    """Tell whether one of some formats, which exist, writes something of the steps before the last.

    Args:
        kinds: of formats; a class of somebody else's does, unless it says itself that it does not
        engine: whose formats have it all; None without one

    >>> need_steps(["csv", "yolo"]), need_steps(["csv", "jsonl"])
    (False, True)
    """
    from wsol.writers import find_writer

    said = (
        find_writer(kind).of_steps if isinstance(kind, str) else vars(kind).get("of_steps", True)
        for kind in kinds
    )
    return engine is not None or any(said)


def check_options(kinds: Iterable[str | type[Writer]], options: Mapping[str, Any]) -> None:
    """See to it that a format takes each option that is asked for, and that it can be followed.

    Args:
        kinds: of formats, which exist
        options: by name; False, None and 0 ask for nothing

    Raises:
        ArgumentError: it names the option
        TypeError: no format has an option of this name
    """
    from wsol.writers import find_writer, formats_with
    from wsol.writers.splits import check_val

    with about("val"):
        check_val(options.get("val", 0))
    writers = [find_writer(kind) for kind in kinds]
    for name, asked in options.items():
        if any(name in writer.options for writer in writers):
            continue
        if not (takers := formats_with(name)):
            raise TypeError(f"Expected an option of a format but got {name!r}")
        if asked:
            raise ArgumentError(name, f"goes only with format {' or '.join(takers)}")
