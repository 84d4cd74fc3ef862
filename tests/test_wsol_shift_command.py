import json
import re
import shutil

import pytest
from PIL import Image
from small_shifts import SQUARE, blob, localized, network

from tdam import save_checkpoint
from wsol.attention_shift.files import ShiftWriter
from wsol.attention_shift.trace import trace_shift
from wsol.images import ImageError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "three.safetensors"
    save_checkpoint(network(3), path)
    return path


def test_an_image_that_vanished(tmp_path):
    shift = trace_shift(localized(blob(0.5, 0.5), path=tmp_path / "gone.png"), 0.2, SQUARE)
    with ShiftWriter(tmp_path, "x") as writer, pytest.raises(ImageError, match=r"gone\.png: no"):
        writer.add(shift)
    assert "No image could be read" in writer.page.read_text()
    assert not (tmp_path / "gone.png").exists()


def test_the_page_of_many_images_shows_the_first(tmp_path, spot, monkeypatch):
    monkeypatch.setattr("wsol.attention_shift.files.GALLERY", 2)
    spot.save(tmp_path / "a.png")
    with ShiftWriter(tmp_path, "x") as writer:
        for _ in range(3):
            writer.add(trace_shift(localized(blob(0.5, 0.5), path=tmp_path / "a.png"), 0.2, SQUARE))
    page = writer.page.read_text()
    assert "3 images" in page
    assert "Shown here are the first 2;" in page
    assert page.count("<article") == 2
    assert len((tmp_path / "shift.jsonl").read_text().splitlines()) == 3


@pytest.mark.slow
def test_command_with_hostile_names(run, tmp_path, checkpoint, spot):
    home = tmp_path / "in"
    home.mkdir()
    spot.save(home / '<img src=x onerror=alert(1)> "ж$x$.png')
    Image.new("RGB", (1, 1), (9, 200, 9)).save(home / "one.png")
    (home / "broken.png").write_bytes(b"no image")
    boxes = {
        "images": [{"id": 1, "file_name": "one.png", "width": 1, "height": 1}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 4, "bbox": [0, 0, 1, 1]}],
        "categories": [{"id": 4, "name": "any"}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    out = tmp_path / "out"
    flags = ("--checkpoint", checkpoint, "--out", out, "--class", "0", "--colours", "jet")
    code, said, told = run("shift", home, *flags, "--boxes", tmp_path / "boxes.json")
    assert code == 1
    assert "broken.png: not an image" in told
    assert "no box for 1 of 2 images" in told
    assert len([line for line in said.splitlines() if "\tstep " in line]) == 6
    names = sorted(path.name for path in out.iterdir())
    assert [name for name in names if name.startswith("one")] == ["one.gif", "one.png"]
    assert "shift.html" in names
    page = (out / "shift.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "&lt;script&gt;alert(" in page
    assert "http" not in re.sub(r'"data:[^"]*"|http-equiv|<p>.*?</p>', "", page)
    records = [json.loads(line) for line in (out / "shift.jsonl").read_text().splitlines()]
    assert [record["true_boxes"] for record in records] == [None, [[0, 0, 1, 1]]]
    assert records[1]["steps"][0]["iou_true"] is not None
    code, _, told = run("shift", home / "one.png", *flags)
    assert code == 2
    assert "--force" in told


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--threshold", "2"], "--threshold"),
        (["--class", "0", "--class-from-folder"], "--class-from-folder"),
        (["--class", "no such"], "--class"),
        (["--blocks", "layer4.1"], "--blocks: 'layer4.1' has no searchlight; there are blocks.3.0"),
        (["--blocks", ","], "--blocks"),
        (["--boxes", "gone.json"], "--boxes: gone.json: no such file"),
        (["--colours", "rainbow"], "--colours"),
        (["--method", "x"], "--method"),
        (["--out", "{image}"], "--out"),
    ],
)
def test_wrong_use(run, tmp_path, checkpoint, spot, flags, said):
    spot.save(tmp_path / "spot.png")
    flags = [flag.format(image=tmp_path / "spot.png") for flag in flags]
    more = () if "--out" in flags else ("--out", tmp_path / "out")
    code, _, told = run("shift", tmp_path / "spot.png", "--checkpoint", checkpoint, *more, *flags)
    assert code == 2
    assert said in told.replace("Invalid value for ", "")
    assert not (tmp_path / "out").exists()


def test_one_step_is_said_plainly(run, tmp_path, spot, monkeypatch):
    spot.save(tmp_path / "spot.png")
    save_checkpoint(network(1, attention="se"), tmp_path / "plain.safetensors")
    monkeypatch.chdir(tmp_path)
    code, said, told = run("shift", "spot.png", "--checkpoint", "plain.safetensors")
    assert code == 0
    assert "one step" in told
    assert len(said.splitlines()) == 1
    assert "one step" in (tmp_path / "wsol-shift" / "shift.html").read_text()
    shutil.rmtree("wsol-shift")
    code, _, told = run(
        "shift", "spot.png", "--checkpoint", "plain.safetensors", "--blocks", "blocks.6.0"
    )
    assert code == 2
    assert "this network has none" in told
