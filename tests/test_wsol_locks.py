"""A folder has one writer at a time: the second is told who is there, and harms nothing."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image
from small_objects import FLAGS

from wsol import folder_lock
from wsol.folder_lock import LOCK, FolderHeldError, has_files, hold_file, hold_folder

TAKEN = "runs: a folder that two processes write"
KILLED = "runs: a lock that a killed process left"
HOLD = """
import sys
from pathlib import Path
from wsol import folder_lock
hold = getattr(folder_lock, sys.argv[1])
with hold(Path(sys.argv[2])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(folder_lock, "WAIT", 0.05)


class Other:
    """Another process that holds a folder or file, until the block ends or it is killed."""

    def __init__(self, path, kind="hold_folder"):
        command = [sys.executable, "-c", HOLD, kind, str(path)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self):
        assert self.process.stdout.readline() == "held\n"
        return self.process

    def __exit__(self, *error):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def write_data(folder):
    """Two images with boxes, and their maps."""
    ids = ("a.png", "b.png")
    for file, rest in (
        ("image_ids", ""),
        ("class_labels", ",0"),
        ("image_sizes", ",64,64"),
        ("localization", ",8,8,40,40"),
    ):
        (folder / "data" / "test").mkdir(parents=True, exist_ok=True)
        text = "\n".join(f"{name}{rest}" for name in ids)
        (folder / "data" / "test" / f"{file}.txt").write_text(text)
    (folder / "maps").mkdir()
    heat = np.linspace(0, 1, 224 * 224).reshape(224, 224)
    for name in ids:
        np.save(folder / "maps" / f"{name}.npy", heat)
        Image.new("RGB", (64, 64)).save(folder / "data" / name)
    return ("evaluate", folder / "data", "--maps", folder / "maps")


def check_refusal(answer, folder, pid):
    code, _, err = answer
    assert code == 1, err
    last = err.splitlines()[-1]
    assert last.startswith(f"Error: {folder}: another process works here (process {pid} on ")
    assert "UTC: -c hold_" in last
    assert last.endswith("); wait for it, or choose another folder")


@pytest.mark.fault(TAKEN)
def test_a_second_command_is_told_who_is_there(
    run, tmp_path, photos, objects, trained, impatient, record_property
):
    evaluate = write_data(tmp_path)
    out = tmp_path / "out"
    assert run(*evaluate, "--out", tmp_path / "one")[0] == 0
    weights = trained[0] / "model.safetensors"
    commands = {
        "evaluate": (*evaluate, "--out", out),
        "evaluate, forced": (*evaluate, "--out", out, "--force"),
        "report": (*evaluate, "--report", out),
        "compare": ("compare", tmp_path / "one", tmp_path / "one", "--report", out),
        "benchmark": ("benchmark", tmp_path / "data", "--run", f"a={weights}", "--out", out),
        "page": ("benchmark", tmp_path / "data", "--run", f"a={weights}", "--report", out),
        "train": ("train", objects, "--out", out, *FLAGS),
        "train on": ("train", objects, "--out", out, *FLAGS, "--resume"),
        "train anew": ("train", objects, "--out", out, *FLAGS, "--force"),
        "shift": ("shift", photos, "--out", out, "--checkpoint", weights),
        "demo": ("demo", "--out", out),
    }
    (out / "kept").mkdir(parents=True)
    (out / "recipe.toml").write_bytes((trained[0] / "recipe.toml").read_bytes())
    for arguments in commands.values():
        with Other(out) as other:
            check_refusal(run(*arguments), out, other.pid)
    assert {path.name for path in out.iterdir()} == {"kept", "recipe.toml"}
    record_property("tried", len(commands))


@pytest.mark.fault(TAKEN)
def test_a_file_that_another_process_writes(run, tmp_path, trained, data_of_cub, impatient):
    """Weights that are calibrated, alone or in their run, and a data set that is built."""
    target = tmp_path / "mine.safetensors"
    weights = trained[0] / "model.safetensors"
    truth = tmp_path / "boxes.json"
    truth.write_text("{}")
    build = ("manifest", "build", "cub", "--source", data_of_cub, "--out", tmp_path / "built")
    for path, kind, arguments in (
        (target, "hold_file", ("calibrate", weights, "--boxes", truth, "--out", target)),
        (trained[0], "hold_folder", ("calibrate", trained[0], "--boxes", truth)),
        (tmp_path / "built", "hold_file", build),
    ):
        with Other(path, kind) as other:
            check_refusal(run(*arguments), path, other.pid)
    code, _, err = run(*build)
    assert code == 0, err
    assert not [*tmp_path.glob(f".*{LOCK}")]


@pytest.fixture
def data_of_cub(tmp_path):
    """A download of two images of one class."""
    folder = tmp_path / "cub"
    (folder / "images" / "001.Gull").mkdir(parents=True)
    texts = {"images": "", "image_class_labels": "", "train_test_split": "", "bounding_boxes": ""}
    for number in (1, 2):
        Image.new("RGB", (60, 40)).save(folder / "images" / "001.Gull" / f"{number}.jpg")
        texts["images"] += f"{number} 001.Gull/{number}.jpg\n"
        texts["image_class_labels"] += f"{number} 1\n"
        texts["train_test_split"] += f"{number} {number - 1}\n"
        texts["bounding_boxes"] += f"{number} 2.0 3.0 20.0 10.0\n"
    for name, text in (texts | {"classes": "1 001.Gull\n"}).items():
        (folder / f"{name}.txt").write_text(text)
    return folder


@pytest.mark.fault(KILLED)
def test_a_killed_holder_blocks_nobody(run, tmp_path, impatient):
    evaluate = write_data(tmp_path)
    out = tmp_path / "out"
    with Other(out) as other:
        other.kill()
        other.wait()
    assert [path.name for path in out.iterdir()] == [LOCK]  # which is no file of anybody's
    assert not has_files(out)
    code, _, err = run(*evaluate, "--out", out)
    assert code == 0, err
    assert "scores.json" in {path.name for path in out.iterdir()}
    assert LOCK not in {path.name for path in out.iterdir()}


@pytest.mark.slow
@pytest.mark.fault(TAKEN)
def test_two_evaluations_at_once_leave_one_whole_result(tmp_path):
    """The one that came first ends well, with its scores; the other one is refused."""
    arguments = [*map(str, write_data(tmp_path)), "--out", str(tmp_path / "out")]
    command = [sys.executable, "-c", "import sys; from wsol import folder_lock\n"
               "folder_lock.WAIT = 0.1\nfrom wsol.cli import main; main(sys.argv[1:])"]  # fmt: skip
    both = [
        subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [process.communicate()[1] for process in both]
    codes = [process.returncode for process in both]
    assert 0 in codes, told
    assert set(codes) <= {0, 1, 2}, told
    assert not any("Traceback" in each for each in told)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"scores.json", "images.jsonl"} <= names
    assert not names & {"unfinished.bin", "unfinished.json", LOCK}


@pytest.mark.slow
@pytest.mark.fault(TAKEN)
def test_trainings_that_start_together_share_packed_images(objects, tmp_path):
    command = [sys.executable, "-m", "wsol", "train", str(objects), *map(str, FLAGS)]
    command += ["--epochs", "1", "--set", "packed=true", "--cache", str(tmp_path / "cache")]
    both = [
        subprocess.Popen(
            [*command, "--out", str(tmp_path / name)], stderr=subprocess.PIPE, text=True
        )
        for name in ("a", "b")
    ]
    told = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert len([*(tmp_path / "cache").glob("*.u8")]) == 1
    assert not [*(tmp_path / "cache").glob(".*")]


def test_what_holds_a_folder_may_hold_it_again(tmp_path, impatient):
    folder = tmp_path / "new" / "folder"
    with hold_folder(folder), hold_folder(folder, patient=True), hold_file(folder):
        assert folder.is_dir()
    assert not (tmp_path / "new").exists()  # nothing was put into it
    with hold_folder(folder):
        (folder / "mine").touch()
    assert [path.name for path in folder.iterdir()] == ["mine"]


def test_another_thread_is_another_writer(tmp_path, impatient):
    faults = []

    def work():
        try:
            with hold_folder(tmp_path):
                pass
        except FolderHeldError as error:
            faults.append(str(error))

    with hold_folder(tmp_path):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert f"process {os.getpid()} on " in faults[0]


def test_patience(tmp_path, impatient):
    """Who waits is told for whom, and goes on where the other ends."""
    told = []

    def tell(text):
        told.append(text)
        other.stdin.close()

    with Other(tmp_path) as other, hold_folder(tmp_path, patient=True, tell=tell):
        assert told[0].startswith(f"{tmp_path}: waiting, since another process works here (proc")
    assert len(told) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_takes_no_lock(run, tmp_path):
    evaluate = write_data(tmp_path)
    (tmp_path / "out").mkdir(mode=0o500)
    code, _, err = run(*evaluate, "--out", tmp_path / "out")
    assert code == 2
    assert "cannot be written" in err.splitlines()[-1]


@pytest.mark.parametrize("fault", [OSError(37, "No locks available"), NotImplementedError("none")])
def test_a_file_system_without_locks(run, tmp_path, monkeypatch, fault):
    """The system's own call fails, as it does on some network file systems."""
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_):
        raise fault

    evaluate = write_data(tmp_path)
    monkeypatch.setattr(fcntl, "flock", refuse)
    code, _, err = run(*evaluate, "--out", tmp_path / "out")
    assert code == 2
    assert "out cannot be written or locked" in err.splitlines()[-1]


def test_a_file_in_the_way(run, tmp_path):
    evaluate = write_data(tmp_path)
    (tmp_path / "out").write_text("mine")
    code, _, err = run(*evaluate, "--out", tmp_path / "out")
    assert (code, "out cannot be a folder (File exists)" in err) == (2, True)
    assert (tmp_path / "out").read_text() == "mine"
