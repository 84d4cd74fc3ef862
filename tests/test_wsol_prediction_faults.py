"""`predict` that is killed, interrupted, begun anew or told to go on: nothing is lost or mixed."""

import json
import os
import shutil
import sys

import pytest
import torch
from killed_predictions import fill, hash_folder
from PIL import Image
from torch import nn

from eval.image_files import MAX_PIXELS, set_max_pixels
from tdam.preprocessing import Preprocessing
from wsol.out_files import LIST
from wsol.out_folders import OutputError
from wsol.prediction import ArgumentError, predict
from wsol.writers import WRITERS, Writer

pytestmark = pytest.mark.slow

SMALL = Preprocessing(size=32, mean=(0.5,) * 3, std=(0.5,) * 3)
KILLED = pytest.mark.fault("runs: a prediction that is killed")
FORCED = pytest.mark.fault("runs: files of an earlier prediction")


class Plain(nn.Module):
    """A network of four classes that nobody registered."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.body = nn.Conv2d(3, 8, 5, stride=4)
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        return self.fc(self.body(x).relu().mean(dim=(2, 3)))


NETWORK = {"method": "gradcam", "layer": "body", "names": ["a", "b", "c", "d"],
           "preprocessing": SMALL, "batch_size": 3, "device": "cpu"}  # fmt: skip


COUNT = 11
BAD = (4, 9)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("killed") / "in", COUNT, BAD)


class Snapshots:
    """Copies a folder as it is: what a process would leave that is killed at this moment."""

    def __init__(self, folder, every=5):
        self.folder, self.every = folder, every
        self.taken, self._moments, self._busy = [], 0, True
        sys.addaudithook(self._notice)  # which stays, and does nothing later on

    def __enter__(self):
        self._busy = False
        return self

    def __exit__(self, *error):
        self._busy = True

    def _notice(self, event, arguments):
        if event in ("os.rename", "os.remove") and not self._busy:
            self._moments += 1
            if self._moments % self.every == 0:
                self.take()

    def take(self, *_):
        self._busy = True
        if self.folder.is_dir():
            copy = self.folder.with_name(f"snapshot-{len(self.taken)}")
            shutil.copytree(self.folder, copy, symlinks=True)
            self.taken.append(copy)
        self._busy = False


@KILLED
@pytest.mark.parametrize(
    "options",
    [
        {"topk": 2},
        {"sort": "uncertain"},
        pytest.param({"save_images": True}, marks=pytest.mark.slow),
    ],
)
def test_a_prediction_goes_on_from_any_moment(images, tmp_path, options, record_property):
    out = tmp_path / "out"
    options = {"formats": list(WRITERS), "confidence": True, **NETWORK, **options}
    with Snapshots(out) as snapshots:
        predict(Plain(), images, out, on_result=snapshots.take, **options)
    whole, told = hash_folder(out), []
    assert len(snapshots.taken) > 10
    for snapshot in snapshots.taken:
        shutil.rmtree(out)
        snapshot.rename(out)
        (out / ".lock").unlink(missing_ok=True)
        told.append([])
        summary = predict(
            Plain(), images, out, resume=True, on_result=lambda *pair: told[-1].append(pair),
            **options,
        )  # fmt: skip
        assert hash_folder(out) == whole, snapshot
        assert (summary.images, summary.failed) == (COUNT, len(BAD))
    assert len(told[0]) == COUNT
    assert not [name for name in whole if ".unfinished" in name or name.endswith("lock")]
    record_property("tried", len(snapshots.taken))


@KILLED
def test_the_end_of_a_journal_may_be_torn(images, tmp_path, record_property):
    """A power cut leaves half a line, zeros, or lines of something else."""
    out = tmp_path / "out"
    options = {"formats": ["csv", "npy"], **NETWORK}

    def stop(path, result):
        if path.stem == "00003":
            raise KeyboardInterrupt

    predict(Plain(), images, out, **options)
    whole = hash_folder(out)
    ends = [b'{"file": "x', b"\0" * 99, b"{}\n", b"[" * 9999 + b"\n", b'{"file": 1}\n' * 20]
    for end in ends:
        shutil.rmtree(out)
        with pytest.raises(KeyboardInterrupt):
            predict(Plain(), images, out, on_result=stop, **options)
        with (out / ".wsol-predict/results.jsonl").open("ab") as file:
            file.write(end)
        predict(Plain(), images, out, resume=True, **options)
        assert hash_folder(out) == whole
    record_property("tried", len(ends))


@KILLED
def test_what_a_journal_holds_is_what_was_found(images, tmp_path):
    """Writers of other people get maps, steps and names as the network gave them."""
    seen = []

    class Keeps(Writer):
        def add(self, localization):
            seen.append(localization)

        def add_error(self, path, reason):
            seen.append((path, reason))

    direct = {}
    predict(Plain(), images, tmp_path, formats=Keeps, topk=2, multi=True,
            on_result=direct.__setitem__, **NETWORK)  # fmt: skip
    assert len(seen) == COUNT
    for each in seen:
        if isinstance(each, tuple):
            assert each[1] == "not an image"
            continue
        other = direct[each.path]
        assert each.to_dict() == other.to_dict()
        assert len(each.classes) == 2
        for part, twin in zip(each.classes, other.classes, strict=True):
            for step, same in zip(part.steps, twin.steps, strict=True):
                assert (step.map == same.map).all()
                assert (step.raw == same.raw).all()
                assert (step.score, step.region, step.top) == (same.score, same.region, same.top)


def unfinish(images, out, **options):
    def stop(path, result):
        if path.stem == "00003":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(Plain(), images, out, on_result=stop, **{**NETWORK, **options})


CHANGES = {
    "threshold": ({"threshold": 0.7}, r"threshold \(0\.2 before, 0\.7 now\)"),
    "topk": ({"topk": 2}, r"topk \(1 before, 2 now\)"),
    "formats": ({"formats": ["csv"]}, r"formats \(\[\"csv\", \"yolo\"\] before"),
    "batch_size": ({"batch_size": 4}, "batch size"),
    "method": ({"method": "layercam"}, "method"),
    "names": ({"names": ["a", "b", "c", "e"]}, "names"),
    "class": ({"class_name": "b"}, r"class \(null before, 1 now\)"),
    "sort": ({"sort": "uncertain"}, "sort"),
    "preprocessing": ({"preprocessing": Preprocessing(size=64)}, "preprocessing"),
    "multi": ({"multi": True}, "multi"),
    "pictures": ({"save_images": True}, "pictures"),
    "confidence": ({"confidence": True}, "confidence"),
}


@KILLED
def test_other_settings_do_not_go_on(images, tmp_path, record_property):
    options = {"formats": ["csv", "yolo"]}
    unfinish(images, tmp_path / "out", **options)
    before = hash_folder(tmp_path / "out")
    for change, told in CHANGES.values():
        with pytest.raises(OutputError, match=told):
            predict(Plain(), images, tmp_path / "out", resume=True,
                    **{**NETWORK, **options, **change})  # fmt: skip
    other = Plain()
    other.fc.bias.data[0] += 1e-3
    with pytest.raises(OutputError, match="other now are: weights;"):
        predict(other, images, tmp_path / "out", resume=True, **NETWORK, **options)
    set_max_pixels(MAX_PIXELS - 1)
    try:
        with pytest.raises(OutputError, match="other now are: max pixels"):
            predict(Plain(), images, tmp_path / "out", resume=True, **NETWORK, **options)
    finally:
        set_max_pixels(MAX_PIXELS)
    assert hash_folder(tmp_path / "out") == before
    record_property("tried", len(CHANGES) + 2)


@KILLED
@pytest.mark.parametrize("change", ["content", "time", "gone", "new", "renamed", "not done yet"])
def test_other_images_do_not_go_on(images, tmp_path, change):
    home = shutil.copytree(images, tmp_path / "in")
    unfinish(home, tmp_path / "out", formats="csv")
    first = home / "a" / "00001.png"
    if change == "content":
        Image.new("RGB", (48, 36)).save(first)
    elif change == "time":
        os.utime(first, ns=(1, 1))
    elif change == "gone":
        first.unlink()
    elif change == "new":
        shutil.copy(first, home / "a" / "00001-2.png")
    elif change == "renamed":
        first.rename(home / "a" / "00001-2.png")
    else:
        (home / "b" / "00004.png").write_bytes(b"changed")
    with pytest.raises(OutputError, match=r"the images, such as .*0000[14]"):
        predict(Plain(), home, tmp_path / "out", resume=True, formats="csv", **NETWORK)
    predict(Plain(), home, tmp_path / "out", force=True, formats="csv", **NETWORK)


@KILLED
def test_where_there_is_nothing_to_go_on_with(images, tmp_path):
    from listeners import Counter

    told, out = Counter(), tmp_path / "out"
    options = {"formats": "csv", "events": told, **NETWORK}
    predict(Plain(), images, out, resume=True, **options)  # begins
    assert told.said[-1] == f"nothing was begun in {out}: this begins"
    whole = hash_folder(out)
    with pytest.raises(OutputError, match="exists; choose another folder or add --force"):
        predict(Plain(), images, out, **options)
    summary = predict(Plain(), images, out, resume=True, **options)  # has ended
    assert (summary.images, summary.failed) == (COUNT, len(BAD))
    assert "has ended: nothing is left to do" in told.said[-1]
    assert hash_folder(out) == whole
    with pytest.raises(OutputError, match=r"threshold"):
        predict(Plain(), images, out, resume=True, threshold=0.3, **options)
    (out / "predictions.csv").unlink()
    with pytest.raises(OutputError, match=r"1 file that it wrote are gone, such as predictions"):
        predict(Plain(), images, out, resume=True, **options)
    with pytest.raises(ArgumentError, match="cannot be combined"):
        predict(Plain(), images, out, resume=True, force=True, **options)
    with pytest.raises(ArgumentError, match="needs formats, save_images or page"):
        predict(Plain(), images, resume=True, **NETWORK)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(OutputError, match="exists; choose another folder"):
        predict(Plain(), images, tmp_path / "mine", resume=True, **options)


@KILLED
def test_an_unfinished_prediction_is_not_lost_to_a_rerun(images, tmp_path):
    unfinish(images, tmp_path / "out", formats="csv")
    before = hash_folder(tmp_path / "out")
    with pytest.raises(OutputError, match=r"\(\d of 11 images\); go on with --resume"):
        predict(Plain(), images, tmp_path / "out", formats="csv", **NETWORK)
    assert hash_folder(tmp_path / "out") == before


@FORCED
def test_force_begins_anew(images, tmp_path, record_property):
    """Whatever formats were there before: the folder is as if it had been empty."""
    kinds = [[name] for name in WRITERS] + [["csv", "voc"], ["npy", "yolo"]]
    fewer = images / "a"
    for kind in kinds:
        out = tmp_path / "out"
        formats = list(WRITERS)
        predict(Plain(), images, out, formats=formats, save_images=kind == ["csv"], **NETWORK)
        (out / "notes.txt").write_text("mine")
        (out / "voc" / "Annotations" / "mine.xml").write_text("mine")
        predict(Plain(), fewer, out, formats=kind, force=True, **NETWORK)
        after = hash_folder(out)
        out.rename(tmp_path / "forced")
        predict(Plain(), fewer, out, formats=kind, **NETWORK)
        wanted = hash_folder(out)
        mine = {"notes.txt", "voc", "voc/Annotations", "voc/Annotations/mine.xml"}
        for each in (after, wanted):
            del each[LIST]  # which also names the folder that a file of somebody keeps
        assert {name: after[name] for name in after if name not in mine - set(wanted)} == wanted
        assert mine <= set(after)
        shutil.rmtree(tmp_path / "forced")
        shutil.rmtree(out)
    record_property("tried", len(kinds))


@FORCED
@pytest.mark.parametrize("begun", [False, True])
def test_force_removes_what_the_list_names_and_nothing_else(images, tmp_path, begun):
    """A list from a stranger leads out of its folder, to links, or is no list."""
    outside = tmp_path / "outside"
    outside.mkdir()
    names = ["kept.txt", "sub/kept.txt"]
    (outside / "sub").mkdir()
    for name in names:
        (outside / name).write_text("kept")
    out = tmp_path / "out"
    if begun:
        unfinish(images, out, formats="csv")
    out.mkdir(exist_ok=True)
    (out / "link").symlink_to(outside)
    (out / "file.txt").symlink_to(outside / "kept.txt")
    (out / "folder").mkdir()
    (out / "folder" / "mine.txt").write_text("mine")
    lines = [
        "../outside/kept.txt", str(outside / "kept.txt"), "link/kept.txt", "link/sub/kept.txt",
        "link/", "a/../../outside/kept.txt", "file.txt", "folder", "", ".", "..", "x\0y",
        "\ud800", 5, None, ["a"],
    ]  # fmt: skip
    with (out / LIST).open("a") as file:
        file.writelines(json.dumps(each) + "\n" for each in lines)
        file.write("no list\n" + "[" * 5000 + "\n" + '"' + "x" * 99999)
    predict(Plain(), images, out, formats="csv", force=True, **NETWORK)
    assert [(outside / name).read_text() for name in names] == ["kept", "kept"]
    assert (out / "folder" / "mine.txt").read_text() == "mine"
    assert not (out / "file.txt").is_symlink()  # the list's own, a link and not what it leads to
    assert (out / "predictions.csv").is_file()
    kept = [json.loads(line) for line in (out / LIST).read_text().splitlines()]
    assert kept == ["predictions.csv"]


@FORCED
def test_a_list_that_is_a_link_is_not_written_through(images, tmp_path):
    (tmp_path / "victim").write_text("kept")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / LIST).symlink_to(tmp_path / "victim")
    predict(Plain(), images, tmp_path / "out", formats="csv", **NETWORK)
    assert not (tmp_path / "out" / LIST).is_symlink()
    assert (tmp_path / "victim").read_text() == "kept"


@FORCED
def test_own_images_among_the_labels_stay(images, tmp_path):
    """A person who puts images where links go, and predicts them again, keeps them."""
    out = tmp_path / "out"
    predict(Plain(), images / "a", out, formats="yolo", **NETWORK)
    own = out / "yolo/images/train/own.png"
    shutil.copy(images / "a/00001.png", own)
    predict(Plain(), images / "b", out, formats="csv", force=True, **NETWORK)
    assert own.is_file()
    assert [path.name for path in own.parent.iterdir()] == ["own.png"]


@pytest.mark.fault("runs: a folder that is gone while it is written")
def test_a_folder_that_is_gone_ends_a_prediction_at_once(images, tmp_path):
    seen = []

    def move(*result):
        seen.append(result)
        if len(seen) == 5:
            (tmp_path / "out").rename(tmp_path / "elsewhere")

    options = {"formats": ["csv"], **NETWORK}
    with pytest.raises(FileNotFoundError, match="moved or removed"):
        predict(Plain(), images, tmp_path / "out", on_result=move, **options)
    assert len(seen) < COUNT
    predict(Plain(), images, tmp_path / "elsewhere", resume=True, **options)
    predict(Plain(), images, tmp_path / "whole", **options)
    assert hash_folder(tmp_path / "elsewhere") == hash_folder(tmp_path / "whole")
