"""The form of torchvision's ImageFolder: a folder's name is the class of the images below it.

What wsol wrote among them is no image, and a folder that has nothing else is no class.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from eval.image_names import (
    SUFFIXES,
    is_broken_link,
    is_image_name,
    is_passed_over,
    tell_broken_link,
    walk_folders,
)
from eval.parsing import refuse_folder
from eval.splits import ManifestError, Split
from eval.written_files import WrittenFiles, warn_of_written

# A folder with one of these names (in any case) is a split; a class can hardly be called so.
_SPLIT_NAMES = ("train", "training", "val", "valid", "validation", "test", "testing")


def load_folders(data: Path, name: str) -> Split:
    """Read one split of class folders.

    Args:
        data: holds `<class>/.../<image>`, then the name only names the split; or
            `<split>/<class>/.../<image>`
        name: of the split

    Returns:
        a split without sizes and boxes; ids relative to `data`, class by class, sorted; the label
        is the rank of the class folder's name among those of all splits

    Raises:
        ManifestError: no such split, a class folder without an image, an image beside the class
            folders

    Warns:
        WrittenFilesWarning: wsol wrote among the classes; it says what is passed over
    """
    told: list[Path] = []
    try:
        return _load_folders(data, name, WrittenFiles(told.append))
    except OSError as error:
        refuse_folder(error)
    finally:
        warn_of_written(told)


def list_split_folders(data: Path, written: WrittenFiles | None = None) -> list[str]:
    """Name the folders that are splits, sorted; none where the folders are classes.

    They are splits if all have a split's name, or if some have and no folder holds an image
    directly.
    """
    written = written or WrittenFiles()
    folders = list_folders(data, written)
    named = [name.lower() in _SPLIT_NAMES for name in folders]
    if (
        not all(named)
        and any(named)
        and any(_first_image(data / name, written) for name in folders)
    ):
        return []
    return folders if any(named) else []


def list_folders(folder: Path, written: WrittenFiles | None = None) -> list[str]:
    """Name the folders directly in a folder, sorted, without those that are passed over.

    Args:
        folder: to look in
        written: learns the lists of the folder and of those in it; a folder with no image but
            those that wsol wrote is passed over

    Raises:
        ManifestError: a link to nothing that may be a folder: without it, labels would shift
    """
    paths = [path for path in folder.iterdir() if not is_passed_over(path.name)]
    for path in paths:
        if not path.suffix and is_broken_link(path):
            refuse_folder(tell_broken_link(path))
    written = written or WrittenFiles()
    written.enter(folder, named=True)
    folders = (path for path in paths if path.is_dir())
    return sorted(path.name for path in folders if not _is_written(path, written))


def _is_written(folder: Path, written: WrittenFiles) -> bool:
    """Tell whether wsol wrote a folder: it has written in it, and there is no image but its own."""
    written.enter(folder)
    if not written.owns(folder):
        return False
    walk = walk_folders(folder, refuse_folder, written)
    if any(is_image_name(name) for _, names in walk for name in names):
        return False
    written.tell(folder)
    return True


def list_images(folder: Path, written: WrittenFiles | None = None) -> list[str]:
    """List the images at any depth below a folder, by the rule of `eval.image_names`.

    Args:
        folder: to search
        written: learns the lists of the folders below; what it holds is passed over

    Returns:
        paths relative to the folder, with `/`, sorted

    Raises:
        ManifestError: a folder that cannot be read
    """
    images: list[tuple[str, ...]] = []
    for current, files in walk_folders(folder, refuse_folder, written or WrittenFiles()):
        parts = current.relative_to(folder).parts
        images.extend((*parts, name) for name in files if is_image_name(name))
    return ["/".join(parts) for parts in sorted(images)]


def _load_folders(data: Path, name: str, written: WrittenFiles) -> Split:
    splits = list_split_folders(data, written)
    if splits and name not in splits:
        raise ManifestError(
            f"{data}: expected a split of class folders but got {name!r}; splits here: "
            f"{', '.join(splits)}"
        )
    if splits:
        stray = _first_image(data / name, written)
        if stray is not None:
            raise ManifestError(f"{stray}: expected the images of a split to lie in class folders")
        classes = sorted({e for split in splits for e in list_folders(data / split, written)})
        return _load(data, data / name, name, classes, written)
    classes = list_folders(data, written)
    if name in classes and name.lower() not in _SPLIT_NAMES:
        raise ManifestError(
            f"{data / name}: expected a split but took it for a class, as its neighbours; folders "
            f"of splits are called {', '.join(_SPLIT_NAMES)}"
        )
    return _load(data, data, name, classes, written)


def _load(data: Path, folder: Path, name: str, classes: list[str], written: WrittenFiles) -> Split:
    ids: list[str] = []
    labels: list[int] = []
    prefix = "" if folder == data else f"{folder.name}/"
    for label, each in enumerate(classes):
        if not (folder / each).is_dir():
            continue  # a class of another split
        images = list_images(folder / each, written)
        if not images:
            raise ManifestError(
                f"{folder / each}: expected a class folder to hold images but got "
                f"{_describe(folder / each)} ({' '.join(SUFFIXES)})"
            )
        ids.extend(f"{prefix}{each}/{image}" for image in images)
        labels.extend([label] * len(images))
    if not ids:
        raise ManifestError(
            f"{folder}: expected class folders, or a folder a split with image_ids.txt, but got "
            f"{_describe(folder)}"
        )
    return Split(name, tuple(ids), np.array(labels, dtype=np.int64), class_names=tuple(classes))


def _first_image(folder: Path, written: WrittenFiles) -> Path | None:
    return next(
        (
            p
            for p in folder.iterdir()
            if is_image_name(p.name) and (p.is_file() or is_broken_link(p)) and not written.holds(p)
        ),
        None,
    )


def _describe(folder: Path) -> str:
    """Say what is in a folder instead of what was expected."""
    names = sorted(path.name for path in folder.iterdir() if not is_passed_over(path.name))
    return f"others, such as {names[0]!r}" if names else "an empty folder"
