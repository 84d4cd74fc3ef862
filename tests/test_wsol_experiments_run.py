"""The experiments of ImageNet and CUB from end to end, at reduced size and with random weights."""

import json
import zipfile

import pytest
from official_downloads import PUBLISHED, write_ilsvrc, write_metadata, write_published
from small_experiments import wsol

from wsol.benchmarking.record import list_recorded

pytestmark = pytest.mark.slow

ODD = "not the experiment as it stands: "


def change(*changes):
    return [part for each in changes for part in ("--set", each)]


SMALL = [*change("epochs=1", "size=32", "batch_size=8"), "--workers", 0]


def check_output(out, printed, models, lines):
    """See to it that tables, page and record are there, and say that it is not the real run."""
    rows = json.loads((out / "results.json").read_text())
    assert {row["model"] for row in rows["rows"]} == set(models)
    assert list_recorded(out / "experiment.zip") == sorted(f"{name}-0" for name in models)
    table = (out / "table.md").read_text()
    page = (out / "report" / "index.html").read_text()
    assert "no verdict is given" in page
    assert rows["verdicts"] == []
    for line in lines:
        assert any(line in told for told in rows["departures"]), rows["departures"]
        assert f"{ODD}{line}" in printed
        written = line.replace("_", "\\_")
        assert f"**Not the experiment as it stands:** {written}" in table
        assert line in page
    assert all(name.replace("_", "\\_") in table for name in models)
    return rows["rows"]


def test_published_networks(data, tmp_path):
    source = data / "imagenet10"
    files = {name: each for name, each in PUBLISHED.items() if "18" in name}
    weights = write_published(tmp_path / "weights", files)
    download = write_ilsvrc(tmp_path / "download", source, 1, 1, "csv")
    flags = ("--data", download, "--models", "resnet18,tdam_resnet18", "--workers", 0)
    flags = ("imagenet_published", *flags, "--out", tmp_path / "out")
    code, _, told = wsol("reproduce", *flags)
    assert (code, "--weights: model tdam_resnet18 needs the folder" in told) == (2, True), told
    assert "TDAM_Top_down_attention_module" in told
    for part in ("ILSVRC/Data", "ILSVRC/Data/CLS-LOC", "ILSVRC/Data/CLS-LOC/val"):
        inside = ("--data", download / part, "--weights", weights)
        code, _, told = wsol("reproduce", *flags[:1], *inside, "--out", tmp_path / "inside")
        assert (code, "is an official download: give that folder" in told) == (1, True), told
    code, printed, told = wsol("reproduce", *flags, "--weights", weights)
    assert code == 0, told
    assert printed.count("GT-known is of the true class's map") == 2
    assert "official download of ilsvrc: test: 10 images" in told
    assert "the rule val: left out" in told
    models = ("resnet18", "tdam_resnet18")
    rows = check_output(
        tmp_path / "out", printed, models, ["10 images in split test, where it is of 50,000"]
    )
    assert "resnet18-f37072fd.pth: its sha256 begins with" in printed
    assert {row["protocol"] for row in rows} == {"tdam", "wsoleval", "clean"}
    with zipfile.ZipFile(tmp_path / "out" / "experiment.zip") as file:
        names = [name for name in file.namelist() if name.endswith("scores.json")]
    assert len(names) == 2 * 3
    # Whoever asks for a comparison is told that there was none.
    code, printed, told = wsol("reproduce", *flags, "--weights", weights, "--expect")
    assert (code, "no expected value is compared" in told) == (1, True), told
    assert "expected values found" not in printed
    # A file that is missing is told before the first image is scored.
    (weights / "TD_RNet18_t2_m2_joint.pth.tar").unlink()
    again = (*flags[:-1], tmp_path / "again")
    code, _, told = wsol("reproduce", *again, "--weights", weights)
    assert code == 1
    missing = told.index("joint.pth.tar: no such file; it can be had at https://github.com/")
    assert missing < told.index("score resnet18")


def test_the_papers_training(data, tmp_path):
    download = write_ilsvrc(tmp_path / "download", data / "imagenet10", 4, 1)
    flags = ["--data", download, "--out", tmp_path / "out", "--seeds", 0, *SMALL]
    flags += change("cooldown=0", "warmup=0", "precision=float32")
    code, printed, told = wsol("reproduce", "imagenet_resnet50", *flags)
    assert code == 0, told
    changed = "recipe changed by epochs=1, size=32, batch_size=8, cooldown=0, warmup=0"
    models = ("none", "tdam_joint", "tdam_top")
    lines = [changed, "30 training images, where it has at least 1,268,000"]
    check_output(tmp_path / "out", printed, models, lines)
    settled = (tmp_path / "out" / "runs" / "tdam_top-0" / "recipe.toml").read_text()
    assert 'searchlight = "top"' in settled
    assert "distance = 3" in settled
    # The same command goes on; another size is another run.
    code, _, told = wsol("reproduce", "imagenet_resnet50", *flags)
    assert (code, "3 runs, 0 to train" in told) == (0, True)
    code, _, told = wsol("reproduce", "imagenet_resnet50", *flags, "--set", "epochs=2")
    assert (code, "epochs" in told) == (2, True)


def test_the_standards_training_on_birds(data, tmp_path):
    weights = write_published(tmp_path, {"resnet50-19c8e357.pth": ("resnet50", None)})
    start = f"weights={weights / 'resnet50-19c8e357.pth'}"
    flags = ["--data", data / "cub10", "--out", tmp_path / "out", "--seeds", 0, *SMALL]
    flags += change(start, "new_head=true", "resize=36", "per_class=4")
    code, printed, told = wsol("reproduce", "cub_resnet50", *flags)
    assert code == 0, told
    assert "by the boxes of 10 training images that each training holds out" in told
    models = ("none", "tdam_joint", "tdam_top")
    lines = ["243 images in split test", "30 training images, where it has at least 5,994"]
    rows = check_output(tmp_path / "out", printed, models, lines)
    assert {(row["method"], row["output_stride"]) for row in rows} == {("cam", 8)}
    assert "full supervision" in (tmp_path / "out" / "report" / "index.html").read_text()


def test_the_standards_training_on_imagenet(data, tmp_path):
    metadata, images = write_metadata(tmp_path, data / "imagenet10", 4, 1, 1)
    code, printed, told = wsol("manifest", "check", metadata, "--root", images)
    assert (code, "ILSVRC of the standard evaluation" in printed) == (0, True), told
    write_published(tmp_path, {"resnet50.pth": ("resnet50", None)})
    flags = ["--data", metadata, "--root", images, "--out", tmp_path / "out", *SMALL]
    start = f"weights={tmp_path / 'resnet50.pth'}"
    flags += change(start, "new_head=true", "resize=36", "drops=[]")
    code, printed, told = wsol("reproduce", "ilsvrc_resnet50_wsoleval", *flags)
    assert code == 0, told
    assert "rule val: by the boxes of 10 images of split val" in told
    lines = ["40 training images, where it has at least 1,268,000"]
    check_output(tmp_path / "out", printed, ("none", "tdam_joint", "tdam_top"), lines)
