"""A prediction that is kept in its folder: it begins anew, goes on, or has ended."""

from __future__ import annotations

import json
import shutil
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from tdam.atomic import remove_unfinished, write_atomic
from wsol.errors import OutputError
from wsol.out_files import JOURNAL, FileList
from wsol.out_folders import free_folder
from wsol.text import count_things

if TYPE_CHECKING:
    from pathlib import Path

    from tdam.events import Events

_SETTINGS = "settings.json"
_HASHES = ("weights", "labels", "names", "borrowed", "image_states")


class KeptRun(ABC):
    """What a prediction has found so far, in a folder, beside all that its results depend on.

    `settings.json` holds what results depend on; once the run has ended, the counts too.

    Args:
        folder: of the prediction, which no other process works in
        total: number of images
        settings: that the results and files depend on, in plain values
    """

    def __init__(self, folder: Path, total: int, settings: dict[str, Any]) -> None:
        self.folder, self.total = folder, total
        self.done = 0
        self._home = folder / JOURNAL
        self._settings = {"images": total, **settings}

    @abstractmethod
    def begin(self) -> None:
        """Begin anew."""

    @abstractmethod
    def resume(self) -> None:
        """Go on after what is done; refuse where that is of something else."""

    @abstractmethod
    def count_results(self) -> int:
        """Count the results that there are."""

    @abstractmethod
    def count_whole(self) -> int:
        """Count the results that there are of a run that has ended."""

    def enter(self, resume: bool, force: bool, events: Events) -> int | None:
        """Begin anew or go on.

        Args:
            resume: go on with a run that was cut off
            force: begin anew, without the files of earlier runs
            events: is told how it goes on

        Returns:
            how many images could not be read, where nothing is left to do; else None

        Raises:
            OutputError: the folder is not free, or holds a run of other images or settings
            OSError: the disk is full or gone
        """
        folder, say = self.folder, events.say
        if force:
            discard_journal(folder)
        elif is_begun(folder):
            if not resume:
                count = f"{self.count_results()} of {count_things(self.total, 'image')}"
                raise OutputError(
                    f"{folder} holds an unfinished prediction ({count}); go on with --resume, "
                    "choose another folder, or add --force"
                )
            self.resume()
            say(f"going on in {folder} after {self.done} of {self.total} images")
            return None
        elif resume and is_ended(folder):
            return self._check_ended(events)
        elif resume:
            say(f"nothing was begun in {folder}: this begins")
        free_folder(folder, force)
        self.begin()
        return None

    def _check_ended(self, events: Events) -> int:
        """Read how the run has ended; gives the number of unreadable images."""
        self.check_same()
        self._forget()
        counts = (_read_settings(self.folder) or {}).get("finished")
        failed = counts.get("failed") if isinstance(counts, dict) else None
        if missing := FileList(self.folder).missing():
            count = count_things(len(missing), "file")
            raise OutputError(
                f"{self.folder}: the prediction has ended, but {count} that it wrote are gone, "
                f"such as {missing[0]}; --force begins anew"
            )
        self.done = self.count_whole()
        events.say(f"the prediction in {self.folder} has ended: nothing is left to do")
        if self.done < self.total:
            gone = f"{self.total - self.done} of {count_things(self.total, 'result')}"
            events.say(f"{gone} are no longer in {self.folder}; --force finds them anew")
        return failed if isinstance(failed, int) else 0

    def finish(self, failed: int) -> None:
        """Keep the settings, beside the counts.

        Args:
            failed: images that could not be read
        """
        counts = {"images": self.total, "failed": failed}
        self._write_settings(finished=counts)
        self._forget()

    def _forget(self) -> None:
        """Remove what only an unfinished run needs."""
        remove_unfinished(self._home)

    def _write_settings(self, **more: Any) -> None:
        text = json.dumps({**self._settings, **more}, indent=1, default=str)
        write_atomic(self._home / _SETTINGS, (text + "\n").encode())

    def check_same(self) -> None:
        """Refuse a run of other images or settings, and name what differs.

        Raises:
            OutputError: the run in the folder is another one
        """
        before = _read_settings(self.folder) or {}
        after = json.loads(json.dumps(self._settings, default=str))
        names = [
            name
            for name in {**after, **before}
            if name != "finished" and before.get(name) != after.get(name)
        ]
        if not names:
            return
        told = [_compare(name, before.get(name), after.get(name)) for name in names]
        if "image_states" in names:
            told[names.index("image_states")] = self._name_changed()
        raise OutputError(
            f"{self.folder} holds a prediction that cannot go on, since other now are: "
            f"{'; '.join(each for each in told if each)}; give what it began with, or --force, "
            "which begins anew"
        )

    def _name_changed(self) -> str:
        """Tell which images are others than before, as far as that is known."""
        return "the images"


def is_begun(folder: Path) -> bool:
    """Tell whether a prediction was begun in a folder, and has not ended."""
    settings = _read_settings(folder)
    return settings is not None and "finished" not in settings


def is_ended(folder: Path) -> bool:
    """Tell whether a prediction has ended in a folder."""
    settings = _read_settings(folder)
    return settings is not None and "finished" in settings


def discard_journal(folder: Path) -> None:
    """Delete the journal of a folder; a link in its place stays."""
    home = folder / JOURNAL
    if home.is_dir() and not home.is_symlink():
        (home / _SETTINGS).unlink(missing_ok=True)  # first: without it, nothing was begun
        shutil.rmtree(home)


def _read_settings(folder: Path) -> dict[str, Any] | None:
    """Read what a run depended on; None where there is none, or no whole one."""
    try:
        text = (folder / JOURNAL / _SETTINGS).read_text(encoding="utf-8")
        settings = json.loads(text)
    except (OSError, ValueError, RecursionError):
        return None
    return settings if isinstance(settings, dict) else None


def _compare(name: str, before: Any, after: Any) -> str:
    """Say in what a setting differs, with its values where they are short."""
    said = name.replace("_", " ")
    values = [json.dumps(each) for each in (before, after)]
    if name in _HASHES or max(map(len, values)) > 80:
        return said
    return f"{said} ({values[0]} before, {values[1]} now)"
