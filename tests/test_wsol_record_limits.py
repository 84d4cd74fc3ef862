"""Records of strangers: forged numbers, mixed weights, and zip files that would eat the machine."""

import io
import json
import shutil
import zipfile

import pytest
from small_experiments import TOML, make_world, read_rows, reproduce, wsol

from wsol.benchmarking import record_file
from wsol.benchmarking.record import list_recorded
from wsol.evaluation.comparison import ResultError

pytestmark = pytest.mark.slow

SCORED = "none-1/layercam-16/scored"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("records"))


def read_zip(path):
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def write_zip(path, content):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in content.items():
            file.writestr(name, data)


def change(content, name, **values):
    told = json.loads(content[name])
    for each in told if isinstance(told, list) else [told]:
        each.update(values)
    content[name] = json.dumps(told).encode()


def forge_line(content):
    name = f"{SCORED}/images.jsonl"
    lines = [json.loads(line) for line in content[name].splitlines()]
    lines[0]["hits"]["largest"]["50"] = [] if lines[0]["hits"]["largest"]["50"] else [[0, 1000]]
    content[name] = "".join(json.dumps(line) + "\n" for line in lines).encode()


def repeat_line(content):
    name = f"{SCORED}/images.jsonl"
    content[name] += content[name].splitlines(keepends=True)[0]


FORGED = {
    "a score": (lambda c: change(c, f"{SCORED}/scores.json", max_box_acc=99.0), "max_box_acc"),
    "a count of errors": (lambda c: change(c, f"{SCORED}/scores.json", errors={}), "errors"),
    "a count of images": (lambda c: change(c, f"{SCORED}/scores.json", images=400), "400"),
    "a threshold": (
        lambda c: change(c, "none-1/layercam-16/chosen-on/scores.json", max_box_acc_threshold=0.9),
        "max_box_acc_threshold",
    ),
    "an image's hits": (forge_line, "curves"),
    "an image twice": (repeat_line, "more than once"),
    "a part of other weights": (
        lambda c: change(c, f"{SCORED}/scores.json", weights_sha256="0" * 64), "weights_sha256",
    ),
    "a run of other weights than its parts": (
        lambda c: change(c, "none-1/ways.json", weights_sha256="0" * 64), "weights_sha256",
    ),
    "a part without a hash": (
        lambda c: change(c, f"{SCORED}/scores.json", weights_sha256=None), "weights_sha256",
    ),
    "other image files": (
        lambda c: change(c, f"{SCORED}/scores.json", images_sha256="0" * 64), "images_sha256",
    ),
    "nested without end": (
        lambda c: c.update({"none-1/ways.json": b"[" * 60_000}), "ways.json",
    ),
}  # fmt: skip


@pytest.mark.fault("numbers: a forged or mixed record")
@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_run_is_refused_by_name(world, tmp_path, forged):
    content = read_zip(world / "out" / "experiment.zip")
    do, message = FORGED[forged]
    do(content)
    write_zip(tmp_path / "shapes.zip", content)
    (tmp_path / "shapes.toml").write_text(TOML)
    code, _, told = wsol(
        "reproduce", tmp_path / "shapes.toml", "--recorded", "--out", tmp_path / "out"
    )
    assert code == 1
    line = next(line for line in told.splitlines() if line.startswith("failed: none-1: "))
    assert message in line
    assert read_rows(tmp_path / "out")["none", "val"]["seeds"] == [0]
    assert list_recorded(tmp_path / "out" / "experiment.zip") == ["none-0", "tdam_joint-1"]


def bomb(path):
    write_zip(path, {"none-1/ways.json": bytes(300 * 2**20)})


def many(path):
    write_zip(path, {f"none-1/{i}": b"" for i in range(record_file.MAX_ENTRIES + 1)})


