"""Class names of the networks that know ImageNet's 1000 classes, and back from a name."""

from __future__ import annotations

import re
from collections import Counter
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from eval.imagenet import imagenet_outputs
from eval.tables import to_int
from wsol.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


@lru_cache(maxsize=1)
def imagenet_names() -> tuple[str, ...]:
    """Return the short names of ImageNet's 1000 classes, in order, each unique."""
    from torchvision.models import ResNet50_Weights

    return tuple(ResNet50_Weights.DEFAULT.meta["categories"])


@lru_cache(maxsize=4)
def _imagenet_outputs(names: tuple[str, ...]) -> dict[str, int]:
    """Find ImageNet's classes among a network's, by WordNet id and by short name.

    Args:
        names: of a network of 1000 classes, which need not have ImageNet's names, or their order;
            one that several classes have tells none of them
    """
    plain = [name.replace("_", " ") for name in names]
    counts = Counter(plain)
    places = {name: index for index, name in enumerate(plain) if counts[name] == 1}
    outputs: dict[str, int] = {}
    for wnid, index in imagenet_outputs().items():
        short = imagenet_names()[index]
        output = places.get(short, places.get(wnid))
        if output is not None:
            outputs |= {wnid: output, short: output}
    return outputs


def class_names(count: int, own: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """Name the classes of a network.

    Args:
        count: of the network's classes
        own: names that the network brings along

    Returns:
        the network's own; else ImageNet's for 1000 classes; else `class 0`, `class 1` and so on
    """
    if own is not None and len(own) == count:
        return own
    return imagenet_names() if count == 1000 else tuple(f"class {i}" for i in range(count))


def check_names(names: Sequence[str], count: int | None) -> tuple[str, ...]:
    """Check names of a network's outputs that somebody gave.

    Args:
        names: one an output, in order
        count: of the outputs; None where it is not known

    Raises:
        TypeError: a text in place of several
        ArgumentError: more or fewer names than outputs
    """
    if isinstance(names, str):
        raise TypeError(f"Expected names to be several, one a class, but got {names!r}")
    if count is not None and len(names) != count:
        raise ArgumentError(
            "names", f"Expected names for the network's {count} classes but got {len(names)}"
        )
    return tuple(names)


def name_outputs(network: Any, names: Sequence[str] | None = None) -> tuple[str, ...]:
    """Name the outputs of a network.

    Args:
        network: a registered one, or any other with names given
        names: one an output, in order; None for those of a registered network

    Returns:
        one name an output

    Raises:
        TypeError: a text in place of several
        ArgumentError: no names for a network that is not registered, or more or fewer than outputs
    """
    if names is not None:
        settings = getattr(network, "settings", None)
        return check_names(names, None if settings is None else settings["num_classes"])
    if not hasattr(network, "settings"):
        message = "Expected names for a network that is not registered: one a class, in order"
        raise ArgumentError("names", message)
    return class_names(network.settings["num_classes"], network.class_names)


def match_classes(
    labels: Iterable[int], given: Sequence[str], names: tuple[str, ...]
) -> tuple[dict[int, int] | None, list[str]]:
    """Find a network's class for every label of a data set, by name.

    Args:
        labels: that occur
        given: the data set's own names, by label; empty where it has none
        names: of the network's classes

    Returns:
        index by label, None where a label has no match; and the names that have none

    >>> match_classes([0, 2, 0], ["dog", "?", "cat"], ("cat", "dog"))
    ({0: 1, 2: 0}, [])
    >>> match_classes([0, 1, 2], ["dog", "?", "cat"], ("cat", "dog"))
    (None, ['?'])
    """
    table, missing = {}, []
    for label in sorted(set(labels)):
        if label >= len(given):
            return None, []
        try:
            table[label] = find_class(given[label], names)
        except ValueError:
            missing.append(given[label])
    return (None if missing else table), missing


def find_class(text: str, names: tuple[str, ...], by_number: bool = True) -> int:
    """Tell which class is meant.

    Args:
        text: a class's name (any case, `_` for spaces), number, or WordNet id such as `n01440764`;
            the name comes first, so that a class may be called `7`
        names: of all classes
        by_number: whether a number may mean a class

    Returns:
        the class's index

    Raises:
        TypeError: something that is no text
        ValueError: no class is meant, or several are; the message lists near names
    """
    index = look_up_class(text, names, by_number)
    if index is not None:
        return index
    near = near_names(text, names)
    hint = f"; near it: {', '.join(near)}" if near else ""
    raise ValueError(f"Expected the name or number of a class but got {text!r}{hint}")


def look_up_class(text: str, names: tuple[str, ...], by_number: bool = True) -> int | None:
    """Tell which class is meant, as `find_class` does, but give None where none is.

    Raises:
        TypeError: something that is no text
        ValueError: several classes are meant
    """
    if not isinstance(text, str):
        raise TypeError(f"Expected the name or number of a class as text but got {text!r}")
    plain = text.strip().replace("_", " ")
    wanted = plain.casefold()
    spaced = [name.replace("_", " ") for name in names]
    literal = [index for index, name in enumerate(names) if name == text]
    exact = [index for index, name in enumerate(spaced) if name == plain]
    alike = [index for index, name in enumerate(spaced) if name.casefold() == wanted]
    for matches in (literal, exact, alike):  # `cardigan` is a garment, `Cardigan` a dog
        if len(matches) == 1:
            return matches[0]
        if matches:
            which = ", ".join(map(str, matches[:8]))
            raise ValueError(
                f"Expected a name of one class but {text!r} is that of {len(matches)} ({which}): "
                "give the number of the one that is meant"
            )
    if by_number and 0 <= (number := to_int(wanted)) < len(names):
        return number
    if len(names) == 1000:
        known = _imagenet_outputs(names)
        return known.get(plain, known.get(wanted))
    return None


def near_names(text: str, names: tuple[str, ...]) -> list[str]:
    """List names of classes that somebody may have meant: those with the text in them, or typos.

    Words come before beginnings of words, and these before the rest, of which three letters or
    fewer tell nothing.

    >>> near_names("cup", ("porcupine", "cupboard", "tea cup"))
    ['tea cup', 'cupboard']
    >>> near_names("tenchh", ("tench", "cup"))
    ['tench']
    """
    wanted = text.strip().replace("_", " ").casefold()
    ends = (rf"\b{re.escape(wanted)}\b", rf"\b{re.escape(wanted)}", re.escape(wanted))
    kinds = ends[: 3 if len(wanted) > 3 else 2] if wanted else ()
    within = [name for kind in kinds for name in names if re.search(kind, name.casefold())]
    if within:
        return list(dict.fromkeys(within))[:8]
    plain = {name.replace("_", " ").casefold(): name for name in names}
    return [plain[key] for key in get_close_matches(wanted, plain, cutoff=0.8)]


def known_labels(
    paths: Sequence[Path],
    names: tuple[str, ...],
    class_name: str | None = None,
    class_from_folder: bool = False,
) -> list[int] | None:
    """Tell every image's class where it is known.

    Args:
        paths: of the images
        names: of the network's classes
        class_name: of all images, as `find_class` takes it
        class_from_folder: an image's folder names its class

    Returns:
        one class an image, or None where the network shall choose

    Raises:
        ValueError: the network knows no such class, or both arguments are given

    >>> from pathlib import Path
    >>> known_labels([Path("dog/a.jpg"), Path("cat/a.jpg")], ("cat", "dog"), None, True)
    [1, 0]
    """
    if class_name is not None and class_from_folder:
        raise ValueError("Expected class_name or class_from_folder but got both")
    if class_name is not None:
        return [find_class(class_name, names)] * len(paths)
    if not class_from_folder:
        return None
    folders = [path.absolute().parent.name for path in paths]
    labels, faults = {}, []
    for folder in dict.fromkeys(folders):
        try:
            labels[folder] = find_class(folder, names)
        except ValueError as error:
            faults.append(str(error))
    if faults:
        own = "classes of your own need a network that knows them: wsol train"
        raise ValueError(". ".join([*faults[:20], own]))
    return [labels[folder] for folder in folders]
