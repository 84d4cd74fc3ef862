"""Writing splits as four text files each, with a description, in one step or not at all."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from eval.four_files import FILES
from eval.splits import ManifestError, Split
from eval.tables import guard_cell

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_BESIDE = ("classes.csv", "manifest.toml")


def write_data_set(
    out: str | Path,
    splits: Sequence[Split],
    *,
    description: str,
    licence: str,
    classes: Sequence[dict[str, str | int]],
    root: Path,
    force: bool = False,
) -> None:
    """Write a data set's folder: one folder a split, `classes.csv` and `manifest.toml`.

    The folder appears complete, under its name, or not at all.

    Args:
        out: the folder
        splits: without masks; int64 boxes
        description: one line
        licence: terms of the images
        classes: rows of `classes.csv`; the keys are its columns
        root: folder that the ids are relative to, which `manifest.toml` remembers
        force: replace the folder if an earlier run wrote it

    Raises:
        ManifestError: something is in the way, or an id that does not fit into a line
    """
    out = Path(out).resolve()
    check_free(out, force)
    new, old = (out.with_name(f".{out.name}.{os.getpid()}.{what}") for what in ("new", "old"))
    try:
        new.mkdir(parents=True)
        for split in splits:
            _write_split(new / split.name, split)
        _write_text(new / "classes.csv", _table(classes))
        _write_text(new / "manifest.toml", _describe(new, splits, description, licence, root))
        check_free(out, force)  # another process may have been faster
        _put_in_place(new, out, old)
    except OSError as error:
        raise ManifestError(f"{out}: cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _put_in_place(new: Path, out: Path, old: Path) -> None:
    """Rename the new folder; what it replaces goes only once it stands."""
    if not out.exists():
        new.rename(out)
        return
    out.rename(old)
    try:
        new.rename(out)
    except BaseException:
        old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def check_free(out: str | Path, force: bool = False) -> None:
    """Check that a data set can be written to a folder.

    Raises:
        ManifestError: the folder holds something, or with `force` something that no run wrote
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise ManifestError(f"{out}: expected a folder but it is a file")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not force:
        raise ManifestError(
            f"{out}: expected a new or empty folder; choose another, or force (--force)"
        )
    for path in out.rglob("*"):
        folder = path.is_dir() and path.parent == out
        if not folder and path.name not in (_BESIDE if path.parent == out else FILES):
            raise ManifestError(
                f"{path}: expected nothing but an earlier run's files in a folder to overwrite"
            )


def _write_split(folder: Path, split: Split) -> None:
    for image_id in split.ids:
        if "\n" in image_id or "\r" in image_id:
            raise ManifestError(f"{image_id!r}: expected an image's path to be one line")
    labels = split.labels.tolist()
    sizes = [] if split.sizes is None else split.sizes.tolist()
    boxes = [] if split.boxes is None else [each.tolist() for each in split.boxes]
    folder.mkdir()
    rows: dict[str, Iterable[tuple[str | int, ...]]] = {
        "image_ids.txt": ((i,) for i in split.ids),
        "class_labels.txt": zip(split.ids, labels, strict=True),
        "image_sizes.txt": ((i, *size) for i, size in zip(split.ids, sizes, strict=False)),
        "localization.txt": (
            (i, *box) for i, each in zip(split.ids, boxes, strict=False) for box in each
        ),
    }
    for file in FILES:
        text = "\n".join(",".join(map(str, row)) for row in rows[file])
        _write_text(folder / file, text)


def _table(rows: Sequence[dict[str, str | int]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: guard_cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def _describe(
    folder: Path, splits: Sequence[Split], description: str, licence: str, root: Path
) -> str:
    """Make the text of `manifest.toml`; a JSON string is a TOML string too."""
    kinds = (f'{s.name} = "{"labels" if s.boxes is None else "boxes"}"' for s in splits)
    lines = [
        f"description = {json.dumps(description)}",
        f"licence = {json.dumps(licence)}",
        f"root = {json.dumps(str(root.resolve()), ensure_ascii=False)}",
        f"supervision = {{ {', '.join(kinds)} }}",
    ]
    for split in splits:
        boxes = sum(map(len, split.boxes or ()))
        lines += ["", f"[splits.{split.name}]", f"images = {len(split)}", f"boxes = {boxes}"]
        lines += ["", f"[splits.{split.name}.sha256]"]
        for file in FILES:
            digest = hashlib.sha256((folder / split.name / file).read_bytes()).hexdigest()
            lines.append(f'"{file}" = "{digest}"')
    return "\n".join(lines) + "\n"


def _write_text(path: Path, text: str) -> None:
    try:
        path.write_bytes(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise ManifestError(f"{path}: expected names in UTF-8 but {error}") from error
