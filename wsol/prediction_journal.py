"""What a prediction has found so far, on disk: a line an image, so that a cut-off run can go on."""

from __future__ import annotations

import base64
import json
import shutil
from array import array
from contextlib import suppress
from dataclasses import replace
from itertools import islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from tdam.atomic import check_in_place, naming, open_atomic, remove_unfinished, write_atomic
from wsol.errors import OutputError
from wsol.fingerprints import file_state, hash_states
from wsol.heatmap import to_heatmap
from wsol.images import ImageError
from wsol.out_files import JOURNAL
from wsol.results import Localization, Prediction, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    Result = Localization | ImageError

_SETTINGS, _IMAGES, _RESULTS = "settings.json", "images.jsonl", "results.jsonl"
_LONGEST = 1 << 26  # bytes of a line
_UNREADABLE = (ValueError, KeyError, TypeError, IndexError, RecursionError, AttributeError)


class Journal:
    """Results of a prediction in a folder, in the order of the images.

    `settings.json` holds everything that results depend on, `images.jsonl` the state of every
    image, and `results.jsonl` what was found. At the end settings and results remain.

    Args:
        folder: of the prediction, which no other process works in
        paths: of the images
        settings: that the results and files depend on, in plain values
        batch: images that went through the network together, where the last bits of a result may
            depend on its neighbours: a batch that is not whole is done again
    """

    def __init__(
        self, folder: Path, paths: list[Path], settings: dict[str, Any], batch: int
    ) -> None:
        self.folder, self.paths = folder, paths
        self._home = folder / JOURNAL
        self._batch = batch
        self._settings = {"images": len(paths), "image_states": hash_states(paths), **settings}
        self._file: BinaryIO | None = None
        self.done = 0

    def begin(self) -> None:
        """Begin anew.

        Raises:
            OSError: the disk takes no journal
        """
        self._home.mkdir(exist_ok=True)
        (self._home / _RESULTS).unlink(missing_ok=True)
        with open_atomic(self._home / _IMAGES, encoding="ascii") as file:
            file.writelines(map(_state, self.paths))
        self._write_settings(self._settings)
        self._open(0)

    def resume(self) -> None:
        """Go on after the last whole batch.

        Raises:
            OutputError: the run in the folder is of other images or settings, which are named
            OSError: the journal cannot be read or written
        """
        self._check_same()
        remove_unfinished(self._home)
        ends = self._find_ends()
        count = len(ends) - 1
        self.done = count if count == len(self.paths) else count // self._batch * self._batch
        self._open(ends[self.done])

    def _find_ends(self) -> array[int]:
        """Find where the whole results end, up to the first that is none; 0 comes first."""
        ends = array("q", [0])
        with suppress(FileNotFoundError), (self._home / _RESULTS).open("rb") as file:
            for path, line in zip(self.paths, _lines(file), strict=False):
                if not _is_whole(path, line):
                    break
                ends.append(ends[-1] + len(line))
        return ends

    def check_ended(self) -> int:
        """Read how the run has ended in the folder; its results can be read again.

        Returns:
            the number of unreadable images

        Raises:
            OutputError: it was of other images or settings, which are named
        """
        self._check_same()
        self._forget()
        self.done = len(self._find_ends()) - 1
        counts = (_read_settings(self.folder) or {}).get("finished")
        failed = counts.get("failed") if isinstance(counts, dict) else None
        return failed if isinstance(failed, int) else 0

    def append(self, result: Result, fault: str | None = None) -> None:
        """Keep what was found on the next image.

        Args:
            result: of the image
            fault: why there is no picture of it, though it could be read before

        Raises:
            OSError: the disk is full or gone; the journal keeps what it had
        """
        if self._file is None:
            raise ValueError("Expected a journal that was begun or resumed")
        with naming(self._home / _RESULTS):
            self._file.write(_encode(self.paths[self.done], result, fault))
            self._file.flush()
            check_in_place(self._file, self._home / _RESULTS)
        self.done += 1

    def read(self, uncertain: bool = False) -> Iterator[tuple[Path, Result, str | None]]:
        """Read all results.

        Args:
            uncertain: unreadable images first, then the least certain; else in the images' order

        Yields:
            path, result, and why there is no picture
        """
        with (self._home / _RESULTS).open("rb") as file:
            if not uncertain:
                for path, line in self._stored(file):
                    yield (path, *_decode(path, line))
                return
            scores, starts, start = array("d"), array("q"), 0
            for path, line in self._stored(file):
                scores.append(getattr(_decode(path, line)[0], "score", -1.0))
                starts.append(start)
                start += len(line)
            for row in sorted(range(len(scores)), key=scores.__getitem__):
                file.seek(starts[row])
                path = self.paths[row]
                yield (path, *_decode(path, file.readline()))

    def _stored(self, file: BinaryIO) -> Iterator[tuple[Path, bytes]]:
        return zip(islice(self.paths, self.done), _lines(file), strict=False)

    def finish(self, failed: int) -> None:
        """Keep settings and results, beside the counts.

        Args:
            failed: images that could not be read
        """
        counts = {"images": len(self.paths), "failed": failed}
        self._write_settings({**self._settings, "finished": counts})
        self.close()
        self._forget()

    def _forget(self) -> None:
        (self._home / _IMAGES).unlink(missing_ok=True)
        remove_unfinished(self._home)

    def close(self) -> None:
        """Close the file; what it holds stays for the next run."""
        if self._file is not None:
            with suppress(OSError):  # what did not fit on the disk
                self._file.close()
            self._file = None

    def _open(self, end: int) -> None:
        path = self._home / _RESULTS
        with naming(path):
            self._file = path.open("r+b" if path.exists() else "w+b")
            self._file.truncate(end)
            self._file.seek(end)

    def _write_settings(self, settings: dict[str, Any]) -> None:
        text = json.dumps(settings, indent=1, default=str)
        write_atomic(self._home / _SETTINGS, (text + "\n").encode())

    def _check_same(self) -> None:
        """Refuse a run of other images or settings, and name what differs."""
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
        """Tell which images are others than before."""
        now = set(map(str, self.paths))
        try:
            with (self._home / _IMAGES).open("rb") as file:
                for line, path in zip_longest(_lines(file), self.paths):
                    if line is not None and (before := json.loads(line)[0]) not in now:
                        return f"the images, such as {before}, which is missing"
                    if line is None or line.decode() != _state(path):
                        return f"the images, such as {path}"
        except (OSError, *_UNREADABLE):
            pass  # they are kept only until the run ends
        return "the images"


