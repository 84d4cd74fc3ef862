"""What a prediction has found so far, on disk: a line an image, so that a cut-off run can go on."""

from __future__ import annotations

import base64
import json
from array import array
from contextlib import suppress
from dataclasses import astuple, replace
from itertools import islice, zip_longest
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from tdam.atomic import check_in_place, naming, open_atomic, remove_unfinished
from wsol.fingerprints import file_state, hash_states
from wsol.heatmap import stretch_map
from wsol.images import ImageError
from wsol.kept_run import KeptRun
from wsol.regions import BoxRule
from wsol.results import Localization, Prediction, Step

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Result = Localization | ImageError

_IMAGES, _RESULTS = "images.jsonl", "results.jsonl"
_LONGEST = 1 << 26  # bytes of a line
_UNREADABLE = (ValueError, KeyError, TypeError, IndexError, RecursionError, AttributeError)


class Journal(KeptRun):
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
        states = {"image_states": hash_states(paths)}
        super().__init__(folder, len(paths), {**states, **settings})
        self.paths = paths
        self._batch = batch
        self._file: BinaryIO | None = None

    def begin(self) -> None:
        """Begin anew.

        Raises:
            OSError: the disk takes no journal
        """
        self._home.mkdir(exist_ok=True)
        (self._home / _RESULTS).unlink(missing_ok=True)
        with open_atomic(self._home / _IMAGES, encoding="ascii") as file:
            file.writelines(map(_state, self.paths))
        self._write_settings()
        self._open(0)

    def resume(self) -> None:
        """Go on after the last whole batch.

        Raises:
            OutputError: the run in the folder is of other images or settings, which are named
            OSError: the journal cannot be read or written
        """
        self.check_same()
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

    def count_whole(self) -> int:
        """Count the results that there are; they can be read again."""
        return len(self._find_ends()) - 1

    def count_results(self) -> int:
        """Count the results, whole ones and others."""
        try:
            with (self._home / _RESULTS).open("rb") as file:
                return sum(line.endswith(b"\n") for line in _lines(file))
        except OSError:
            return 0

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

    def _forget(self) -> None:
        (self._home / _IMAGES).unlink(missing_ok=True)
        super()._forget()

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
            part["rule"] = None if each.rule is None else list(astuple(each.rule))
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
        rule=None if part["rule"] is None else BoxRule(*part["rule"]),
    )


def _restore_step(step: dict[str, Any], score: float) -> Step:
    *shape, text = step["raw"]
    raw = np.frombuffer(base64.b64decode(text), dtype="<f4").reshape(shape).astype(np.float32)
    top = None if step["top"] is None else Prediction(*step["top"])
    return Step(stretch_map(raw), score, tuple(step["region"]), raw, top)
