import atexit
import io
import os
import signal
from contextlib import redirect_stderr, redirect_stdout
from itertools import chain
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import numpy as np
import pytest
from PIL import Image

# Several test processes share the cores: waiting threads must not spin.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# An app that ends deletes its files, which are named by their content: each process has its own.
_gradio = mkdtemp(prefix="wsol-tests-gradio-")
os.environ["GRADIO_TEMP_DIR"] = _gradio
atexit.register(rmtree, _gradio, ignore_errors=True)


# A run that was begun in the background ignores Ctrl-C, and so would what tests start to stop it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--runslow", action="store_true", help="run the tests marked slow too")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--runslow"):
        return
    faults = config.getoption("markexpr") == "fault"  # asked for as such: all of them, kills too
    for item in items:
        if "slow" in item.keywords and not (faults and "fault" in item.keywords):
            item.add_marker(pytest.mark.skip(reason="slow: run with --runslow"))


def pytest_runtest_setup(item):
    for client in item.iter_markers("clients"):
        pytest.importorskip(client.args[0], exc_type=ImportError)
    mark = item.get_closest_marker("fault")
    if mark is not None:
        item.user_properties.append(("fault", mark.args[0]))


def pytest_terminal_summary(terminalreporter, config):
    """Tell of every kind of fault how often it was tried, and what came of it.

    A test stands for one fault, or for as many as it gives to `record_property("tried", ...)`.
    """
    if config.getoption("markexpr") != "fault":
        return
    kinds = {}
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            told = dict(getattr(report, "user_properties", ()))
            if "fault" in told:
                kinds.setdefault(told["fault"], []).append((outcome, int(told.get("tried", 1))))
    terminalreporter.section("faults")
    terminalreporter.line(f"{'kind':58} {'tried':>7} {'survived':>9} {'lost':>5}")
    for kind, tests in [*sorted(kinds.items()), ("all", list(chain(*kinds.values())))]:
        tried = sum(count for _, count in tests)
        lost = sum(count for outcome, count in tests if outcome != "passed")
        terminalreporter.line(f"{kind:58} {tried:7} {tried - lost:9} {lost:5}")


@pytest.fixture(scope="module")
def one_thread():
    """Threads that wait for each other take longer than the work on tiny inputs."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def vectors():
    """Folder of figures that reference implementations produced."""
    return Path(__file__).parent / "vectors"


@pytest.fixture(scope="session")
def data():
    """Folder of real data sets, which the environment names; absent elsewhere."""
    folder = os.environ.get("WSOL_DATA")
    if not folder:
        pytest.skip("WSOL_DATA names no folder of data sets")
    return Path(folder)


@pytest.fixture(scope="session")
def lite0():
    from tdam import create_model

    return create_model("efficientnet_lite0", weights="pretrained")


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """The demonstration's photographs, as files."""
    from wsol.demo import copy_photos

    folder = tmp_path_factory.mktemp("photos")
    copy_photos(folder)
    return folder


@pytest.fixture(scope="session")
def objects(tmp_path_factory):
    """A folder a class, 12 images each."""
    from small_objects import fill

    return fill(tmp_path_factory.mktemp("objects") / "data", 12)


@pytest.fixture(scope="session")
def trained(objects, tmp_path_factory):
    """A run from the command line, with what it printed."""
    from small_objects import FLAGS

    from wsol.cli import main

    out = tmp_path_factory.mktemp("trained") / "run"
    printed, told = io.StringIO(), io.StringIO()
    with redirect_stdout(printed), redirect_stderr(told), pytest.raises(SystemExit) as stop:
        main([str(part) for part in ("train", objects, "--out", out, *FLAGS)])
    assert not stop.value.code, told.getvalue()
    return out, printed.getvalue(), told.getvalue()


@pytest.fixture
def spot():
    """A photograph-like array, 48 wide and 32 high, with a bright rectangle."""
    pixels = np.full((32, 48, 3), 40, dtype=np.uint8)
    pixels[8:20, 10:30] = (220, 180, 60)
    return Image.fromarray(pixels)


@pytest.fixture
def read(tmp_path):
    """Read an image from the bytes of its file: (H, W, 3)."""
    from wsol.images import read_image

    def call(content, suffix="tif"):
        path = tmp_path / f"image.{suffix}"
        path.write_bytes(content)
        return np.asarray(read_image(path)).astype(int)

    return call


@pytest.fixture
def run(capsys):
    """Call `wsol` with arguments: exit code, stdout, stderr."""
    from eval.image_files import MAX_PIXELS, set_max_pixels
    from wsol.cli import main

    def call(*arguments):
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        output = capsys.readouterr()
        return stop.value.code or 0, output.out, output.err

    yield call
    set_max_pixels(MAX_PIXELS)  # which a flag sets for the whole process


@pytest.fixture(scope="session")
def served_app():
    """Address and page of the app in the browser; one a process, as gradio's folder is one."""
    pytest.importorskip("gradio")
    from small_app import serve

    with serve() as served:
        yield served
