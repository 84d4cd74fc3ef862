"""`predict --engine ray`, by two workers of this machine, against one process without Ray."""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import pytest
from killed_predictions import fill, kill, start

from tdam import create_model
from wsol.errors import EngineError
from wsol.maps import MapExtractor
from wsol.prediction import predict

# A worker of Ray's has one thread a CPU, and the last bits depend on their number.
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


class Deadly(MapExtractor):
    """Kills the process that wants a map."""

    def _compute(self, activations, ids, scores):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster of two workers; gives its address."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray = pytest.importorskip("ray")
    handler = signal.getsignal(signal.SIGTERM)
    ray.init(
        "local", num_cpus=2, include_dashboard=False, log_to_driver=False,
        object_store_memory=300_000_000, _plasma_directory=str(tmp_path_factory.mktemp("store")),
    )  # fmt: skip
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = fill(tmp_path_factory.mktemp("images") / "in", 300, bad=(5, 77))
    (folder / "a" / ".hidden.png").write_bytes(b"x")
    return folder


def lines_of(out):
    return "".join(path.read_text() for path in sorted(out.glob("part-*.jsonl")))


def find_workers():
    """Processes of Ray's below this one that do parts."""
    parents, titles = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text()
            parents[int(folder.name)] = int(status.rpartition(")")[2].split()[1])
            titles[int(folder.name)] = (folder / "cmdline").read_text()
        except OSError:
            continue
    workers = []
    for pid, title in titles.items():
        above = pid
        while above not in (os.getpid(), 0, None):
            above = parents.get(above)
        if above == os.getpid() and title.startswith("ray::") and "PartWorker" in title:
            workers.append(pid)
    return workers


def test_records_are_those_of_one_process(cluster, trained, images, tmp_path, run):
    parquet = pytest.importorskip("pyarrow.parquet")
    flags = ("--checkpoint", trained[0], "--topk", 2, "--multi", "--max-pixels", 1700)
    large = images / "b" / "00001.png"  # 48 x 36 are 1728 pixels
    plain, out, far = (tmp_path / name for name in ("plain", "out", "far"))
    code, _, err = run("predict", large, *flags, "--format", "jsonl", "--out", plain)
    assert (code, "too large" in err) == (1, True)
    code, printed, err = run("predict", large, *flags, "--engine", "ray", "--out", out)
    assert (code, printed) == (1, "")
    assert "too large" in err
    assert lines_of(out) == (plain / "predictions.jsonl").read_text()

    flags = (*flags[:-1], 10_000, "--force")
    run("predict", images, *flags, "--format", "jsonl", "--out", plain)
    kinds = ("--format", "jsonl", "--format", "parquet")
    code, printed, err = run("predict", images, *flags, "--engine", "ray", *kinds, "--out", out)
    assert (code, printed) == (1, "")
    assert err.count("not an image") == 2
    assert "298 images localized" in err
    expected = (plain / "predictions.jsonl").read_text()
    assert lines_of(out) == expected
    rows = [row for f in sorted(out.glob("*.parquet")) for row in parquet.read_table(f).to_pylist()]
    given = [json.loads(line) for line in expected.splitlines()]
    assert [{k: v for k, v in row.items() if v is not None} for row in rows] == given

    code, _, err = run("predict", f"local://{images}", *flags, "--engine", "ray", "--out", far)
    assert code == 1
    assert lines_of(far).replace('"file://', '"') == expected


def test_precision_and_pixels_reach_the_workers(cluster, trained, images, tmp_path, run):
    source = images / "b" / "00001.png"
    flags = ("predict", source, "--checkpoint", trained[0], "--precision", "bfloat16")
    plain, out = tmp_path / "plain", tmp_path / "out"
    assert run(*flags, "--format", "jsonl", "--out", plain)[0] == 0
    flags = (*flags, "--engine", "ray", "--out", out)
    code, _, err = run(*flags)
    assert (code, "computes in bfloat16" in err) == (0, True), err
    assert lines_of(out) == (plain / "predictions.jsonl").read_text()
    code, _, err = run(*flags, "--precision", "float32", "--resume")
    assert (code, "precision (" in err) == (2, True)
    code, _, err = run(*flags, "--resume")
    assert (code, "nothing is left to do" in err) == (0, True)
    code, _, err = run(*flags, "--max-pixels", 10_000, "--resume")
    assert (code, "max pixels (" in err) == (2, True)