def twice(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("none-1/ways.json", "[]")
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr("none-1/ways.json", "[]")


def lie(path):
    """Say that an entry is short, while its data go on."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("none-1/ways.json", bytes(2**20))
    data = content.getvalue().replace((2**20).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    path.write_bytes(data)


HOSTILE = {
    "a bomb": (bomb, "unpacks to more than"),
    "many entries": (many, "entries"),
    "a name above": (lambda p: write_zip(p, {"none-1/../../x/ways.json": b"[]"}), "leave"),
    "a name of the root": (lambda p: write_zip(p, {"/none-1/ways.json": b"[]"}), "leave"),
    "a name twice": (twice, "two entries"),
    "no zip": (lambda p: p.write_bytes(b"PK\x03\x04" + bytes(100)), "expected a record"),
    "empty": (lambda p: p.write_bytes(b""), "expected a record"),
    "a long list": (
        lambda p: p.write_bytes(b"PK\x05\x06" + bytes(8) + b"\xff" * 4 + bytes(6)), "list of",
    ),
    "a lie": (lie, "none-1"),
}  # fmt: skip


@pytest.mark.fault("numbers: a hostile record")
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_record_ends_in_one_line(tmp_path, kind):
    make, message = HOSTILE[kind]
    make(tmp_path / "shapes.zip")
    (tmp_path / "shapes.toml").write_text(TOML)
    code, _, told = wsol(
        "reproduce", tmp_path / "shapes.toml", "--recorded", "--out", tmp_path / "out"
    )
    assert code in (1, 2)
    assert message in told
    assert "Traceback" not in told
    assert [path for path in tmp_path.iterdir() if path.name not in (
        "out", "shapes.zip", "shapes.toml")] == []  # fmt: skip
    if kind not in ("a lie",):
        with pytest.raises(ResultError):
            list_recorded(tmp_path / "shapes.zip")


@pytest.mark.fault("numbers: a record that loses or mixes runs")
def test_the_folder_keeps_the_runs_of_other_machines(world, tmp_path):
    """Another machine's runs lie in OUT's record alone; here one of them is scored."""
    (tmp_path / "data").symlink_to(world / "data")
    out = tmp_path / "out"
    out.mkdir()
    (out / "experiment.toml").write_text(TOML)
    before = read_zip(world / "out" / "experiment.zip")
    alien = {name.replace("none-1", "alien-7"): data for name, data in before.items()
             if name.startswith("none-1/")}  # fmt: skip
    write_zip(out / "experiment.zip", before | alien)
    flags = ("--weights", world / "weights", "--models", "none", "--seeds", 0)
    code, _, told = reproduce(tmp_path, out, *flags, text=TOML)
    assert code == 0, told
    assert "run alien-7 is none of shapes" in told
    assert read_zip(out / "experiment.zip") == before


@pytest.mark.fault("numbers: a record that loses or mixes runs")
def test_a_rescoring_that_fails_leaves_no_mixed_run(world, tmp_path):
    for name in ("data", "weights"):
        shutil.copytree(world / name, tmp_path / name)
    out = tmp_path / "out"
    flags = ("--weights", tmp_path / "weights", "--models", "none", "--seeds", 0)
    text = TOML.replace('["layercam"]', '["layercam", "gradcam"]')
    assert reproduce(tmp_path, out, *flags, text=text)[0] == 0
    run = out / "scores" / "none-0"
    assert len(json.loads((run / "ways.json").read_text())) == 2
    shutil.copy(
        tmp_path / "weights" / "none-1.safetensors", tmp_path / "weights" / "none-0.safetensors"
    )
    blocked = run / "gradcam-16" / "scored" / "unfinished.json"
    blocked.mkdir()  # the second variant cannot be scored
    code, _, told = reproduce(tmp_path, out, *flags)
    assert code == 1
    assert not (run / "ways.json").exists()
    with zipfile.ZipFile(out / "experiment.zip") as file:
        hashes = {json.loads(file.read(name))["weights_sha256"]
                  for name in file.namelist() if name.endswith("scores.json")}  # fmt: skip
    assert len(hashes) == 1
    blocked.rmdir()
    assert reproduce(tmp_path, out, *flags)[0] == 0
    told = {each["weights_sha256"] for each in json.loads((run / "ways.json").read_text())}
    parts = {json.loads(path.read_text())["weights_sha256"] for path in run.rglob("scores.json")}
    assert len(told) == 1
    assert told == parts != hashes
