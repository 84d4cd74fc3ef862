"""Which of a network's classes the images of a folder show, by a vote of some of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from tdam.events import working
from tdam.modes import evaluation_mode
from tdam.outputs import to_probabilities
from wsol.classes import near_names
from wsol.images import read_image
from wsol.loading import read_images
from wsol.text import count_things

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tdam.events import Events
    from wsol.folder_classes import KnownClasses
    from wsol.localizer import Localizer

MOST_VOTERS = 20  # images of a folder that vote


@dataclass(frozen=True)
class Vote:
    """How a vote ended.

    Args:
        winner: the class
        first: images on which it is the most probable one
        voters: images that voted
    """

    winner: int
    first: int
    voters: int


def borrow_classes(
    localizer: Localizer,
    known: KnownClasses,
    paths: Sequence[Path],
    outputs: tuple[str, ...],
    events: Events,
) -> list[int]:
    """Choose the network's class for every class of the folders, by a vote where it knows none.

    Args:
        localizer: of the network
        known: the classes of the folders
        paths: of all images
        outputs: names of the network's classes
        events: told each vote in a line

    Returns:
        one of the network's classes for each of the folders'
    """
    borrowed = [0 if output is None else output for output in known.outputs or ()]
    voters: dict[int, list[Path]] = {label: [] for label in known.strangers}
    for path, label in zip(paths, known.labels or (), strict=True):
        if label in voters:
            voters[label].append(path)
    with working(events, "vote", len(voters)):
        for label, images in voters.items():
            vote = hold_vote(localizer, images)
            borrowed[label] = vote.winner
            events.say(describe_vote(vote, known.names[label], outputs))
            events.advance()
    return borrowed


def hold_vote(localizer: Localizer, paths: Sequence[Path]) -> Vote:
    """Let images of one folder vote for the class that they show.

    The winner is the class with the greatest sum of probabilities. At most `MOST_VOTERS` images
    vote, every nth of the folder, but for those that cannot be read; where none of them can, the
    next of each n do.

    Args:
        localizer: of the network, whose classes can be chosen
        paths: of the images, at least one
    """
    nth = -(-len(paths) // MOST_VOTERS)
    for start in range(nth):
        likely = _classify(localizer, paths[start::nth])
        if len(likely):
            winner = int(likely.sum(dim=0).argmax())
            return Vote(winner, int((likely.argmax(dim=1) == winner).sum()), len(likely))
    return Vote(0, 0, 0)


def describe_vote(vote: Vote, name: str, outputs: tuple[str, ...]) -> str:
    """Say in a line whose maps a folder's images get, and which name may have been meant.

    >>> describe_vote(Vote(1, 31, 50), "001.Albatross", ("dog", "emu"))
    '001.Albatross: maps of "emu" (31 of 50 images)'
    """
    if not vote.voters:
        return f"{name}: none of its images can be read"
    near = near_names(name, outputs)
    hint = f"; near it: {', '.join(near)}" if near else ""
    count = f"{vote.first} of {count_things(vote.voters, 'image')}"
    return f'{name}: maps of "{outputs[vote.winner]}" ({count}){hint}'


def _classify(localizer: Localizer, paths: Sequence[Path]) -> torch.Tensor:
    """Compute the probabilities of the classes, (N, K), float64, of the N images that have any."""

    def read(path: Path) -> tuple[torch.Tensor, None]:
        return localizer.preprocessing(read_image(path)), None

    found = []
    reading = (localizer.batch_size, localizer.workers, localizer.device)
    with torch.no_grad(), evaluation_mode(localizer.model):
        for batch in read_images(paths, read, *reading):
            if batch.images is not None:
                scores = localizer.extractor.run(batch.images)
                found.append(to_probabilities(scores).double().cpu())
    likely = torch.cat(found) if found else torch.zeros(0, 1)
    return likely[likely.isfinite().all(dim=1)]
