"""Whatever a file of weights holds, it is one error in no time, and nothing in it is believed."""

import json
import resource
import time

import pytest
from hostile_weights import (
    base,
    container,
    good_file,
    metadata,
    safetensors_structures,
    torch_structures,
    with_metadata,
)

from tdam import load_checkpoint
from tdam.checkpoints import read_class_names, read_settings
from tdam.weights import WeightsError


def refuse(path, content):
    """Expect one short error, soon, and little memory."""
    path.write_bytes(content)
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises((WeightsError, ValueError)) as caught:
        load_checkpoint(path)
    assert time.monotonic() - began < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kilobytes
    text = str(caught.value)
    assert len(text) < 2000
    assert text.isprintable()
    return text


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return good_file(tmp_path_factory.mktemp("good"))


@pytest.mark.fault("input: metadata of weights")
def test_every_field_is_checked(tmp_path, good, record_property):
    _, info = load_checkpoint(good)
    assert info.source == "wsol-tdam"
    cases = list(metadata())
    for name, text in cases:
        message = refuse(tmp_path / "w.safetensors", with_metadata(text))
        assert "w.safetensors" in message or "Expected" in message or "do not fit" in message, name
        assert "missing blocks" not in message, name  # what is missing comes after all else
    record_property("tried", len(cases))
    assert len(cases) > 200


@pytest.mark.slow
@pytest.mark.fault("input: files of weights that lie")
def test_structures_that_lie(tmp_path, good, record_property):
    cases = list(safetensors_structures(good.read_bytes()))
    for _, content in cases:
        refuse(tmp_path / "w.safetensors", content)
    more = list(torch_structures())
    for _, content in more:
        refuse(tmp_path / "w.pth", content)
    record_property("tried", len(cases) + len(more))


@pytest.mark.fault("input: metadata of weights")
def test_every_reader_of_metadata_checks_it(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(with_metadata(json.dumps({**base(), "weights": "/etc/passwd"})))
    for read in (read_settings, read_class_names):
        with pytest.raises(WeightsError, match=r"keys among .* but got weights"):
            read(path)


@pytest.mark.fault("input: metadata of weights")
@pytest.mark.parametrize("layer", ["blocks.6.0.bn9", "blocks.99", "..", "forward", "classifier.x"])
def test_maps_are_of_a_module_of_the_network(tmp_path, good, layer):
    content = good.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    told = json.loads(header["__metadata__"]["wsol-tdam"])
    told["learned"]["map_layer"] = layer
    header["__metadata__"]["wsol-tdam"] = json.dumps(told)
    message = refuse(tmp_path / "w.safetensors", container(header, content[8 + length :]))
    assert "a module of" in message


@pytest.mark.fault("input: metadata of weights")
def test_what_is_said_twice_is_refused(tmp_path, good, record_property):
    content = good.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    tensor = next(name for name in header if name != "__metadata__")
    text = json.dumps(header)
    told = header["__metadata__"]["wsol-tdam"]
    cases = (
        text.replace('"wsol-tdam":', '"wsol-tdam": "{}", "wsol-tdam":'),
        text.replace('"__metadata__":', '"__metadata__": {}, "__metadata__":'),
        f'{{"{tensor}": {json.dumps(header[tensor])}, {text[1:]}',
        json.dumps(
            header
            | {"__metadata__": {"wsol-tdam": told.replace('"name":', '"name": "vgg16", "name":')}}
        ),
    )
    for each in cases:
        assert each != text
        packed = each.encode()
        packed += b" " * (-len(packed) % 8)
        whole = len(packed).to_bytes(8, "little") + packed + content[8 + length :]
        assert "twice" in refuse(tmp_path / "w.safetensors", whole)
    record_property("tried", len(cases))
