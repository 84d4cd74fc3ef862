"""`evaluate` that is cut off, or whose folder goes away: it goes on to the same figures."""

import pytest
from listeners import Counter, KillError, Stopper
from small_maps import many, write_maps

from eval.splits import take_rows
from wsol import evaluate_maps
from wsol.evaluation.map_source import MapError
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
@pytest.mark.slow
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


def choosing(folder, **options):
    """Score 35 images by a threshold that 40 others choose, maps of all in one folder."""
    whole = many(75)
    if not (folder / "maps").is_dir():
        write_maps(whole, folder / "maps")
    val, test = take_rows(whole, list(range(40)), "val"), take_rows(whole, list(range(40, 75)), "b")
    shared = {"threshold": "val", "choose": val, "others": whole.ids, "out": folder / "out"}
    return evaluate_maps(options.pop("data", test), folder / "maps", **{**shared, **options})


OTHERS = {
    "thresholds": {"threshold": 0.2},
    "class_map": {"class_map": "predicted"},
    "images": {"data": take_rows(many(75), list(range(41, 75)), "b")},
    "chosen_on": {"choose": take_rows(many(75), list(range(39)), "val")},
}


@pytest.mark.slow
@pytest.mark.parametrize("after", [33, 41, 73])  # images: 40 choose, then 35 are scored
@pytest.mark.fault("runs: other settings than those of an unfinished run")
def test_settings_of_every_pass_count_whichever_had_begun(tmp_path, after):
    out = tmp_path / "out"
    with pytest.raises(KillError):
        choosing(tmp_path, events=Stopper(after + 1, KillError))
    there = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for named, options in OTHERS.items():
        told = Counter()
        with pytest.raises(ResumeError, match=rf"settings differ \(.*{named}") as refused:
            choosing(tmp_path, events=told, **options)
        assert str(out) in str(refused.value)
        assert not told.said
        assert {path: path.read_bytes() for path in there} == there
    told = Counter()
    choosing(tmp_path, events=told)
    assert f"going on with the unfinished run in {out}" in told.said
    assert not list(out.rglob("unfinished*"))
    anew = choosing(tmp_path, threshold=0.2, force=True)
    assert anew == choosing(tmp_path, threshold=0.2, out=tmp_path / "anew")
    assert not (out / "chosen-on-val" / "scores.json").exists()


def test_settings_of_a_run_that_kept_nothing_do_not_count(tmp_path):
    """As of one that was refused before its first image."""
    missing = tmp_path / "maps" / f"{many(75).ids[50]}.npy"
    write_maps(many(75), tmp_path / "maps")
    kept = missing.read_bytes()
    missing.unlink()
    with pytest.raises(MapError):
        choosing(tmp_path, threshold=0.2)
    missing.write_bytes(kept)
    choosing(tmp_path, threshold=0.3)
    assert not list((tmp_path / "out").rglob("unfinished*"))
