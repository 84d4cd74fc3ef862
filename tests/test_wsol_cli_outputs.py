"""`wsol predict` and `shift`: files beside the photographs, over older ones, and after a break."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wsol.figures import draw_localization, save_figure
from wsol.images import read_image
from wsol.localizer import Localizer


@pytest.fixture
def cats(photos, tmp_path):
    for name in ("a", "b"):
        folder = tmp_path / name / "cats"
        folder.mkdir(parents=True)
        (folder / "cat.png").write_bytes((photos / "chelsea.png").read_bytes())
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("command", [("predict", "--save-images"), ("shift",)])
def test_photographs_are_not_overwritten(run, cats, command):
    before = (cats / "a" / "cats" / "cat.png").read_bytes()
    options = ("--out", cats / "a", "--force")
    code, _, err = run(command[0], cats / "a" / "cats", *command[1:], *options)
    assert (code, "holds the images themselves" in err) == (2, True)
    code, _, err = run(command[0], cats, *command[1:], *options)
    assert (code, f"passed over, since in {cats / 'a'}: 1 file\n" in err) == (0, True)
    assert (cats / "a" / "cats" / "cat.png").read_bytes() == before


def test_what_was_written_before_is_no_photograph(run, cats, monkeypatch):
    monkeypatch.chdir(cats)
    for _ in range(2):
        code, out, err = run("predict", ".", "--format", "yolo", "--save-images", "--force")
        assert code == 0, err
        assert len(out.splitlines()) == 2
    labels = cats / "wsol-predictions" / "yolo" / "labels" / "train"
    assert sorted(path.name for path in labels.iterdir()) == ["cat-2.txt", "cat.txt"]


def test_what_was_found_before_a_break_is_kept(run, cats, monkeypatch):
    stream = Localizer.stream

    def stop(self, *arguments):
        yield next(stream(self, *arguments))
        raise KeyboardInterrupt

    monkeypatch.setattr(Localizer, "stream", stop)
    kinds = [part for kind in ("coco", "yolo", "labelstudio") for part in ("--format", kind)]
    code, _, _ = run("predict", cats, *kinds, "--out", cats / "out")
    assert code == 130
    assert len(json.loads((cats / "out" / "coco_results.json").read_text())) == 1
    assert len(json.loads((cats / "out" / "labelstudio.json").read_text())) == 1
    assert (cats / "out" / "yolo" / "data.yaml").is_file()


@pytest.mark.parametrize("name", ["$5_$10 notes", "A$AP vs A$AP", "\udce9\n", "日本の猫"])
def test_pictures_take_any_name(photos, tmp_path, name):
    from tdam import load_checkpoint

    model, _ = load_checkpoint("efficientnet_lite0_tdam")
    with Localizer(model, names=[name] * 1000) as localizer:
        found = localizer(photos / "chelsea.png")
    image = read_image(photos / "chelsea.png")
    save_figure(draw_localization(image, found), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000


@pytest.mark.slow
def test_lists_on_stdin_need_not_be_text(photos, tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.png"
    Path(os.fsdecode(path)).write_bytes((photos / "coffee.png").read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "wsol", "predict", "-"], input=path + b"\n", capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(path + b"\tespresso\t")
