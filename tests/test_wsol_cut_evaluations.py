"""`evaluate` that is cut off, or whose folder goes away: it goes on to the same figures."""

import pytest
from listeners import Counter, KillError, Stopper
from small_maps import many, write_maps

from wsol import evaluate_maps
from wsol.evaluation.resume_file import ResumeError, is_unfinished


def cut_off(folder, after):
    """Score 70 images, and once more until so many are done; gives data, scores and folder."""
    data = many(70)
    write_maps(data, folder / "maps")
    whole = evaluate_maps(data, folder / "maps", out=folder / "whole")
    stopper = Stopper(after + 1, KillError)
    with pytest.raises(KillError):
        evaluate_maps(data, folder / "maps", out=folder / "cut", events=stopper)
    return data, whole, folder / "cut"


@pytest.mark.parametrize("after", [0, 1, 33, 40])
def test_a_run_that_was_cut_off_goes_on_to_the_same_figures(tmp_path, after):
    data, whole, out = cut_off(tmp_path, after)
    assert is_unfinished(out)
    with (out / "unfinished.bin").open("ab") as file:
        file.write(b"torn")  # as a kill in the middle of a record leaves it
    with pytest.raises(ResumeError, match="thresholds"):
        evaluate_maps(data, tmp_path / "maps", out=out, threshold=0.3)
    again = Counter()
    found = evaluate_maps(data, tmp_path / "maps", out=out, events=again)
    assert len(again.counts) == 70
    assert found == whole
    for name in ("scores.json", "images.jsonl", "images.csv", "settings.json"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not is_unfinished(out)
    assert len([path for path in out.iterdir() if path.name[0] != "."]) == 5


def _zeros(data, size):
    return data + bytes(7 * size)  # a disk that knew the length, not the content


def _garbage(data, size):
    return data[:-size] + bytes(255 - byte for byte in data[-size:])


def _mixed(data, size):
    return data[size : 2 * size] + data[:size] + data[2 * size :]


@pytest.mark.fault("runs: kept results that a disk has lost")
@pytest.mark.parametrize("spoil", [_zeros, _garbage, _mixed])
def test_what_a_disk_has_lost_is_scored_again(tmp_path, spoil):
    data, whole, out = cut_off(tmp_path, 64)
    kept = (out / "unfinished.bin").read_bytes()
    assert len(kept) % 64 == 0
    (out / "unfinished.bin").write_bytes(spoil(kept, len(kept) // 64))
    assert evaluate_maps(data, tmp_path / "maps", out=out) == whole
    for name in ("scores.json", "images.jsonl", "images.csv"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


class Mover(Counter):
    """Moves a folder away after some images."""

    def __init__(self, after, folder):
        super().__init__()
        self.after, self.folder = after, folder

    def advance(self, *given):
        super().advance(*given)
        if len(self.counts) == self.after:
            self.folder.rename(self.folder.with_name("elsewhere"))


@pytest.mark.fault("runs: a folder that is gone while it is written")
def test_a_folder_that_is_gone_ends_a_run_at_once(tmp_path):
    data = many(200)
    write_maps(data, tmp_path / "maps")
    told = Mover(40, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="moved or removed"):
        evaluate_maps(data, tmp_path / "maps", out=tmp_path / "out", events=told)
    assert len(told.counts) < 100
    whole = evaluate_maps(data, tmp_path / "maps")
    assert evaluate_maps(data, tmp_path / "maps", out=tmp_path / "elsewhere") == whole
