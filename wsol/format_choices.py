"""Which formats are written, and with which options: checked before anything is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wsol.errors import ArgumentError, about

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wsol.writers import Writer


def check_formats(
    formats: str | type[Writer] | Iterable[str | type[Writer]],
    options: Mapping[str, Any],
    engine: str | None,
    others: Mapping[str, Any],
) -> list[Any]:
    """Drop what comes twice, and see to it that all formats exist and one takes each option.

    Args:
        formats: as for `wsol.prediction.predict`, like the next one
        options: of formats by name
        engine: that writes instead, or None
        others: arguments that an engine does not follow

    Raises:
        ArgumentError: an unknown format, or an option that none of them takes, or not so
    """
    from wsol.engines.prediction import check_engine
    from wsol.writers import find_writer

    if engine is not None:
        return check_engine(engine, formats, {**options, **others})
    kinds = list(dict.fromkeys([formats] if isinstance(formats, (str, type)) else formats))
    with about("formats"):
        for kind in kinds:
            find_writer(kind)
    check_options(kinds, options)
    return kinds


def check_options(kinds: Iterable[str | type[Writer]], options: Mapping[str, Any]) -> None:
    """See to it that a format takes each option that is asked for, and that it can be followed.

    Args:
        kinds: of formats, which exist
        options: by name; False, None and 0 ask for nothing

    Raises:
        ArgumentError: it names the option
    """
    from wsol.writers import find_writer, formats_with
    from wsol.writers.splits import check_val

    writers = [find_writer(kind) for kind in kinds]
    for name, asked in options.items():
        if asked and not any(name in writer.options for writer in writers):
            raise ArgumentError(name, f"goes only with format {' or '.join(formats_with(name))}")
    with about("val"):
        check_val(options.get("val", 0))
