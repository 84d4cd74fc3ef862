"""Where the maps of a split come from: a network that looks at images, or files in a folder."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import numpy as np

from wsol.heatmap import to_heatmap
from wsol.images import ImageError, read_image
from wsol.loading import read_ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

    from torch import Tensor, nn

    from eval.protocols import ClassMap
    from eval.protocols import Protocol as Rules
    from eval.splits import Split
    from tdam.preprocessing import Preprocessing

_HEADERS = Lock()  # numpy parses them as Python, and CPython 3.11 fails where threads do so at once
NO_RANK = 2**31 - 1  # of an image that could not be read: not among the predictions


class MapError(ValueError):
    """Maps on disk that cannot be scored.

    Args:
        faults: one line a fault, each naming a file
    """

    def __init__(self, faults: list[str]) -> None:
        super().__init__(
            f"{len(faults)} maps are missing, broken or of no image, the first: {faults[0]}; with "
            "allow_missing those of images count as missed"
        )
        self.faults = faults


@dataclass(frozen=True, eq=False)
class FoundMap:
    """The map of one image, made when a protocol asks for it.

    Args:
        row: of the image in its split
        heat: gives the map in [0, 1] in a protocol's square, (S, S); may raise ImageError
        fault: why there is none
        label: class whose map it is, among the network's outputs or, without one, the labels
        rank: place of the true class among the predictions, from 0; None where unknown
        score: probability of the class
        region: part of the image that the map covers, x0 y0 x1 y1 as shares of width and height
        predicted: most probable class among the network's outputs; None where there is no network
    """

    row: int
    heat: Callable[[Rules], np.ndarray] | None
    fault: str = ""
    label: int = -1
    rank: int | None = None
    score: float = 1.0
    region: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    predicted: int | None = None


class MapSource(Protocol):
    """Gives the maps of a split in order, from any batch on."""

    @property
    def split(self) -> Split:
        """The split whose maps these are."""
        ...

    @property
    def class_map(self) -> ClassMap:
        """Whose maps these are."""
        ...

    @property
    def batch_size(self) -> int:
        """Images at once."""
        ...

    @property
    def image(self) -> str:
        """What the maps show of an image: `squash`, the whole, or `crop`, its centre."""
        ...

    @property
    def allow_missing(self) -> bool:
        """Whether a map that cannot be had counts as missed, instead of an error."""
        ...

    def describe(self) -> dict[str, Any]:
        """Name everything that the maps depend on, in plain values."""
        ...

    def read(self, start: int) -> Generator[FoundMap]:
        """Give the maps from a row on, which is the first of a batch."""
        ...


@dataclass(frozen=True, eq=False)
class NetworkMaps:
    """Maps that a network makes of images.

    Args:
        model: a registered network, or any other with `preprocessing` given
        split: ids and labels
        root: folder that the split's ids are relative to
        method: name of a map method
        classes: index among the network's outputs by label; None means that they are the same
        class_map: whose map; with `predicted`, labels need not fit the network
        image: `squash` or `crop`, what the network sees of an image
        preprocessing: what the network wants as input
        batch_size: images at once
        workers: threads that read images
        device: `auto`, `cpu`, `cuda`, or any name that torch knows
        layer: what the maps are made of; None for the registered network's own
    """

    model: nn.Module
    split: Split
    root: Path
    method: str
    classes: Mapping[int, int] | None = None
    class_map: ClassMap = "ground_truth"
    image: Literal["squash", "crop"] = "squash"
    preprocessing: Preprocessing | None = None
    batch_size: int = 32
    workers: int = 2
    device: str = "auto"
    layer: str | None = None

    @property
    def allow_missing(self) -> bool:
        """Images that cannot be read count as missed."""
        return True

    def describe(self) -> dict[str, Any]:
        """Name network, weights and settings."""
        digest = hashlib.sha256()
        for name, tensor in self.model.state_dict().items():
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(tensor.detach().cpu().float().numpy()).tobytes())
        return {
            "weights": digest.hexdigest(),
            "network": getattr(self.model, "settings", type(self.model).__name__),
            "root": str(self.root.resolve()),
            "image": self.image,
            "method": self.method,
            "layer": self.map_layer,
            "class_map": self.class_map,
            "preprocessing": repr(self.input),
            "classes": sorted((self.classes or {}).items()),
            "batch_size": self.batch_size,
        }

    @property
    def input(self) -> Preprocessing:
        """What the network is given of an image."""
        wanted = self.preprocessing or self.model.spec.preprocessing  # type: ignore[union-attr]
        return replace(cast("Preprocessing", wanted), mode=self.image)

    @property
    def map_layer(self) -> str:
        """Name of the module that the maps are made of.

        Raises:
            ValueError: the network is not registered and no layer was given
        """
        from wsol.maps import find_method
        from wsol.maps.core import default_layer

        usual = find_method(self.method).usual_layer
        return self.layer or default_layer(self.model, usual, "layer")

    def read(self, start: int) -> Generator[FoundMap]:
        """Give the maps from a row on.

        Raises:
            ValueError: an unknown name, or labels that do not fit the network
        """
        import torch

        from wsol.maps import find_method
        from wsol.maps.passes import run_pass
        from wsol.runtime import evaluation_mode, find_device

        where = find_device(self.device)
        self.model.to(where)
        targets = None
        load = partial(_read_image, root=self.root, split=self.split, preprocessing=self.input)
        extractor = find_method(self.method)(self.model, self.map_layer)
        with evaluation_mode(self.model):
            rows = range(start, len(self.split))
            for batch in read_ahead(rows, load, self.batch_size, self.workers):
                good = [(row, found) for row, found in batch if not isinstance(found, ImageError)]
                maps_of = {
                    row: FoundMap(row, None, str(found), rank=NO_RANK)
                    for row, found in batch
                    if isinstance(found, ImageError)
                }
                if not good:
                    yield from maps_of.values()
                    continue
                images = torch.stack([x for _, (x, _) in good]).to(where)
                seen = run_pass(extractor, images)
                scores = seen.scores
                if targets is None:
                    targets = self._targets(scores.shape[1])
                true = None if targets is None else targets[[row for row, _ in good]]
                chosen = scores.argmax(dim=1)
                predicted = chosen.tolist()
                if self.class_map == "ground_truth":
                    chosen = torch.as_tensor(true, device=where)
                maps = seen.maps(chosen)[:, -1].cpu().numpy()
                likely = seen.probabilities[:, -1].gather(1, chosen[:, None])[:, 0].tolist()
                for place, (label, rank) in enumerate(
                    zip(chosen.tolist(), _ranks(scores, true), strict=True)
                ):
                    row, (_, region) = good[place]
                    maps_of[row] = FoundMap(
                        row=row,
                        heat=partial(_upsample, maps[place]),
                        label=label,
                        rank=rank,
                        score=likely[place],
                        region=region,
                        predicted=predicted[place],
                    )
                yield from (maps_of[row] for row, _ in batch)

    def _targets(self, outputs: int) -> np.ndarray | None:
        """Index of the true class among the network's outputs, (N,), or None where not known."""
        labels = self.split.labels.tolist()
        classes = self.classes
        if classes is not None:
            unknown = sorted(set(labels) - set(classes))
            if unknown:
                raise ValueError(f"Expected the class table to have every label but not {unknown}")
            classes = {label: classes[label] for label in set(labels)}
            if max(classes.values()) < outputs:
                return np.array([classes[label] for label in labels])
        elif max(labels) + 1 == outputs:
            return self.split.labels
        if self.class_map == "predicted":
            return None
        known = max(classes.values()) + 1 if classes else max(labels) + 1
        raise ValueError(
            f"Expected labels for the network's {outputs} classes but got {known} classes; map "
            "them by a class table, or score the predicted class's map"
        )


