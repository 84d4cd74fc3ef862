"""Files of tensors, read as they are without running code in them."""

from __future__ import annotations

import argparse
import re
import struct
import warnings
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open

from tdam.strict_json import loads
from tdam.toml_records import show

if TYPE_CHECKING:
    from collections.abc import Callable

INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")  # of several files
_INDEX = ".index.json"  # how the names of such files end
_LONGEST_HEADER = 16 * 2**20  # bytes of a safetensors header; names and shapes of 100,000 tensors
_LONGEST_FILE_NAME = 255  # characters
_SHOWN = 3  # classes that a message names


class WeightsError(RuntimeError):
    """Weights that could not be obtained or read."""


class _NumberType:
    """Stands in for numpy's type of a number in a file, of which it has the name alone."""

    def __init__(self, name: str, align: bool = False, copy: bool = False) -> None:
        if not isinstance(name, str) or name not in _FORMATS:
            raise UnpicklingError(f"no type of a number: {show(name)}")
        self.format = _FORMATS[name]
        self.order = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = "<>"[state[1] == ">"]


_FORMATS = {
    **{"f2": "e", "f4": "f", "f8": "d", "b1": "?"},
    **{"i1": "b", "i2": "h", "i4": "i", "i8": "q"},
    **{"u1": "B", "u2": "H", "u4": "I", "u8": "Q"},
}


def _to_number(kind: _NumberType, content: bytes) -> float:
    """Read one of numpy's numbers, such as a trainer's best score, without numpy."""
    number: float = struct.unpack(kind.order + kind.format, content)[0]
    return number


_READABLE: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    argparse.Namespace,  # in which timm's trainer keeps its arguments
    (_NumberType, "numpy.dtype"),
    (_to_number, "numpy._core.multiarray.scalar"),
    (_to_number, "numpy.core.multiarray.scalar"),  # as numpy 1 calls it
]


def load(path: Path) -> tuple[Any, dict[str, Any]]:
    """Read a file as it is.

    Args:
        path: of safetensors, of torch, or an index of several such files in its folder

    Returns:
        what was saved; and the metadata of a safetensors file

    Raises:
        WeightsError: a file of something else, or broken
    """
    try:
        if is_index(path):
            return _join(path), {}
        _check_sizes(path)
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {k: file.get_tensor(k) for k in file.keys()}, file.metadata() or {}  # noqa: SIM118
        with (
            torch.serialization.safe_globals(_READABLE),
            warnings.catch_warnings(action="ignore"),  # of tensors that are refused anyway
        ):
            return torch.load(path, map_location="cpu", weights_only=True), {}
    except WeightsError:  # of a part
        raise
    except UnpicklingError as error:  # whose own text advises to run the file's code
        raise WeightsError(
            f"{path}: not a file of weights (expected tensors and plain values and nothing else"
            f"{_describe_classes(path)}); of a network save model.state_dict()"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, ValueError, OSError) as error:
        reason = (str(error).splitlines() or ["it ends too early"])[0]
        raise WeightsError(f"{path}: not a file of weights ({reason})") from error
    except Exception as error:  # text, read as a pickle, breaks its reader in many ways
        raise WeightsError(
            f"{path}: not a file of weights (expected one of torch.save or safetensors)"
        ) from error


def _describe_classes(path: Path) -> str:
    """Say which classes a file needs, as far as that can be seen without reading it."""
    try:
        with torch.serialization.safe_globals(_READABLE):
            names = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # an older format, or a pickle that lies
        return ""
    modules = any(name.startswith("torch.nn.modules.") for name in names)
    what = " but got a whole network with its code:" if modules else " but got"
    shown = ", ".join(
        name if re.fullmatch(r"[\w.]{1,60}", name) else show(name) for name in names[:_SHOWN]
    )
    return f"{what} {shown}{', ...' * (len(names) > _SHOWN)}" if names else ""


