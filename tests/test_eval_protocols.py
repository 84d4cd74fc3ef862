import numpy as np
import pytest

from eval.protocols import PROTOCOLS, Protocol, find_protocol


def test_the_three():
    assert list(PROTOCOLS) == ["wsoleval", "tdam", "clean"]
    for name, protocol in PROTOCOLS.items():
        assert find_protocol(name) is protocol
        assert find_protocol(protocol) is protocol
        assert len(protocol.thresholds) == 1000
    assert PROTOCOLS["wsoleval"].baselines == {
        "centre_box": (33, 33, 191, 191), "full_image": (0, 0, 223, 223)
    }  # fmt: skip
    assert PROTOCOLS["clean"].baselines["full_image"] == (0, 0, 224, 224)
    assert PROTOCOLS["tdam"].threshold * 155 == pytest.approx(36.5)


def test_the_grid_is_the_standard_one():
    """Not k / 1000: some levels differ in the last bit."""
    grid = PROTOCOLS["wsoleval"].thresholds
    assert np.array_equal(grid, np.arange(0, 1, 0.001))
    assert (grid != np.arange(1000) / 1000).any()


def test_a_protocol_of_ones_own(tmp_path):
    path = tmp_path / "coarse.toml"
    path.write_text('base = "clean"\ninterval = 0.01\ndeltas = [50, 75]\nthreshold = 0.3\n')
    found = find_protocol(str(path))
    assert (found.name, found.convention, len(found.thresholds)) == ("coarse", "edges", 100)
    assert (found.deltas, found.threshold, found.source) == ((50, 75), 0.3, str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("intervall = 0.1", "keys among base, name, .* has intervall"),
        ("interval = 0", "interval to be from 0.0001"),
        ("interval = 'x'", "hold in"),
        ("deltas = [30]", "50 among them"),
        ("convention = 'x'", "convention to be one of"),
        ("name = 'clean'", "name of its own"),
        ("base = 'x'", "base to be one of wsoleval, tdam, clean"),
        ("= 3", "TOML file"),
        ("threshold = 2", "threshold to be from 0 to 1"),
        ("levels = 256", "levels to be from 1 to 255"),
        ("centre_box = [1, 2]", "four whole numbers"),
        ("strict = 'no'", "strict to be bool"),
        ("levels = 155.5", "levels to be int"),
        ("deltas = 50", "deltas to be tuple"),
        ("deltas = [30.0, 50]", "whole percentages"),
    ],
)
def test_faults_of_a_file(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        find_protocol(str(path))


def test_unknown_protocols_list_the_known(tmp_path):
    with pytest.raises(ValueError, match=r"one of wsoleval, tdam, clean or a \.toml file"):
        find_protocol("wsol")
    with pytest.raises(ValueError, match=r"gone\.toml: No such file"):
        find_protocol(str(tmp_path / "gone.toml"))


def test_reaching_and_exceeding_a_limit():
    overlaps = np.array([0.49, 0.5, 0.51])
    assert PROTOCOLS["wsoleval"].hits(overlaps, 50).tolist() == [False, True, True]
    assert Protocol("x", "x", strict=True).hits(overlaps, 50).tolist() == [False, False, True]
