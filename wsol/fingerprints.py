"""What a kept result was made of, told in hashes: files by their states, weights, and code."""

from __future__ import annotations

import hashlib
import inspect
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG
from types import CellType, CodeType, FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from torch import Tensor, nn

    from eval.splits import Split

# Of the rules by which images are read and maps are scored. Whoever changes one that can change a
# number counts one up, so that nothing that older rules made is taken for the newer ones'.
RULES = 4

NO_FILE = (-1, 0)  # state of what is no file

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_KNOWN = {"torch", "torchvision", "timm", "numpy", "tdam", "wsol", "eval", "builtins", "abc"}


def hash_files(split: Split, find: Callable[[str], Path], times: bool = False) -> str:
    """Hash ids, labels and file sizes, in hexadecimal; `hash_images` tells contents apart too.

    Args:
        split: ids and labels
        find: gives the file of an id
        times: also hash when each file was last changed
    """
    digest = hashlib.sha256()
    for image_id, label in zip(split.ids, split.labels.tolist(), strict=True):
        size, time = file_state(find(image_id))
        line = f"{image_id}\t{label}\t{size}\t{time if times else 0}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def hash_states(paths: Iterable[Path]) -> str:
    """Hash paths, sizes and times of change of files, in hexadecimal."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path}\t{file_state(path)}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def file_state(path: Path) -> tuple[int, int]:
    """Give a file's size in bytes and its time of change in nanoseconds; -1 and 0 without one."""
    try:
        stat = path.stat()
    except (OSError, ValueError):  # a name with a zero byte is a ValueError
        return NO_FILE
    return (stat.st_size, stat.st_mtime_ns) if S_ISREG(stat.st_mode) else NO_FILE


def hash_images(ids: Sequence[str], paths: Sequence[str]) -> str:
    """Hash ids and contents of images, in hexadecimal.

    Every file is read, once in a process: a fraction of what a network takes for it.

    Args:
        ids: of the images
        paths: of their files
    """
    rows = zip(ids, hash_contents(paths), strict=True)
    lines = "".join(f"{image_id}\t{digest}\n" for image_id, digest in rows)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def describe_images(split: Split, root: Path) -> dict[str, str]:
    """Tell by hashes of which images scores are: of ids, labels and sizes, and of contents.

    Args:
        split: ids and labels
        root: folder that the ids are relative to
    """
    paths = [str(root / image_id) for image_id in split.ids]
    return {
        "images_sha256": hash_files(split, root.joinpath),
        "contents_sha256": hash_images(split.ids, paths),
    }


def hash_contents(paths: Sequence[str]) -> list[str | None]:
    """Hash the bytes of each of many files, as `hash_file`."""
    with ThreadPoolExecutor(8) as pool:  # most of the time is spent waiting for the disk
        return list(pool.map(hash_file, paths))


def hash_file(path: str) -> str | None:
    """Hash the bytes of a file with SHA-256; None where it cannot be read."""
    try:
        stat = Path(path).stat()
        if not S_ISREG(stat.st_mode):
            return None
        # Who writes a file can set back the time of change of its content but not that of its state
        return _hash_content(path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    except (OSError, ValueError):  # a name with a zero byte is a ValueError
        return None


@lru_cache(maxsize=2_000_000)  # an experiment asks for the same files, ImageNet's, with every run
def _hash_content(path: str, *state: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_weights(state: Mapping[str, Tensor]) -> str:
    """Hash tensors, in hexadecimal: their names, kinds of numbers, shapes and values.

    The same weights have the same hash, whatever file or device they lie in.

    Args:
        state: tensors by name
    """
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name}\t{tensor.dtype}\t{tuple(tensor.shape)}\n".encode())
        numbers = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(numbers.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def hash_modules(model: nn.Module) -> str:
    """Hash what a network is beside its weights, in hexadecimal.

    That is every module's class and plain attributes, such as a stride, and the code of classes
    from outside; this package's own has a number of its rules, `RULES`.

    Args:
        model: any network
    """
    digest = hashlib.sha256()
    own: dict[type, str] = {}
    for name, module in model.named_modules():
        kind = type(module)
        if kind not in own:
            own[kind] = hash_code(kind)
        plain = [
            (key, value)
            for key, value in sorted(vars(module).items())
            if key != "training" and not key.startswith("_") and _is_plain(value)
        ]
        digest.update(f"{name}\t{own[kind]}\t{plain!r}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain, value.items()))
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    return isinstance(value, _PLAIN)


def hash_code(thing: Any) -> str:
    """Hash the code of a class or function and of all that it calls by name, in hexadecimal.

    Comments do not count. Of what belongs to this package or to torch the name alone does.

    Args:
        thing: a class or a function
    """
    digest = hashlib.sha256()
    waiting, seen = [thing], set()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        text, further = _describe_code(each)
        digest.update(f"{text}\n".encode("utf-8", "surrogateescape"))
        waiting += further
    return digest.hexdigest()


def _describe_code(thing: Any) -> tuple[str, list[Any]]:
    """Tell what a thing is in a line, and give the things that it is made of."""
    if _is_plain(thing):
        return repr(thing), []
    thing = inspect.unwrap(thing) if callable(thing) else thing
    name = f"{getattr(thing, '__module__', '')}:{getattr(thing, '__qualname__', type(thing))}"
    if name.partition(".")[0].partition(":")[0] in _KNOWN:
        return name, []
    if isinstance(thing, (staticmethod, classmethod)):
        return name, [thing.__func__]
    if isinstance(thing, property):
        return name, [each for each in (thing.fget, thing.fset) if each is not None]
    if isinstance(thing, type):
        own = sorted(vars(thing).items())
        kept = [(key, value) for key, value in own if key not in ("__doc__", "__dict__")]
        return f"{name} {[key for key, _ in kept]}", [*thing.__bases__, *(v for _, v in kept)]
    if isinstance(thing, FunctionType):
        defaults = thing.__kwdefaults__ or {}
        code, names = _read_code(thing.__code__)
        further = [thing.__globals__[each] for each in names if each in thing.__globals__]
        further += [cell.cell_contents for cell in thing.__closure__ or () if _is_filled(cell)]
        further += [thing.__defaults__, *(value for _, value in sorted(defaults.items()))]
        return f"{name} {code}", further
    return name, []


def _is_filled(cell: CellType) -> bool:
    """Tell whether a variable of an outer function has a value yet."""
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _read_code(code: CodeType) -> tuple[str, list[str]]:
    """Write out instructions, names and constants, those of inner functions too; and the names."""
    constants, names = [], list(code.co_names)
    for each in code.co_consts:
        if isinstance(each, CodeType):
            inner, further = _read_code(each)
            constants.append(inner)
            names += further
        else:  # the order in a set is another in every process
            constants.append(repr(sorted(map(repr, each)) if isinstance(each, frozenset) else each))
    return f"{code.co_code.hex()} {code.co_names} {constants}", names
