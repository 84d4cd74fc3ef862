"""Which image a file of a data set is: what it is a link to, or a copy of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eval.tables import read_table

if TYPE_CHECKING:
    from pathlib import Path


def read_originals(folder: Path) -> dict[Path, str]:
    """Read which files are copies of which images, where the folder has a table `originals.csv`.

    Raises:
        eval.splits.ManifestError: the table has other columns
    """
    path = folder / "originals.csv"
    if not path.is_file():
        return {}
    return {folder / row["image"]: row["file"] for _, row in read_table(path, ("image", "file"))}


def name_original(path: Path, originals: dict[Path, str]) -> str:
    """Name the image that a file is.

    Args:
        path: of the file
        originals: as `read_originals` gives them
    """
    return originals.get(path) or str(path.resolve())
