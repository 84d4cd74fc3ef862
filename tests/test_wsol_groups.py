"""`compare --by`: where two runs differ."""

import json
import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from small_maps import many

from wsol import compare, evaluate_maps
from wsol.errors import ArgumentError
from wsol.evaluation.comparison import compare_results, read_results
from wsol.evaluation.groups import compare_groups
from wsol.evaluation.map_files import MapWriter

COUNT = 60


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two folders of results on images of 200 x 200 with one to four objects of many sizes."""
    home = tmp_path_factory.mktemp("groups")
    random = np.random.default_rng(5)
    boxes = []
    for row in range(COUNT):
        sides = random.integers(20, 190, (1 + row % 4, 1)) * np.ones((1, 2), int)
        corners = random.integers(0, 200 - sides)
        boxes.append(np.concatenate([corners, corners + sides], axis=1))
    sizes = np.array([[200, 200]] * COUNT)
    labels = np.arange(COUNT) % 3
    data = replace(many(COUNT), boxes=tuple(boxes), sizes=sizes, labels=labels)
    data = replace(data, class_names=("crane", "crane", "cup"))
    for name in ("one", "two"):
        writer = MapWriter(home / name, "float16")
        for image_id, own in zip(data.ids, boxes, strict=True):
            heat = np.zeros((224, 224))
            x0, y0, x1, y1 = (own[0] * 1.12).astype(int) + random.integers(-15, 15, 4)
            heat[max(y0, 0) : max(y1, y0 + 1), max(x0, 0) : max(x1, x0 + 1)] = 1
            writer.write(image_id, writer.encode(heat))
        evaluate_maps(data, home / name, threshold=0.5, out=home / f"{name}-out")
    return home / "one-out", home / "two-out"


def rights(run, ids):
    return 100 * np.mean([run.rows[i]["error"] is None for i in ids])


def test_groups_have_the_scores_of_their_images(runs):
    first, second = map(read_results, runs)
    shares = {
        i: max((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in row["true_boxes"]) / 40_000
        for i, row in first.rows.items()
    }
    found = compare_groups(first, second, "size")
    ends = [0, 0.1, 0.25, 0.5, 1]
    pairs = list(pairwise(ends))
    assert list(found) == [f"{100 * a:g} to {100 * b:g} % of the image" for a, b in pairs]
    for (count, gaps), (low, high) in zip(found.values(), pairs, strict=True):
        ids = [i for i, share in shares.items() if low <= share < high]
        gap = gaps["gt_known_loc"]
        assert count == len(ids) > 0
        assert (gap.first, gap.second) == pytest.approx((rights(first, ids), rights(second, ids)))
        assert gap.low <= gap.difference <= gap.high
        assert gap.gained - gap.lost == round(gap.difference * count / 100)
    whole = compare_results(first, second)["gt_known_loc"]
    changed = sum(gaps["gt_known_loc"].gained for _, gaps in found.values())
    assert changed == whole.gained > 0


def test_a_group_of_all_images_is_the_whole_comparison(runs):
    first, second = map(read_results, runs)
    for run in (first, second):
        for row in run.rows.values():
            row["label"] = 7
    (name, (count, gaps)), *rest = compare_groups(first, second, "class").items()
    assert (name, count, rest) == ("class 7", COUNT, [])
    assert gaps["gt_known_loc"] == compare_results(first, second)["gt_known_loc"]


def test_objects_and_classes(runs, run, tmp_path):
    counts = Counter(min(1 + row % 4, 3) for row in range(COUNT))
    (told,) = compare(*runs, by="objects")
    assert {name: count for name, (count, _) in told.groups.items()} == {
        "1 true box": counts[1], "2 true boxes": counts[2], "3 or more true boxes": counts[3],
    }  # fmt: skip
    gap = told.groups["2 true boxes"][1]["gt_known_loc"]
    (table,) = re.findall(r"<strong>By objects.*?</table>", told._repr_html_(), re.DOTALL)
    assert '<th style="text-align: left">2 true boxes</th>' in table
    assert f"{gap.difference:+.1f} ({gap.low:+.1f} to {gap.high:+.1f})" in table
    code, out, _ = run("compare", *runs, "--by", "class", "--json", tmp_path / "by.json")
    assert code == 0
    assert out.index("crane (0)") < out.index("crane (1)") < out.index(" cup ")
    groups = json.loads((tmp_path / "by.json").read_text())["groups"]
    assert groups["cup"]["images"] == COUNT // 3
    gap = told.groups["1 true box"][1]["gt_known_loc"]
    assert f"{gap.difference:+.1f} ({gap.low:+.1f} to {gap.high:+.1f})" in run(
        "compare", *runs, "--by", "objects"
    )[1]  # fmt: skip


def test_an_unknown_grouping(runs, run):
    with pytest.raises(ArgumentError, match="one of size, objects, class but got 'colour'"):
        compare(*runs, by="colour")
    code, _, err = run("compare", *runs, "--by", "colour")
    assert code == 2
    assert "--by: Expected one of size, objects, class" in err