def _read_image(
    row: int, root: Path, split: Split, preprocessing: Preprocessing
) -> tuple[Tensor, tuple[float, float, float, float]]:
    path = root / split.ids[row]
    try:
        image = read_image(path)
    except ImageError as error:
        raise ImageError(f"{split.ids[row]}: {error}") from error
    width, height = image.size
    x0, y0, x1, y1 = preprocessing.region(width, height)
    return preprocessing(image), (x0 / width, y0 / height, x1 / width, y1 / height)


def _upsample(raw: np.ndarray, rules: Rules) -> np.ndarray:
    return to_heatmap(raw, (rules.size, rules.size), rules.interpolation)


def _ranks(scores: Tensor, targets: np.ndarray | None) -> list[int | None]:
    """Place of the true class among all outputs, from 0; None where it is not known.

    Among equal scores the first output comes first, as argmax has it; scores that are not numbers
    put the true class last.
    """
    import torch

    if targets is None:
        return [None] * len(scores)
    order = scores.argsort(dim=1, descending=True, stable=True)
    wanted = torch.as_tensor(targets, device=scores.device)[:, None]
    places = (order == wanted).int().argmax(dim=1)
    last = scores.shape[1] - 1
    ranks: list[int | None] = torch.where(scores.isnan().any(dim=1), last, places).tolist()
    return ranks


