"""`wsol demo`: what it shows, and what it tells of."""

import re

import numpy as np
from PIL import Image


def test_demo(run, tmp_path):
    code, out, _ = run("demo", "--out", tmp_path / "demo")
    assert code == 0
    assert "espresso" in out
    assert "5 photographs show what comes out; they are too few to score\n" in out
    assert re.search(r"GT-known Loc +67\.2 \(62\.4 to 71\.8\) +64\.8 \(60\.3 to 69\.4\)", out)
    assert re.search(r"baseline: centre box +51\.0 ", out)
    assert "400 test images" in out
    assert "wsol reproduce imagenet10_lite0 --recorded" in out
    page = (tmp_path / "demo" / "index.html").read_text(encoding="utf-8")
    assert page.count('"steps":[{') == 5
    assert "<h2>Measured on other images</h2>" in page
    assert "67.2" in page
    for scored in ("<h2>Curves</h2>", "<h2>Errors", "<h2>Classes</h2>", "box accuracy at 70"):
        assert scored not in page
    tables = sorted(path.name for path in (tmp_path / "demo" / "tables").iterdir())
    assert tables == ["images.csv", "measured.csv", "measured.md"]
    pictures = sorted((tmp_path / "demo").glob("*.png"))
    assert len(pictures) == 5
    for path in pictures:
        image = np.asarray(Image.open(path).convert("RGB"))
        assert image.shape[1] > 500
        assert image.std() > 20


def test_what_the_demo_tells_is_what_was_recorded():
    from wsol.benchmarking.experiment_files import load_experiment
    from wsol.demo import measured_scores

    expected = {
        (each.model, each.score): each.value
        for each in load_experiment("imagenet10_lite0").expected
        if (each.method, each.threshold) == ("gradcampp", "val")
    }
    rows = {row[0]: row[1:] for row in measured_scores("gradcampp").rows}
    for score, name in (("top1_loc", "Top-1 Loc"), ("gt_known_loc", "GT-known Loc")):
        shown = rows[name][0], rows[name][2]
        assert shown == (expected["imagenet_tdam", score], expected["imagenet", score])


def test_demo_leaves_other_folders_alone(run, tmp_path):
    (tmp_path / "mine.txt").write_text("")
    code, _, err = run("demo", "--out", tmp_path)
    assert code == 2
    assert "--force" in err