def is_begun(folder: Path) -> bool:
    """Tell whether a prediction was begun in a folder, and has not ended."""
    settings = _read_settings(folder)
    return settings is not None and "finished" not in settings


def is_ended(folder: Path) -> bool:
    """Tell whether a prediction has ended in a folder."""
    settings = _read_settings(folder)
    return settings is not None and "finished" in settings


def count_results(folder: Path) -> int:
    """Count the results that a journal has."""
    try:
        with (folder / JOURNAL / _RESULTS).open("rb") as file:
            return sum(line.endswith(b"\n") for line in _lines(file))
    except OSError:
        return 0


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


_HASHES = ("weights", "labels", "names", "image_states")


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(_LONGEST):
        yield line


def _state(path: Path) -> str:
    """Describe the file of an image, in a line."""
    return json.dumps([str(path), *file_state(path)]) + "\n"


def _encode(path: Path, result: Result, fault: str | None) -> bytes:
    """Write a result as a line of JSON, floats and maps exactly."""
    if isinstance(result, ImageError):
        record: dict[str, Any] = {"file": str(path), "error": str(result)}
    else:
        record = result.to_dict()
        for part, each in zip(record["predictions"], result.classes, strict=True):
            part["steps"] = [_describe_step(step) for step in each.steps]
        if fault is not None:
            record["picture"] = fault
    return (json.dumps(record, allow_nan=False) + "\n").encode()


def _describe_step(step: Step) -> dict[str, Any]:
    raw = np.asarray(step.map if step.raw is None else step.raw, dtype="<f4")
    return {
        "raw": [*raw.shape, base64.b64encode(raw.tobytes()).decode()],
        "region": list(step.region),
        "top": None if step.top is None else [step.top.label, step.top.name, step.top.score],
    }


def _is_whole(path: Path, line: bytes) -> bool:
    """Tell whether a line is a result of an image, which the end of a killed run need not be."""
    if not line.endswith(b"\n"):
        return False
    try:
        _decode(path, line)
    except _UNREADABLE:
        return False
    return True


def _decode(path: Path, line: bytes) -> tuple[Result, str | None]:
    """Read a line that `_encode` wrote of an image."""
    record = json.loads(line)
    if record["file"] != str(path):
        raise ValueError(f"Expected the result of {path} but got that of {record['file']}")
    if "error" in record:
        return ImageError(record["error"]), None
    size = (record["width"], record["height"])
    first, *others = (_restore(part, path, size) for part in record["predictions"])
    return replace(first, others=tuple(others)), record.get("picture")


def _restore(part: dict[str, Any], path: Path, size: tuple[int, int]) -> Localization:
    return Localization(
        label=part["label"],
        name=part["name"],
        score=part["score"],
        boxes=np.array(part["boxes"], dtype=np.float64).reshape(-1, 4),
        box_scores=np.array(part["box_scores"], dtype=np.float64),
        steps=tuple(
            _restore_step(step, score)
            for step, score in zip(part["steps"], part["step_scores"], strict=True)
        ),
        width=size[0],
        height=size[1],
        path=path,
    )


def _restore_step(step: dict[str, Any], score: float) -> Step:
    *shape, text = step["raw"]
    raw = np.frombuffer(base64.b64decode(text), dtype="<f4").reshape(shape).astype(np.float32)
    top = None if step["top"] is None else Prediction(*step["top"])
    return Step(to_heatmap(raw), score, tuple(step["region"]), raw, top)