@dataclass(frozen=True, eq=False)
class FolderMaps:
    """Maps that any program wrote: `<image id>.npy`, the id's suffix kept.

    Args:
        split: ids and labels
        folder: of the maps, each (S, S), in [0, 1], or uint8 with 255 for 1
        class_map: whose maps they are, for the record
        allow_missing: count maps that are missing or broken as missed, instead of an error
        others: gives the ids of other splits, whose maps may lie in the same folder; asked where
            a map is of no image of this split
    """

    split: Split
    folder: Path
    class_map: ClassMap = "ground_truth"
    allow_missing: bool = False
    others: Callable[[], Iterable[str]] = tuple
    batch_size: int = 32
    image: str = "squash"  # files do not say what they show: the whole image

    def describe(self) -> dict[str, Any]:
        """Name the folder."""
        return {
            "maps": str(self.folder.resolve()),
            "class_map": self.class_map,
            "image": self.image,
            "allow_missing": self.allow_missing,
        }

    def read(self, start: int) -> Generator[FoundMap]:
        """Give the maps from a row on.

        Raises:
            MapError: maps that are missing, or that belong to no image, unless these are allowed
        """
        if not self.allow_missing and (faults := self.list_faults()):
            raise MapError(faults)
        for row in range(start, len(self.split)):
            path = self._path(self.split.ids[row])
            label = int(self.split.labels[row])
            yield FoundMap(row, partial(_fit, cache(partial(_read_map, path)), path), label=label)

    def _path(self, image_id: str) -> Path:
        return self.folder / f"{image_id}.npy"

    def list_faults(self) -> list[str]:
        """Name the maps that are missing and those that belong to no image."""
        return self.list_missing() + self.list_extra()

    def list_missing(self) -> list[str]:
        """Name the maps that are not there."""
        return [
            f"{path}: expected a map but there is no such file"
            for path in map(self._path, self.split.ids)
            if not path.is_file()
        ]

    def list_extra(self) -> list[str]:
        """Name the maps that belong to no image."""
        extra = set(self.folder.rglob("*.npy")) - {*map(self._path, self.split.ids)}
        if extra:
            extra -= {*map(self._path, self.others())}
        return [f"{path}: a map of no image" for path in sorted(extra)]


def _fit(load: Callable[[], np.ndarray], path: Path, rules: Rules) -> np.ndarray:
    found = load()
    if found.shape != (rules.size, rules.size):
        raise ImageError(
            f"{path}: expected numbers of shape ({rules.size}, {rules.size}) but got "
            f"{found.dtype} {found.shape}"
        )
    return found


def _read_map(path: Path) -> np.ndarray:
    try:
        content = BytesIO(path.read_bytes())
        with _HEADERS:
            found = np.load(content, allow_pickle=False)
    except FileNotFoundError:
        raise ImageError(f"{path}: expected a map but there is no such file") from None
    except Exception as error:  # a broken file breaks in many ways
        raise ImageError(f"{path}: expected an array but {error}") from error
    if not np.issubdtype(getattr(found, "dtype", str), np.number) or np.iscomplexobj(found):
        what = f"{getattr(found, 'dtype', type(found).__name__)} {getattr(found, 'shape', '')}"
        raise ImageError(f"{path}: expected numbers but got {what}")
    if found.dtype == np.uint8:
        found = found / 255  # exact: k / 255 * 255 is k
    if found.size and not (found.min() >= 0 and found.max() <= 1):
        raise ImageError(
            f"{path}: expected values in [0, 1] but got {found.min()} to {found.max()}"
        )
    return found if np.issubdtype(found.dtype, np.floating) else found.astype(np.float64)
