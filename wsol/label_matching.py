"""Which of a network's outputs each label of a data set is.

A table says it first; then WordNet ids that data set and network share, then names, then some of
each; and last, where a caller allows it, the numbers themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from eval.manifest import load_classes
from wsol.classes import class_names, find_class, imagenet_names, look_up_class, match_classes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eval.manifest import DataSet, Split

# In notes of numbers that may mean other classes.
BY_NUMBER = "taken for the numbers of its outputs"
# When labels may be taken for the outputs' own numbers: where data set and network have as many
# classes; where no class has a name and all numbers occur among the outputs; or never.
Numbers = Literal["as many classes", "no names", "never"]
_SHOWN = 5  # names that a message lists


@dataclass(frozen=True)
class LabelMatch:
    """The result of a match.

    Args:
        outputs: index among the outputs by label; None where labels and outputs do not fit
        source: what decided: the `table`, `wnids`, `names`, `names and wnids` (some by each) or
            `numbers`; empty where nothing did
        missing: names of the data set that are none of the network's
    """

    outputs: dict[int, int] | None
    source: Literal["table", "wnids", "names", "names and wnids", "numbers", ""]
    missing: tuple[str, ...] = ()

    @property
    def strangers(self) -> str:
        """Name the classes of the data set that the network does not have; empty without any."""
        if not self.missing:
            return ""
        few = ", ".join(map(repr, self.missing[:_SHOWN]))
        dots = ", ..." if len(self.missing) > _SHOWN else ""
        return f"classes that are none of the network's: {len(self.missing)} ({few}{dots})"


def describe_match(match: LabelMatch, split: Split, names: tuple[str, ...]) -> str:
    """Say in a line where labels may mean other classes than the network's outputs do.

    Args:
        match: of the labels
        split: whose labels they are
        names: of the network's outputs

    Returns:
        the line; empty where all is clear, as it is for numbers where the network has no names of
        its own, and for ImageNet's classes in ImageNet's order
    """
    own = names != class_names(len(names))  # not `class 0` and so on
    given = split.class_names or ()
    labels = sorted(set(split.labels.tolist()))
    if match.source == "numbers" and not match.missing and own:
        few = ", ".join(f"{index} is {name!r}" for index, name in enumerate(names[:_SHOWN]))
        dots = ", ..." if len(names) > _SHOWN else ""
        told = f"the data set names no classes, the network does ({few}{dots})"
        return f"{told}: labels are {BY_NUMBER}"
    if match.source == "wnids" and match.outputs is not None:
        named = {label: _find_first(given[label : label + 1], names) for label in labels}
        odd = [label for label in labels if named[label] not in (None, match.outputs[label])]
        if odd:
            return f"by their names some classes are others: {_list(given, odd)}; their wnid counts"
    if match.source == "names" and own:
        numbers = [label for label in labels if _is_number(given[label : label + 1], names)]
        if numbers:
            return f"no names of the network's: {_list(given, numbers)}; they are {BY_NUMBER}"
    if match.missing and (own or len(names) == 1000):
        by_number = match.source == "numbers"
        return match.strangers + (f"; labels are {BY_NUMBER}" if by_number else "")
    return ""


def _list(given: Sequence[str], labels: Sequence[int]) -> str:
    """Quote the names of the first few labels."""
    dots = ", ..." if len(labels) > _SHOWN else ""
    return ", ".join(repr(given[label]) for label in labels[:_SHOWN]) + dots


def find_label(name: str, split: Split) -> int | None:
    """Find the label of a class by its name or WordNet id; None where the data has none."""
    if not name.strip():
        return None
    if split.wnids is not None and name in split.wnids:
        return split.wnids.index(name)
    try:
        return look_up_class(name, split.class_names or (), by_number=False)
    except ValueError:  # several classes are meant
        return None


def match_labels(
    split: Split,
    names: tuple[str, ...],
    *,
    table: Mapping[int, int] | None = None,
    numbers: Numbers = "never",
    data: DataSet | None = None,
) -> LabelMatch:
    """Find a network's output for every label that occurs.

    Args:
        split: whose labels to find
        names: of the network's outputs
        table: index among the outputs by label, which goes before all else
        numbers: when labels may be taken for the outputs' numbers
        data: the data set of the split, to count all its classes; without it those of the split
    """
    labels = sorted(set(split.labels.tolist()))
    if table is not None:
        return LabelMatch(dict(table), "table")
    by_wnid, has_wnids = _match_wnids(labels, split, names)
    if len(by_wnid) == len(labels):
        return LabelMatch(by_wnid, "wnids")
    by_name, missing = match_classes(labels, split.class_names or (), names)
    if by_name is None and has_wnids:
        either, missing = _match_either(labels, split, names, by_wnid)
        if either is not None:
            return LabelMatch(either, "names and wnids")
    if by_name is not None:
        return LabelMatch(by_name, "names")
    count = len(names)
    if numbers == "as many classes":
        classes = split.count_classes() if data is None else data.count_classes(split, count)
        if classes == count:
            return LabelMatch({i: i for i in range(count)}, "numbers", tuple(missing))
    nameless = split.class_names is None and split.wnids is None
    if numbers == "no names" and nameless and labels[-1] < count:
        return LabelMatch({label: label for label in labels}, "numbers")
    return LabelMatch(None, "", tuple(missing))


def match_evaluated(
    split: Split,
    names: tuple[str, ...],
    *,
    classes: Mapping[int, int] | str | Path | None = None,
    data: DataSet | None = None,
) -> tuple[dict[int, int] | None, str]:
    """Find a network's output for every label of a split that is scored.

    For 1000 outputs the data set's own `classes.csv` counts as a table, but not against names that
    the network has of its own: with these, what the table says goes by the names of ImageNet's
    classes, not by their numbers. Numbers are taken where data set and network have as many
    classes, unless some names fit: then numbers and names contradict each other.

    Args:
        split: to score
        names: of the network's outputs
        classes: the table, or its path
        data: the data set of the split

    Returns:
        index among the outputs by label, None where labels and outputs do not fit; and what people
        should know of it, which may be nothing

    Raises:
        ValueError: numbers would fit, but some of the names that occur are the network's and
            others are not; or a table would, but names of the network contradict it
        eval.manifest.ManifestError: a broken table
    """
    note = ""
    own = len(names) == 1000 and names != imagenet_names()
    if classes is None and data is not None and len(names) == 1000:
        classes = data.class_table
        if own and classes is not None:
            outputs, note = _match_own_names(split, names, classes)
            if outputs is not None:
                return outputs, note
    elif own and classes is not None:
        note = ", whatever the network's own names say"
    if isinstance(classes, (str, Path)):
        note = f"labels mapped onto ImageNet's 1000 classes by {classes}{note}"
        classes = load_classes(classes)
    elif note:
        note = f"labels mapped by a table{note}"
    match = match_labels(split, names, table=classes, numbers="as many classes", data=data)
    said = describe_match(match, split, names)
    some = 0 < len(match.missing) < len(set(split.labels.tolist()))
    if said and some and match.source == "numbers":
        raise ValueError(f"{match.strangers}; a class table may map them")
    return match.outputs, said or note


def _match_wnids(
    labels: Sequence[int], split: Split, names: tuple[str, ...]
) -> tuple[dict[int, int], bool]:
    """Find outputs by WordNet id, which several labels may not share.

    Returns:
        index among the outputs by label, of those that have one; and whether there are ids
    """
    wnids = {label: wnid for label in labels for wnid in (split.wnids or ())[label : label + 1]}
    counts = Counter(wnids.values())
    found = {
        label: _find_first([wnid], names)
        for label, wnid in wnids.items()
        if wnid and counts[wnid] == 1
    }
    outputs = {label: output for label, output in found.items() if output is not None}
    return outputs, any(wnids.values())


def _match_either(
    labels: Sequence[int], split: Split, names: tuple[str, ...], by_wnid: Mapping[int, int]
) -> tuple[dict[int, int] | None, list[str]]:
    """Find outputs by WordNet id or by name, where both do not mean two.

    Returns:
        index by label, None where a label has no match; and the names that have none

    Raises:
        ValueError: two labels mean one output
    """
    outputs: dict[int, int] = {}
    missing: list[str] = []
    for label in labels:
        given = (split.class_names or ())[label : label + 1]
        found = {_find_first(given, names), by_wnid.get(label)} - {None}
        if len(found) == 1:
            outputs[label] = found.pop()  # type: ignore[assignment]
        else:
            missing += given or (split.wnids or ())[label : label + 1] or (f"label {label}",)
    if missing:
        return None, missing
    twice = [output for output, count in Counter(outputs.values()).items() if count > 1]
    if twice:
        both = [label for label, output in outputs.items() if output == twice[0]]
        raise ValueError(
            f"Expected every label to mean a class of its own but {both} mean {names[twice[0]]!r} "
            "by name and by wnid; a class table may map them"
        )
    return outputs, []


def _is_number(given: Sequence[str], names: tuple[str, ...]) -> bool:
    """Tell whether what a class is called means an output by its number alone."""
    return bool(given) and _find_first(given, names) is None


def _match_own_names(
    split: Split, names: tuple[str, ...], path: Path
) -> tuple[dict[int, int] | None, str]:
    """Match labels with a network of 1000 classes that brings names of its own.

    Args:
        split: to score
        names: of the network's outputs, which are not ImageNet's in ImageNet's order
        path: of the data set's table, which maps labels onto ImageNet's classes

    Returns:
        index among the outputs by label, and a line for people; None where the names are neither
        those of the data set nor ImageNet's, so that the table counts

    Raises:
        ValueError: some names are, others are not, and the table gives other outputs for some
        eval.manifest.ManifestError: a broken table
    """
    labels = sorted(set(split.labels.tolist()))
    table = load_classes(path)
    by_name = match_labels(split, names).outputs
    known: dict[int, int] = {}
    missing = []
    for label, index in table.items():  # also those that occur in other splits alone
        texts = [*(split.wnids or ())[label : label + 1], imagenet_names()[index]]
        texts += (split.class_names or ())[label : label + 1]
        output = _find_first(texts, names)
        if output is not None:
            known[label] = output
        elif label in labels:
            missing.append(texts[-1])
    note = f"labels matched by the network's own names, not by the numbers in {path}"
    if by_name is not None:
        return known | by_name, note
    if set(labels) <= set(known):
        return known, note
    wrong = [label for label, output in known.items() if output != table[label]]
    if wrong:
        by_names, by_numbers = names[known[wrong[0]]], names[table[wrong[0]]]
        raise ValueError(
            f"Expected {path} and the network's own names to agree but label {wrong[0]} is "
            f"{by_numbers!r} by the one and {by_names!r} by the other, and the network has no name "
            f"for {', '.join(map(repr, missing[:_SHOWN]))}; a class table may map them"
        )
    return None, ""


def _find_first(texts: Sequence[str], names: tuple[str, ...]) -> int | None:
    """Find the class that the first of several texts names, numbers aside, that names one."""
    for text in texts:
        try:
            return find_class(text, names, by_number=False)
        except ValueError:
            continue
    return None


def true_outputs(
    split: Split, outputs: Mapping[int, int] | None, count: int, needed: bool
) -> np.ndarray | None:
    """Give the output that stands for the true class of every image.

    Args:
        split: with labels
        outputs: index among the outputs by label; None where labels are the outputs' numbers
        count: of the outputs
        needed: whether a class that is not among the outputs is an error; else the result is None

    Returns:
        (N,), or None where it is not known

    Raises:
        ValueError: a table without a label that occurs; or labels that do not fit and are needed
    """
    labels = split.labels.tolist()
    classes = split.count_classes()
    if outputs is not None:
        unknown = sorted(set(labels) - set(outputs))
        if unknown:
            raise ValueError(f"Expected the class table to have every label but not {unknown}")
        occurring = {label: outputs[label] for label in set(labels)}
        classes = max(occurring.values()) + 1
        if classes <= count:
            return np.array([occurring[label] for label in labels])
    elif classes == count:
        return split.labels
    if not needed:
        return None
    raise ValueError(
        f"Expected labels for the network's {count} classes but got {classes} classes; map them by "
        "a class table, or score the predicted class's map"
    )


def name_labels(
    split: Split, outputs: Mapping[int, int] | None, names: Sequence[str]
) -> dict[int, str]:
    """Name the labels of a split as the data set does, or as the network's outputs are called.

    Args:
        split: with labels
        outputs: index among the outputs by label, or None where they do not fit
        names: of the outputs; empty without a network

    Returns:
        names by label, those that are known
    """
    named = {}
    for label in sorted(set(split.labels.tolist())):
        index = label if outputs is None else outputs.get(label, -1)
        if split.class_names is not None and label < len(split.class_names):
            named[label] = split.class_names[label]
        elif outputs is not None and 0 <= index < len(names):
            named[label] = names[index]
    return named