def test_a_killed_worker_costs_nothing(cluster, trained, images, tmp_path, run):
    flags = ("--checkpoint", trained[0], "--batch-size", 1)
    plain, out, killed = tmp_path / "plain", tmp_path / "out", []
    run("predict", images, *flags, "--format", "jsonl", "--out", plain)

    def strike():
        while not killed:
            if len(list(out.glob("part-*"))) > 3 and (workers := find_workers()):
                os.kill(workers[0], signal.SIGKILL)
                killed.append((workers[0], len(list(out.glob("part-*")))))
            time.sleep(0.02)

    thread = Thread(target=strike, daemon=True)
    thread.start()
    code, printed, err = run("predict", images, *flags, "--engine", "ray", "--out", out)
    assert (code, printed) == (1, ""), err
    assert killed
    assert killed[0][1] < 75  # before the last part
    assert lines_of(out) == (plain / "predictions.jsonl").read_text()


def test_a_killed_driver_goes_on(cluster, trained, images, tmp_path, run, monkeypatch):
    flags = ("--checkpoint", trained[0], "--batch-size", 1)
    plain, out = tmp_path / "plain", tmp_path / "out"
    run("predict", images, *flags, "--format", "jsonl", "--out", plain)
    asked = (images, *flags, "--engine", "ray", "--out", out)
    environment = {**os.environ, "RAY_ADDRESS": cluster}
    process = start(*asked, env=environment)
    assert kill(process, lambda: len(list(out.glob("part-*"))) > 3)
    there = {path: path.stat().st_mtime_ns for path in out.glob("part-*")}
    assert 0 < len(there) < 75
    code, _, err = run("predict", *asked)
    assert (code, "unfinished" in err) == (2, True)
    code, _, err = run("predict", *asked, "--resume", "--topk", 2)
    assert (code, "topk (1 before, 2 now)" in err) == (2, True)
    code, _, err = run("predict", images, *flags, "--format", "jsonl", "--out", out, "--resume")
    assert (code, 'engine ("ray" before, null now)' in err) == (2, True)
    code, _, err = run("predict", *asked, "--resume")
    assert code == 1, err
    assert f"going on in {out} after " in err
    assert lines_of(out) == (plain / "predictions.jsonl").read_text()
    assert {path: path.stat().st_mtime_ns for path in there} == there
    code, _, err = run("predict", *asked, "--resume")
    assert (code, "nothing is left to do" in err) == (1, True)


def test_images_that_kill_every_worker_end_the_run(cluster, photos, tmp_path):
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[Deadly.__module__])
    network = create_model("resnet18")
    with pytest.raises(EngineError, match="workers die"):
        predict(network, photos, tmp_path / "out", method=Deadly, engine="ray")
    with pytest.raises(ValueError, match="Ray knows of none"):
        predict(network, photos, tmp_path / "out", engine="ray", device="cuda", resume=True)


def test_without_an_address_no_cluster_of_before_is_joined(trained, images, tmp_path):
    """The last cluster of this machine has ended, and its address is still there."""
    pytest.importorskip("ray")
    with TemporaryDirectory(prefix="r", dir="/tmp") as folder:  # short, as sockets lie in it
        (Path(folder) / "ray_current_cluster").write_text(dead_address())
        environment = {**os.environ, "RAY_TMPDIR": folder}
        environment.pop("RAY_ADDRESS", None)
        source, out = images / "b" / "00001.png", tmp_path / "out"
        asked = (source, "--checkpoint", trained[0], "--engine", "ray", "--out", out)
        process = start(*asked, env=environment)
        _, told = process.communicate(timeout=300)
        assert process.returncode == 0, told
        assert len(lines_of(out).splitlines()) == 1


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_cluster_that_is_gone_is_told_of_at_once(trained, images, tmp_path, scheme):
    pytest.importorskip("ray")
    address = scheme + dead_address()
    asked = (images, "--checkpoint", trained[0], "--engine", "ray", "--out", tmp_path / "out")
    process = start(*asked, env={**os.environ, "RAY_ADDRESS": address})
    _, told = process.communicate(timeout=120)  # Ray itself would wait for 20 minutes
    assert process.returncode == 1
    assert f"Error: Ray: no cluster answers at RAY_ADDRESS={address} " in told.decode()


def dead_address():
    """An address on this machine where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"
