"""Results of a large prediction in parts: JSON Lines or Parquet files, each whole or not there."""

from __future__ import annotations

import hashlib
from io import BytesIO
from typing import TYPE_CHECKING, Any

from tdam.atomic import remove_unfinished
from tdam.strict_json import loads
from wsol.kept_run import KeptRun
from wsol.out_files import write_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FORMATS = ("jsonl", "parquet")
_PARTS = 1000  # at most; a lost worker costs one of them at most
_BATCHES = 4  # of a part, at least, so that a worker reads ahead


class Parts(KeptRun):
    """Parts of a prediction in a folder, `part-00000.jsonl` and so on, in the images' order.

    Each holds whole batches, so that every image has the neighbours in the network that it has
    where one process does them all. The lines of all parts of JSON Lines, one part after the
    other, are `predictions.jsonl` of such a process.

    Args:
        folder: of the prediction, which no other process works in
        images: the state of every image by its name, in order
        kinds: of files, of `FORMATS`
        settings: that the results depend on, in plain values
        batch: images that go through the network together
    """

    def __init__(
        self,
        folder: Path,
        images: dict[str, str],
        kinds: Sequence[str],
        settings: dict[str, Any],
        batch: int,
    ) -> None:
        self.names = list(images)
        self.size = batch * max(_BATCHES, -(-len(images) // (_PARTS * batch)))
        digest = hashlib.sha256()
        for name, state in images.items():
            digest.update(f"{name}\t{state}\n".encode("utf-8", "surrogateescape"))
        states = {"image_states": digest.hexdigest()}
        own = {"engine": "ray", "formats": list(kinds), "images a part": self.size}
        super().__init__(folder, len(images), {**states, **settings, **own})
        self.kinds = kinds
        self.failed = 0
        self._whole: set[int] = set()

    def begin(self) -> None:
        """Begin anew.

        Raises:
            OSError: the disk takes nothing
        """
        self._home.mkdir(exist_ok=True)
        self._write_settings()

    def resume(self) -> None:
        """Keep the parts that are there.

        Raises:
            OutputError: the run in the folder is of other images or settings, which are named
        """
        self.check_same()
        remove_unfinished(self.folder)
        self.count_whole()

    def count_whole(self) -> int:
        """Count the images whose part is there, and how many of them could not be read."""
        self.done = self.failed = 0
        self._whole.clear()
        for number in range(-(-self.total // self.size)):
            counts = [self._count_failed(number, kind) for kind in self.kinds]
            if counts[0] is not None and None not in counts:
                self._keep(number, counts[0])
        return self.done

    def count_results(self) -> int:
        """Count the images whose part is there."""
        return self.count_whole()

    def missing(self) -> list[int]:
        """Number the parts that are not there yet."""
        return [n for n in range(-(-self.total // self.size)) if n not in self._whole]

    def rows(self, number: int) -> slice:
        """Tell which images a part holds."""
        return slice(number * self.size, min((number + 1) * self.size, self.total))

    def write(self, number: int, lines: Sequence[str]) -> None:
        """Write a part.

        Args:
            number: of the part, from 0
            lines: the record of each of its images, as JSON

        Raises:
            OSError: the disk is full or gone; what was there is unchanged
        """
        for kind in self.kinds:
            if kind == "jsonl":
                content = "".join(f"{line}\n" for line in lines).encode("ascii")
            else:
                content = _to_parquet([loads(line) for line in lines])
            write_file(self._path(number, kind), content)
        self._keep(number, sum("error" in loads(line) for line in lines))

    def _keep(self, number: int, failed: int) -> None:
        rows = self.rows(number)
        self._whole.add(number)
        self.done += rows.stop - rows.start
        self.failed += failed

    def _path(self, number: int, kind: str) -> Path:
        return self.folder / f"part-{number:05}.{kind}"

    def _count_failed(self, number: int, kind: str) -> int | None:
        """Count a part's images that could not be read; None where it is not whole."""
        path, names = self._path(number, kind), self.names[self.rows(number)]
        try:
            if kind == "jsonl":
                records = [loads(line) for line in path.read_bytes().splitlines()]
            else:
                names = [_to_text(name) for name in names]
                records = _read_parquet(path)
            whole = [record["file"] for record in records] == names
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return sum(record.get("error") is not None for record in records) if whole else None


def _to_text(name: str) -> str:
    r"""Write a name's bytes that are no text as `\xe9`, since Parquet has none of them."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _to_parquet(records: list[dict[str, Any]]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    numbers = pa.list_(pa.float64())
    prediction = pa.struct(
        {
            "label": pa.int64(),
            "name": pa.string(),
            "score": pa.float64(),
            "step_scores": numbers,
            "boxes": pa.list_(numbers),
            "box_scores": numbers,
        }
    )
    schema = pa.schema(
        {
            "file": pa.string(),
            "width": pa.int64(),
            "height": pa.int64(),
            "predictions": pa.list_(prediction),
            "error": pa.string(),
        }
    )
    for record in records:
        for key in {"file", "error"} & record.keys():
            record[key] = _to_text(record[key])
    content = BytesIO()
    parquet.write_table(pa.Table.from_pylist(records, schema), content)
    return content.getvalue()


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    from pyarrow import parquet

    table = parquet.ParquetFile(BytesIO(path.read_bytes())).read(columns=["file", "error"])
    records: list[dict[str, Any]] = table.to_pylist()
    return records