def _check_sizes(path: Path) -> None:
    """Refuse a file that would take far more memory than room on the disk, or says things twice.

    Raises:
        ValueError: it is one, or its header is no JSON
        OSError: it cannot be read
    """
    with path.open("rb") as file:
        start = file.read(8)
        if path.suffix == ".safetensors":
            length = int.from_bytes(start, "little")
            if length > _LONGEST_HEADER:
                raise ValueError(f"a header of {length} bytes, more than {_LONGEST_HEADER}")
            header = file.read(length)
            if len(start) < 8 or len(header) < length:
                raise ValueError(f"it ends too early, after {path.stat().st_size} bytes")
            loads(header)  # of what comes twice, safetensors takes the last
            return
    if start.startswith(b"PK"):  # torch puts parts into it as they are, uncompressed
        try:
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
        except Exception as error:  # the headers of a zip archive can lie in many ways
            raise ValueError(f"a broken archive, {error}") from error
        if any(entry.filename.endswith("/constants.pkl") for entry in entries):
            raise ValueError("a program of TorchScript; save model.state_dict() in its place")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("compressed, as torch saves no weights")
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise ValueError("an archive whose parts are larger than the whole")


def is_index(path: Path) -> bool:
    """Tell from its name whether a file lists the tensors of several."""
    return path.name.endswith(_INDEX)


def list_parts(path: Path) -> list[Path]:
    """List all files that weights are in.

    Args:
        path: of a file

    Returns:
        it alone; or it, an index, and the files that it names

    Raises:
        WeightsError: an index that names none, or some outside of its folder
    """
    if not is_index(path):
        return [path]
    try:
        return [path, *(path.parent / part for part in dict.fromkeys(_read_index(path).values()))]
    except (ValueError, OSError) as error:
        raise WeightsError(f"{path}: not a file of weights ({error})") from error


def _read_index(path: Path) -> dict[str, str]:
    """Read in which file of an index's folder each tensor is.

    Raises:
        ValueError: no index, or one that names files elsewhere
        OSError: it cannot be read
    """
    with path.open("rb") as file:
        text = file.read(_LONGEST_HEADER + 1)
    if len(text) > _LONGEST_HEADER:
        raise ValueError(f"an index of more than {_LONGEST_HEADER} bytes")
    content = loads(text)
    places = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(places, dict) or not places:
        raise ValueError("expected a weight_map from tensors to files, as an index has it")
    for name, part in places.items():
        if not (isinstance(part, str) and _is_beside(part)) or is_index(Path(part)):
            raise ValueError(
                f"expected the name of a file in the same folder for {show(name)} but got "
                f"{show(part)}"
            )
    return places


def _is_beside(name: str) -> bool:
    """Tell whether a text is the name of a file, on any system, and leads to no other folder."""
    return (
        name == PurePosixPath(name).name == PureWindowsPath(name).name
        and name.isprintable()
        and name not in ("", "..")
        and len(name) <= _LONGEST_FILE_NAME
    )


def _join(path: Path) -> dict[str, Any]:
    """Read the tensors of all files of an index.

    Raises:
        ValueError: a missing file, or one that does not hold just the tensors listed of it
        OSError: the index cannot be read
        WeightsError: a file of something else
    """
    places = _read_index(path)
    joined: dict[str, Any] = {}
    for part in dict.fromkeys(places.values()):
        if not (path.parent / part).is_file():
            raise ValueError(f"it lists {part}, which is not there")
        content, _ = load(path.parent / part)
        if not isinstance(content, dict):
            raise ValueError(f"expected tensors by name in {part}")
        for name in content:
            if name not in places:
                raise ValueError(f"{part} holds {show(name)}, which is not listed")
            if places[name] != part:
                raise ValueError(
                    f"expected every tensor once but {show(name)} is in {part} and is listed as "
                    f"of {places[name]}"
                )
        joined |= content
    absent = [name for name in places if name not in joined]
    if absent:
        raise ValueError(
            f"{places[absent[0]]} lacks {len(absent)} of the tensors listed of it, such as "
            f"{show(absent[0])}"
        )
    return joined
