import json

import numpy as np
import pytest
from PIL import Image
from small_shifts import NAMES, network

import wsol
import wsol.attention_shift.trace
from eval.splits import Split
from tdam import save_checkpoint
from tdam.events import Events
from wsol import shift
from wsol.attention_shift.trace import Shift
from wsol.errors import ArgumentError, OutputError
from wsol.images import ImageError, SourceError

pytestmark = pytest.mark.usefixtures("one_thread")


class Heard(Events):
    def __init__(self):
        self.calls, self.lines = [], []

    def begin(self, task, total=None, done=0):
        self.calls.append((task, total))

    def advance(self, count=1, **figures):
        self.calls.append(count)

    def end(self):
        self.calls.append("end")

    def say(self, text):
        self.lines.append(text)


@pytest.fixture(scope="module")
def model():
    return network(2)


@pytest.fixture
def photographs(tmp_path, spot):
    home = tmp_path / "in"
    home.mkdir()
    spot.save(home / "a.png")
    (home / "b.png").write_bytes(b"no image")
    Image.new("RGB", (30, 20), (9, 200, 9)).save(home / "c.png")
    return home


def test_the_function_has_the_name_and_the_package_another():
    assert callable(wsol.shift)
    assert wsol.shift is wsol.attention_shift.run.shift


@pytest.mark.slow
def test_what_it_tells_and_returns(photographs, tmp_path, model):
    heard, images = Heard(), []
    width, height = Image.open(photographs / "a.png").size
    truth = Split("any", ("a.png", "c.png"), np.zeros(2, int),
                  np.array([[width, height], [7, 7]]),
                  (np.array([[0, 0, 5, 5]]), np.array([[0, 0, 3, 3]])))  # fmt: skip
    run = shift(model, photographs, tmp_path / "out", class_name="1", blocks="all", boxes=truth,
                on_image=lambda *image: images.append(image), events=heard)  # fmt: skip
    assert (run.done, run.one_step, run.without_true_box) == (2, False, 1)
    assert run.failed == ((photographs / "b.png", "not an image"),)
    assert run.page == tmp_path / "out" / "shift.html"
    assert [path.name for path, _ in images] == ["a.png", "b.png", "c.png"]
    assert [type(outcome) for _, outcome in images] == [Shift, ImageError, Shift]
    assert images[0][1].name == NAMES[1]
    assert list(images[0][1].searchlights) == model.searchlight_blocks()
    assert images[0][1].steps[1].iou_true is not None
    assert heard.calls == [("shift", 3), 1, 1, 1, "end"]
    threshold, line = heard.lines
    assert threshold.startswith("threshold 0.2, whatever the images")
    assert line.startswith(f"{photographs / 'c.png'}: Expected an image of 7 x 7 pixels")
    records = (run.page.parent / "shift.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in records] == [images[i][1].to_dict() for i in (0, 2)]


def test_a_checkpoint_and_what_an_earlier_run_wrote(photographs, tmp_path):
    save_checkpoint(network(1, attention="se"), tmp_path / "plain.safetensors")
    heard = Heard()
    out = photographs / "shifts"
    for force in (False, True):
        run = shift(tmp_path / "plain.safetensors", photographs, out, force=force, events=heard)
        assert (run.done, run.one_step) == (2, True)
    default = "threshold 0.2, whatever the images: none is stored with the weights"
    passed_over = f"passed over, since wsol wrote it: 1 folder, such as {out}"
    assert heard.lines == [default, passed_over, default]
    with pytest.raises(OutputError, match="exists"):
        shift(tmp_path / "plain.safetensors", photographs, out)


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"colours": "rainbow"}, "colours"),
        ({"boxes": "gone.json"}, "boxes"),
        ({"boxes": Split("x", ("a.png",), np.zeros(1, int))}, "boxes"),
        ({"device": "no such"}, "device"),
        ({"class_name": "no such"}, "class_name"),
        ({"class_from_folder": True}, "class_from_folder"),
        ({"class_name": "1", "class_from_folder": True}, "class_name"),
        ({"method": "no such"}, "method"),
        ({"blocks": "layer4.1"}, "blocks"),
        ({"blocks": []}, "blocks"),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_written(
    photographs, tmp_path, model, options, argument
):
    with pytest.raises(ArgumentError) as told:
        shift(model, photographs, tmp_path / "out", **options)
    assert told.value.argument == argument
    assert not (tmp_path / "out").exists()


def test_a_network_is_built_once_everything_else_is_checked(tmp_path):
    with pytest.raises(SourceError, match="no such file"):
        shift(lambda: pytest.fail("too early"), tmp_path / "gone", tmp_path / "out")
