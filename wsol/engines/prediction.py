"""A prediction by the workers of a cluster: results go into parts of a folder as they come."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdam.events import working
from tdam.strict_json import loads
from wsol.data_ranges import tell_stretched
from wsol.engines.addresses import is_address
from wsol.engines.parts import FORMATS, Parts
from wsol.engines.ray_data import choose_device, connected, do_parts, import_ray
from wsol.errors import ArgumentError
from wsol.folder_lock import hold_folder
from wsol.stored_prediction import describe_localizer
from wsol.text import list_choices

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tdam.events import Events
    from wsol.blank_maps import BlankMaps
    from wsol.left_out import LeftOut
    from wsol.localizer import Localizer

ENGINES = ("ray",)


def check_engine(engine: str, formats: Any, others: dict[str, Any]) -> list[str]:
    """See to it that an engine is there, and that it can do what is asked for.

    Args:
        engine: its name
        formats: as for `wsol.prediction.predict`
        others: arguments of that function which an engine does not follow, by name

    Returns:
        the formats of the parts

    Raises:
        ArgumentError: an unknown engine, or something that it does not do
        wsol.errors.EngineError: it is not installed
    """
    if engine not in ENGINES:
        message = f"Expected engine to be {list_choices(ENGINES)} but got {engine!r}"
        raise ArgumentError("engine", message)
    several: Iterable[Any] = [formats] if isinstance(formats, (str, type)) else formats
    kinds = list(dict.fromkeys(several)) or ["jsonl"]
    for kind in kinds:
        if kind not in FORMATS:
            raise ArgumentError(
                "formats",
                f"Expected format to be {list_choices(FORMATS)} with engine {engine} but got "
                f"{kind!r}; predict without --engine writes the others",
            )
    for argument, value in others.items():
        if value not in (None, False, "given"):
            message = f"goes only without engine {engine}, which writes records into parts"
            raise ArgumentError(argument, message)
    import_ray()
    return kinds


@dataclass(frozen=True, eq=False)
class ClusterPrediction:
    """Images whose records go into parts of a folder, as the workers of a cluster do them.

    Only this process writes into the folder, a part whole or not at all, so that a worker or this
    process may die at any moment: nothing is there twice, and what is missing is done by resuming.

    Args:
        folder: for the parts
        localizer: on the CPU; every worker makes one like it
        options: that it was made with
        images: the state of every image by its name, in order
        labels: known class of each; None where the network chooses
        names: of all classes
        kinds: formats of the parts
        device: as asked for
        layers: `layer` and `fc_layer` as they were asked for
        maps: counts constant maps
        left_out: counts classes without a box
        events: is told how far it is, and which images cannot be read
    """

    folder: Path
    localizer: Localizer
    options: dict[str, Any]
    images: dict[str, str]
    labels: Sequence[int] | None
    names: tuple[str, ...]
    kinds: Sequence[str]
    device: str
    layers: dict[str, Any]
    maps: BlankMaps
    left_out: LeftOut
    events: Events

    def run(self, resume: bool = False, force: bool = False) -> int:
        """Do the parts that are not there yet.

        Args:
            resume: go on with a run that was cut off
            force: begin anew, without the files of earlier runs

        Returns:
            how many images could not be read

        Raises:
            OutputError: the folder is not free, or holds a run of other images or settings
            wsol.folder_lock.FolderHeldError: another process works in it
            wsol.errors.EngineError: the engine failed
            OSError: the disk is full or gone; what was finished stays, and can go on
        """
        with hold_folder(self.folder), connected() as ray:
            device = choose_device(ray, self.device)
            settings = describe_localizer(self.localizer, self.labels, self.names, self.layers)
            settings["device"] = device
            batch = self.localizer.batch_size
            parts = Parts(self.folder, self.images, self.kinds, settings, batch)
            ended = parts.enter(resume, force, self.events)
            if ended is not None:
                return ended
            with working(self.events, "predict", parts.total, parts.done):
                tasks = [self._describe(parts, number) for number in parts.missing()]
                options = {**self.options, "device": device}
                for result in do_parts(ray, tasks, self.localizer.model, options):
                    self._take(parts, result)
            parts.finish(parts.failed)
        return parts.failed

    def _describe(self, parts: Parts, number: int) -> dict[str, Any]:
        """Say what there is to do of a part."""
        rows = parts.rows(number)
        names = parts.names[rows]
        places = [name if is_address(name) else os.path.abspath(name) for name in names]  # noqa: PTH100
        labels = None if self.labels is None else list(self.labels[rows])
        return {"part": number, "names": names, "places": places, "labels": labels}

    def _take(self, parts: Parts, result: dict[str, Any]) -> None:
        """Write a part that was done, and tell of it."""
        lines = result["lines"]
        parts.write(result["part"], lines)
        for record in map(loads, lines):
            if "error" in record:
                self.events.say(f"{record['file']}: {record['error']}")
            else:
                self.left_out.see(each["score"] for each in record["predictions"])
        for name in result["stretched"]:
            tell_stretched(Path(name))
        self.maps.maps += result["maps"]
        self.maps.blank += result["blank"]
        self.events.advance(len(lines))
