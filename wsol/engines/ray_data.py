"""Ray Data as an engine: workers of a cluster, or of this machine, do a prediction's parts."""

from __future__ import annotations

import inspect
import json
import logging
import os
import signal
import socket
import threading
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from eval.image_files import get_max_pixels, set_max_pixels
from tdam.strict_json import dumps
from wsol.blank_maps import BlankMaps
from wsol.data_ranges import noting_stretched
from wsol.engines.addresses import fetch_images
from wsol.errors import ArgumentError, EngineError
from wsol.images import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn

_KEPT = "--resume does the parts that are not there"
_ANSWER = 10.0  # seconds that a cluster may take to be there
_RETRIES = 5  # of a part whose worker died, which the next one may do as well


def import_ray() -> Any:
    """Give Ray with Ray Data, which says nothing to anybody.

    Raises:
        EngineError: it is not installed
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise EngineError(
            f'engine ray needs Ray ({error}): pip install "ray[data]>=2.51"'
        ) from error
    return ray


@contextmanager
def connected() -> Iterator[Any]:
    """Connect to the cluster that `RAY_ADDRESS` names, or start Ray on this machine.

    Where this process is connected already, it stays so.

    Yields:
        Ray

    Raises:
        EngineError: not installed, or no cluster there
    """
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return
    handler = signal.getsignal(signal.SIGTERM)
    address = os.environ.get("RAY_ADDRESS")
    try:
        if address:
            _knock(ray, address)
        with _muted(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(
                # Without an address Ray would join whatever cluster was last started on this
                # machine, somebody else's or one that has ended, and wait for it
                address=None if address else "local",
                include_dashboard=False, log_to_driver=False, logging_level=logging.CRITICAL,
            )  # fmt: skip
    except (OSError, RuntimeError, ValueError) as error:
        where = f"no cluster answers at RAY_ADDRESS={address}" if address else "it does not start"
        raise EngineError(f"Ray: {where} ({_last_line(error)})") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray has one of its own
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(ray: Any, address: str) -> None:
    """See whether anybody listens at a cluster's address, for which Ray itself waits 20 minutes.

    Raises:
        OSError: nobody does
        ValueError: it is no address
    """
    scheme, _, rest = address.rpartition("://")
    if scheme == "ray":
        host, _, port = rest.partition("/")[0].rpartition(":")
    elif scheme or address == "local":
        return  # other services know their ways
    else:
        settled = ray._private.services.canonicalize_bootstrap_address(address)  # auto, too
        host, _, port = settled.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), _ANSWER).close()


@contextmanager
def _muted() -> Iterator[None]:
    """Keep what Ray's own code writes at its start, past Python, from the terminal."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def choose_device(ray: Any, device: str) -> str:
    """Tell what the workers compute on.

    Args:
        ray: connected
        device: `auto` for GPUs where the cluster has them, `cuda` or `cpu`

    Returns:
        `cuda` or `cpu`

    Raises:
        ArgumentError: another device, or GPUs of a cluster that has none
    """
    if device not in ("auto", "cpu", "cuda"):
        message = f"Expected auto, cpu or cuda with engine ray but got {device!r}"
        raise ArgumentError("device", f"{message}: Ray gives each worker its GPU")
    gpus = int(ray.cluster_resources().get("GPU", 0))
    if device == "cuda" and not gpus:
        raise ArgumentError("device", "Expected a cluster with GPUs but Ray knows of none")
    return "cuda" if gpus and device != "cpu" else "cpu"


def do_parts(
    ray: Any, tasks: Sequence[dict[str, Any]], network: nn.Module, options: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Let the workers do parts: one a GPU, or one a CPU.

    A part whose worker died is done again by another one; what is given is whole.

    Args:
        ray: connected
        tasks: each in plain values: `part`, `names` and `places` of its images, `labels` or None
        network: on the CPU
        options: of `Localizer`, with `device` as `choose_device` gave it

    Yields:
        what `PartWorker` tells of each task, in any order

    Raises:
        EngineError: a part cannot be done
    """
    if not tasks:
        return
    _quieten(ray)
    have = ray.cluster_resources()
    cpus, gpus = max(int(have.get("CPU", 1)), 1), int(have.get("GPU", 0))
    if options["device"] == "cuda":
        count, share = gpus, {"num_gpus": 1, "num_cpus": min(options["workers"], cpus / gpus)}
    else:
        count, share = cpus, {"num_cpus": 1}
    parameters = inspect.signature(ray.data.Dataset.map).parameters
    if "ray_remote_args" in parameters:  # else a part that kills its worker is tried for ever
        share["max_task_retries"] = _RETRIES
    rows = [{"task": json.dumps(task)} for task in tasks]
    kept = ray.put((network, options))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
                PartWorker,
                fn_constructor_args=([kept], get_max_pixels()),
                compute=ray.data.ActorPoolStrategy(size=min(count, len(rows))),
                **share,
            )
            for row in results.iter_rows():
                yield json.loads(row["result"])
    except ray.exceptions.RayActorError as error:
        raise EngineError(
            f"Ray: workers die, or do not start ({_last_line(error)}); {_KEPT}"
        ) from error
    except ray.exceptions.RayError as error:
        raise EngineError(f"Ray: {_last_line(error)}; {_KEPT}") from error


def _quieten(ray: Any) -> None:
    """Keep Ray's reports off the terminal; its logs have them."""
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    with suppress(AttributeError):  # what it tells of dead workers goes to standard output
        ray._private.worker._worker_logs_enabled = False


def _last_line(error: BaseException) -> str:
    """Give the last line of a message, which has what went wrong after where it did."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


class PartWorker:
    """A worker: does part after part with a localizer of its own.

    Args:
        kept: a reference of Ray's to the network and the options of its localizer, in a list, so
            that Ray hands it on as it is
        max_pixels: as for `eval.image_files.set_max_pixels`
    """

    def __init__(self, kept: list[Any], max_pixels: int) -> None:
        import ray

        from wsol.borrowed_classes import make_localizer

        set_max_pixels(max_pixels)
        network, options = ray.get(kept[0])
        self._localizer = make_localizer(network, options)

    def __call__(self, row: dict[str, str]) -> dict[str, str]:
        """Do a part.

        Args:
            row: `task`, as JSON, since names may hold what Arrow does not take for text

        Returns:
            `result`, as JSON: `part`, `lines` with the record of every image, `stretched` with
            names, `maps` and `blank` as `BlankMaps` counts them
        """
        task = json.loads(row["task"])
        lines, told, maps = [], [], BlankMaps()
        localizer = self._localizer
        with TemporaryDirectory(prefix="wsol-ray-") as folder, noting_stretched() as stretched:
            options = (Path(folder), localizer.batch_size, localizer.workers)
            paths = fetch_images(task["places"], *options)
            results = localizer.stream(paths, task["labels"])
            for name, (path, result) in zip(task["names"], results, strict=True):
                if isinstance(result, ImageError):
                    record = {"file": name, "error": str(result).removeprefix(f"{path}: ")}
                else:
                    maps.see(result)
                    record = {**result.to_dict(), "file": name}
                lines.append(dumps(record))
                if path in stretched:
                    told.append(name)
                if path.is_relative_to(folder):
                    with suppress(OSError):
                        path.unlink(missing_ok=True)
        counts = {"maps": maps.maps, "blank": maps.blank}
        return {
            "result": json.dumps(
                {"part": task["part"], "lines": lines, "stretched": told, **counts}
            )
        }
