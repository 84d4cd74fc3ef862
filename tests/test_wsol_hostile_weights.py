"""A stranger's file of weights ends every command in one line."""

import json

import pytest
import torch
from hostile_weights import (
    base,
    container,
    good_file,
    safetensors_structures,
    torch_structures,
    with_metadata,
)
from PIL import Image


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return good_file(tmp_path_factory.mktemp("good"))


@pytest.fixture
def photo(tmp_path):
    Image.new("RGB", (40, 30), (200, 30, 30)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def change(good, **learned):
    """A file that fits its network, with other things learned."""
    content = good.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    told = json.loads(header["__metadata__"]["wsol-tdam"])
    told["learned"].update(learned)
    header["__metadata__"]["wsol-tdam"] = json.dumps(told)
    return container(header, content[8 + length :])


def check_one_line(code, printed, told):
    assert code in (1, 2)
    assert printed == ""
    assert len(told.splitlines()) == 1, told
    assert told.startswith("Error: ")
    assert "Traceback" not in told


@pytest.mark.slow
@pytest.mark.fault("input: files of weights at the command line")
def test_predict_ends_in_one_line(good, photo, run, tmp_path, record_property):
    path, other = tmp_path / "w.safetensors", tmp_path / "w.pth"
    cases = [
        (path, with_metadata(json.dumps({**base(), "weights": "/etc/passwd"}))),
        (path, with_metadata(json.dumps({**base(), "steps": 10_000}))),
        (path, with_metadata(json.dumps({**base(), "num_classes": 10**9}))),
        (path, with_metadata("[" * 100_000)),
        (path, change(good, method="nocam")),
        (path, change(good, map_layer="classifier")),
        (path, change(good, map_layer="blocks.99")),
        *((path, content) for _, content in list(safetensors_structures(good.read_bytes()))[::4]),
        *((other, content) for _, content in list(torch_structures())[::4]),
    ]
    for file, content in cases:
        file.write_bytes(content)
        check_one_line(*run("predict", photo, "--checkpoint", file))
    record_property("tried", len(cases))


@pytest.mark.fault("input: files of weights at the command line")
@pytest.mark.parametrize("command", ["shift", "calibrate", "evaluate", "benchmark", "train"])
def test_other_commands_end_in_one_line(command, objects, photo, run, tmp_path):
    path, out = tmp_path / "w.safetensors", tmp_path / "out"
    path.write_bytes(with_metadata(json.dumps({**base(), "weights": "/etc/passwd"})))
    boxes = tmp_path / "boxes.json"
    boxes.write_text(
        json.dumps(
            {
                "images": [{"id": 1, "file_name": "photo.png", "width": 40, "height": 30}],
                "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 9, 9]}],
                "categories": [{"id": 1, "name": "cat"}],
            }
        )
    )
    arguments = {
        "shift": (photo, "--checkpoint", path, "--out", out),
        "calibrate": (path, "--boxes", boxes),
        "evaluate": (boxes, "--checkpoint", path),
        "benchmark": (boxes, "--run", f"a={path}", "--out", out),
        "train": (objects, "--weights", path, "--out", out),
    }
    code, _, told = run(command, *arguments[command])
    assert code in (1, 2)
    assert "Traceback" not in told
    assert "got weights" in told or "do not fit" in told


@pytest.mark.fault("numbers: weights that are not finite")
@pytest.mark.parametrize("kind", ["nan", "infinite", "too large", "variance"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_that_are_not_finite_are_named(good, photo, run, tmp_path, kind, suffix):
    from safetensors.torch import load_file, save_file

    state = load_file(good)
    name = "bn2.running_var" if kind == "variance" else "blocks.3.0.conv_dw.weight"
    if kind == "too large":
        state[name] = state[name].double() + 1e300
    else:
        value = {"nan": torch.nan, "infinite": torch.inf, "variance": -1.0}[kind]
        state[name].flatten()[3] = value
    path = tmp_path / f"w{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    code, printed, told = run("predict", photo, "--checkpoint", path)
    check_one_line(code, printed, told)
    assert name in told
    code, printed, told = run("predict", photo, "--weights", path)
    check_one_line(code, printed, told)
    assert name in told
