"""What is asked for with a page of drafts; the page itself is `wsol.drafts`' and loads more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class DraftPage:
    """A page that is asked for.

    Args:
        folder: for `index.html`, and `index-2.html` and so on where one page has not all images
        command: words of the command that made it, without threshold and `--min-score`: the page
            shows it with those that a person chose; empty: it shows arguments of `predict`
    """

    folder: Path
    command: Sequence[str] = ()
