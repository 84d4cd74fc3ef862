"""What could not be read is told by whatever reads or keeps the scores."""

import json

import numpy as np
import pytest
from small_maps import many, write_maps

from eval.splits import take_rows
from wsol import compare, evaluate_maps

GONE = "0/0.jpg"
GONE_VAL = "1/7.jpg"


@pytest.fixture
def world(tmp_path):
    every = many(12)
    every = take_rows(every, range(12), "all")
    test, val = take_rows(every, range(6), "test"), take_rows(every, range(6, 12), "val")
    write_maps(every, tmp_path / "whole")
    write_maps(every, tmp_path / "broken")
    for split in (test, val):
        folder = tmp_path / "data" / split.name
        folder.mkdir(parents=True)
        rows = zip(split.ids, split.labels, split.sizes, split.boxes, strict=True)
        texts = {"image_ids": [], "class_labels": [], "image_sizes": [], "localization": []}
        for image_id, label, size, boxes in rows:
            texts["image_ids"].append(image_id)
            texts["class_labels"].append(f"{image_id},{label}")
            texts["image_sizes"].append(f"{image_id},{size[0]},{size[1]}")
            for box in boxes:
                texts["localization"].append(f"{image_id},{','.join(map(str, np.array(box)))}")
        for name, lines in texts.items():
            (folder / f"{name}.txt").write_text("\n".join(lines))
    for image_id in (GONE, GONE_VAL):
        (tmp_path / "broken" / f"{image_id}.npy").unlink()
    return tmp_path


def score(run, world, maps, *more):
    code, out, told = run(
        "evaluate", world / "data", "--maps", world / maps, "--allow-missing", "--threshold",
        "val", "--out", world / f"{maps}-out", *more,
    )  # fmt: skip
    assert code == 0, told
    return out + told


@pytest.mark.fault("numbers: images that cannot be read")
def test_images_to_choose_on_are_named_everywhere(run, world):
    target, page = world / "x.json", world / "page"
    told = score(run, world, "broken", "--json", target, "--report", page)
    assert GONE_VAL in told
    for path in (target, world / "broken-out" / "scores.json"):
        content = json.loads(path.read_text())
        assert [GONE in line for line in content["unreadable"]] == [True]
        assert [GONE_VAL in line for line in content["unreadable_chosen_on"]] == [True]
    text = (page / "index.html").read_text()
    assert "1 image to choose thresholds on could not be read: counted as missed" in text
    assert f"{GONE_VAL}.npy" in text
    several = evaluate_maps(
        world / "data", world / "broken", threshold="val", allow_missing=True,
        protocol=["wsoleval", "clean"],
    )  # fmt: skip
    assert all(GONE_VAL in each.unreadable_chosen_on[0] for each in several)
    whole = evaluate_maps(world / "data", world / "whole", threshold="val").to_dict()
    assert whole["unreadable"] == whole["unreadable_chosen_on"] == []


@pytest.mark.fault("numbers: images that cannot be read")
@pytest.mark.parametrize("order", [("whole", "broken"), ("broken", "whole"), ("broken",) * 2])
def test_comparisons_name_them(order, run, world):
    for maps in dict.fromkeys(order):
        score(run, world, maps)
    folders = [world / f"{maps}-out" for maps in order]
    code, _, told = run("compare", *folders, "--json", world / "c.json", "--report", world / "page")
    assert code == 1
    for name, sentence in (
        (GONE, "1 image could not be read: counted as missed"),
        (GONE_VAL, "1 image to choose thresholds on could not be read: counted as missed"),
    ):
        assert f"{name}.npy" in told
        assert sentence in told
        assert sentence in (world / "page" / "index.html").read_text()
    assert ("(in broken-out)" in told) == ("whole" in order)
    content = json.loads((world / "c.json").read_text())
    found = compare(*folders)[0]
    for key, name in (("unreadable", GONE), ("unreadable_chosen_on", GONE_VAL)):
        assert [name in line for line in content[key]] == [True]
        assert list(getattr(found, key)) == content[key]


@pytest.mark.fault("numbers: images that cannot be read")
def test_a_third_run_is_named_too(run, world):
    score(run, world, "whole")
    score(run, world, "broken")
    whole, broken = world / "whole-out", world / "broken-out"
    code, _, told = run("compare", whole, whole, broken)
    assert (code, f"{GONE}.npy" in told) == (1, True)
    code, _, told = run("compare", whole, whole, "--json", world / "c.json")
    assert (code, "could not be read" in told) == (0, False)
    assert json.loads((world / "c.json").read_text())["unreadable"] == []
