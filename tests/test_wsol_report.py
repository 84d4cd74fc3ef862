"""Reports: tables that say what the JSON says, pages where nothing of a name runs."""

import csv
import dataclasses
import json
import re
import shutil
from importlib import resources

import numpy as np
import pytest
import torch
from PIL import Image
from small_reports import EVIL, IDS, NAMES, SIZES, block, make_maps, make_split, make_world, score

from eval.manifest import Split
from eval.metrics.failures import KINDS
from eval.protocols import find_protocol
from eval.splits import MaskPaths
from tdam import create_model
from wsol.boxes import threshold_boxes
from wsol.evaluation.comparison import ResultError
from wsol.evaluation.folder_maps import FolderMaps
from wsol.evaluation.kept_maps import MapKeeper, quantise
from wsol.evaluation.metric_names import ERROR_KINDS, list_scores
from wsol.evaluation.network_maps import NetworkMaps
from wsol.evaluation.score_maps import score_maps
from wsol.heatmap import to_heatmap
from wsol.pages import embed_image, render, to_json
from wsol.report import choose_images, read_run, write_report
from wsol.report.contours import outline_levels
from wsol.report.gallery import _fit
from wsol.report.steps import keep_steps
from wsol.shipped import manifests_folder
from wsol.workflows.report_job import UNFINISHED, free_report


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("report"))


def read_csv(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_tables_say_what_the_json_says(world):
    tables = world.folder / "tables"
    listed = [list_scores(run.scores) for run in world.runs]
    rows = read_csv(tables / "scores.csv")[1:]
    assert len(rows) == len(listed[0])
    for row, name in zip(rows, listed[0], strict=True):
        for place, (run, scores) in enumerate(zip(world.runs, listed, strict=True)):
            own = row[1 + 3 * place : 4 + 3 * place]
            ends = run.scores["intervals95"].get(name) or ["", ""]
            wanted = ["" if scores[name] is None else scores[name], *ends]
            assert own == list(map(str, wanted))
    for place, run in enumerate(world.runs):
        errors = run.scores["errors"]
        counts = [row[1 + 2 * place] for row in read_csv(tables / "errors.csv")[1:]]
        kinds = ("blank", "multi", "part", "more", "miss")
        right = run.scores["images"] - sum(errors[kind] for kind in kinds)
        assert counts == [str(right), *(str(errors[kind]) for kind in kinds), ""]
    head, *curves = read_csv(tables / "curves.csv")
    assert head[2] == "first <b>, largest at 50"
    counts = world.runs[0].scores["curves"]["largest"]["50"]
    assert [float(row[2]) for row in curves] == [100 * count / len(IDS) for count in counts]
    rows = [row for row in world.runs[1].rows.values() if row["label"] == 0]
    first = read_csv(tables / "classes.csv")[1]
    assert first[:2] == [NAMES[0], str(len(rows))]
    assert float(first[6]) == 100 * sum(row["error"] is None for row in rows) / len(rows)
    assert float(first[7]) == pytest.approx(np.mean([row["best_iou"] for row in rows]))
    differences = read_csv(tables / "differences.csv")[1:]
    assert len(differences) == 7 - 1  # MaxBoxAcc, at 30, 50 and 70, V2, GT-known
    for row in differences:
        assert float(row[3]) == float(row[2]) - float(row[1])


def test_page_and_tables_name_errors_as_the_json_does(world):
    kinds = ["hit", *ERROR_KINDS]
    assert tuple(ERROR_KINDS) == KINDS[1:]
    assert [row[0].partition(":")[0] for row in read_csv(world.folder / "tables/errors.csv")[1:-1]
            ] == kinds  # fmt: skip
    text = world.page.read_text(encoding="utf-8")
    report = block(text, "report")
    assert list(report["boxKinds"]) == kinds
    for run, own in enumerate(world.runs):
        errors = [image["runs"][run]["error"] for image in report["images"]]
        assert errors == [row["error"] or "hit" for row in own.rows.values()]
    style = (resources.files("wsol.pages") / "report.css").read_text(encoding="utf-8")
    assert re.findall(r"\.kind-(\w+)", style) == kinds


def test_boxes_of_the_table_are_in_original_pixels(world):
    rows = {row[0]: row for row in read_csv(world.folder / "tables" / "images.csv")}
    large = rows["large.jpg"]
    assert large[2:4] == ["8700", "5800"]
    assert list(map(float, large[8:12])) == world.runs[0].rows["large.jpg"]["box"]


def test_csv_markdown_and_page_say_the_same(world):
    text = world.page.read_text(encoding="utf-8")
    for name in ("scores", "errors", "classes", "differences"):
        numbers = [float(cell) for row in read_csv(world.folder / f"tables/{name}.csv")[1:]
                   for cell in row[1:] if cell]  # fmt: skip
        lines = (world.folder / f"tables/{name}.md").read_text(encoding="utf-8").splitlines()
        cells = [cell for line in lines if line.startswith("| ") and "---" not in line
                 for cell in re.split(r"(?<!\\) \| ", line.strip("| "))[1:]]  # fmt: skip
        header = len(re.split(r" \| ", next(line for line in lines if line.startswith("| ")))) - 1
        shown = [part for cell in cells[header:] for part in cell.split(" to ")]
        shown = [float(part) for part in shown if part != "–"]  # noqa: RUF001
        assert len(shown) == len(numbers)
        assert shown == pytest.approx(numbers, abs=0.051)
        table = text[text.index(f'id="table-{name}"') :]
        table = table[: table.index("</table>")]
        own = [cell for cell in re.findall(r"<td>(.*?)</td>", table) if cell]
        assert own == cells[header:]


def test_hostile_names_stay_text(world):
    text = world.page.read_text(encoding="utf-8")
    assert EVIL not in text
    assert "<img src=x" not in text
    assert "&lt;script&gt;window.hacked=1&lt;/script&gt;" in text
    assert len(re.findall("<script", text)) == 1 + len(IDS) + 2  # data, pictures, our own two
    report = block(text, "report")
    assert [image["id"] for image in report["images"]] == list(IDS)
    assert {image["class"] for image in report["images"]} == set(NAMES)
    for name in ("classes.md", "scores.md"):
        marked = (world.folder / "tables" / name).read_text(encoding="utf-8")
        assert EVIL not in marked
    assert "d'\"é\\|\\*x\\*" in (world.folder / "tables/classes.md").read_text(encoding="utf-8")


def test_the_page_may_ask_for_nothing(world):
    text = world.page.read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', text)[1]
    assert "default-src &#39;none&#39;" in policy
    assert "unsafe" not in policy
    body = text.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|//cdn|@import|url\((?!#)", body)
    assert not re.search(
        r"<[^>]*\s(style|on\w+)=", re.sub(r"<script.*?</script>", "", body, flags=re.S)
    )


def test_pictures_and_reasons(world):
    text = world.page.read_text(encoding="utf-8")
    shown = {image_id: block(text, f"image-{place}") for place, image_id in enumerate(IDS)}
    assert shown["gone.png"]["image"] is None
    assert shown["gone.png"]["why"] == "no such file"
    assert all(each["image"].startswith("data:image/") for name, each in shown.items()
               if name != "gone.png")  # fmt: skip
    assert all(each["runs"][1]["contour"] for each in shown.values())
    assert len(shown["large.jpg"]["image"]) < 100_000


def test_without_root_or_maps_the_page_says_so(world, tmp_path):
    shutil.copytree(world.home / "first", tmp_path / "run", ignore=shutil.ignore_patterns("maps"))
    page = write_report(tmp_path / "report", [read_run(tmp_path / "run")], None)
    text = page.read_text(encoding="utf-8")
    shown = block(text, "image-0")
    assert "--root" in shown["why"]
    assert shown["runs"] == [None]
    assert "No maps were kept of run;" in text
    assert "one fixed scale" not in text
    assert text.count("<label hidden>Map") == 2


def test_runs_of_other_images_are_refused(world, tmp_path):
    few = make_split(IDS[:2], SIZES[:2])
    maps = make_maps(tmp_path / "maps", IDS[:2], 12)
    run = read_run(score(few, maps, tmp_path / "run"))
    with pytest.raises(ResultError, match="same images"):
        write_report(tmp_path / "report", [world.runs[0], run], None)


def test_the_outline_and_the_box_agree(world):
    """The largest outline spans the box that was scored, to half a pixel of the map."""
    run = world.runs[1]
    threshold = run.scores["threshold"]["value"]
    for image_id in IDS:
        levels = run.find_map(image_id).levels
        path, cut = outline_levels(levels, threshold)
        numbers = np.array(re.findall(r"\d+", path), np.float64).reshape(-1, 2) * 0.224
        box = threshold_boxes(levels / 255, threshold)[0]
        assert not cut
        assert np.abs([*numbers.min(axis=0), *numbers.max(axis=0)] - box).max() <= 1.01
    assert outline_levels(np.zeros((8, 8), np.uint8), 0.2) == ("", False)
    corners = np.zeros((8, 8), np.uint8)
    corners[1:4, 1:4] = corners[4:7, 4:7] = 255  # joined by a corner: one box, so one outline
    assert outline_levels(corners, 0.5)[0].count("M") == len(threshold_boxes(corners / 255, 0.5))
    noise = np.random.default_rng(0).integers(0, 255, (224, 224)).astype(np.uint8)
    path, cut = outline_levels(noise, 0.5)
    assert cut
    assert 0 < len(path) <= 4000


def test_kept_maps_are_those_that_were_scored(world, tmp_path):
    rules = find_protocol("wsoleval")
    keeper = MapKeeper(tmp_path / "maps", IDS, IDS[:3], rules.levels, rules.rounding)
    score(world.split, world.home / "first" / "maps", tmp_path / "run", keeper)
    assert len(list((tmp_path / "maps").iterdir())) == 3
    heat = np.load(world.home / "first" / "maps" / f"{IDS[2]}.npy")
    kept = keeper.read(IDS[2])
    np.testing.assert_array_equal(kept.levels, quantise(heat, 255, "below"))
    assert kept.region.tolist() == [0, 0, *SIZES[2]]
    assert keeper.read(IDS[4]) is None
    (tmp_path / "maps" / "1.npz").write_bytes(b"PK\3\4 cut off")
    assert keeper.read(IDS[1]) is None


def test_steps_share_one_scale(photos, tmp_path):
    torch.manual_seed(0)
    model = create_model("resnet18", attention="tdam", steps=3, num_classes=2)
    split = Split("test", ("chelsea.png", "coffee.png"), np.array([0, 1]),
                  np.array([[451, 300], [600, 400]]),
                  (np.array([[0, 0, 399, 299]]), np.array([[172, 17, 410, 307]])))  # fmt: skip
    rules = find_protocol("wsoleval")
    source = NetworkMaps(model, split, photos, "cam")
    keeper = MapKeeper(tmp_path / "maps", split.ids, split.ids, rules.levels, rules.rounding)
    score_maps(source, [rules], [0.2], out=tmp_path / "run", keep=keeper)
    run = read_run(tmp_path / "run", keeper=keeper)
    classes = {image_id: row["map_class"] for image_id, row in run.rows.items()}
    other = dataclasses.replace(source, layer="layer3")  # which has no steps
    assert keep_steps(other, classes, keeper) == 1
    assert keep_steps(source, classes, keeper) == 3
    for image_id in split.ids:
        maps, notes = keeper.read_steps(image_id)
        assert maps.shape[0] == len(notes) == 3
        assert notes[-1, 1] == pytest.approx(run.rows[image_id]["score"], abs=1e-5)
        assert notes[-1, 0] == run.rows[image_id]["predicted"]
        last = quantise(to_heatmap(maps[-1], (224, 224)), 255, "below")
        assert np.abs(last - keeper.read(image_id).levels.astype(int)).max() <= 1
    page = write_report(tmp_path / "report", [run], photos)
    shown = block(page.read_text(encoding="utf-8"), "image-0")
    steps = shown["runs"][0]["steps"]
    assert steps[-1]["box"] == run.rows[split.ids[0]]["box"]
    pixel = np.tile(split.sizes[0] / 224, 2)
    for step in steps:  # attention that has not learned: all steps are the same
        assert (np.abs(np.array(step["box"]) - steps[-1]["box"]) <= 1.01 * pixel).all()
    assert [step["predicted"].startswith("class ") for step in shown["runs"][0]["steps"]] == [
        True
    ] * 3


def test_runs_are_compared_with_their_own_reference(world, tmp_path):
    one, two = world.runs
    third = dataclasses.replace(one, name="third")
    tables = tmp_path / "report" / "tables"

    def names(references):
        write_report(tmp_path / "report", [one, two, third], None, references=references)
        found = sorted(tables.glob("differences*.csv"), key=lambda path: (len(path.name), path))
        return [read_csv(path)[0][1:3] for path in found]

    assert names({}) == [[one.name, two.name], [one.name, "third"]]
    assert names({"third": two.name, two.name: two.name}) == [[two.name, "third"]]
    assert names({"third": "gone"}) == [[one.name, two.name]]


def test_masks(tmp_path):
    ids = ("a.png", "b.png")
    masks = []
    for image_id in ids:
        pixels = np.zeros((50, 50), np.uint8)
        pixels[10:30, 10:30] = 255
        Image.fromarray(pixels).save(tmp_path / image_id)
        masks.append(MaskPaths((image_id,), None))
    split = Split("test", ids, np.array([0, 1]), masks=tuple(masks))
    runs = []
    for name, sharpness in (("one", 12), ("two", 40)):
        maps = make_maps(tmp_path / name / "maps", ids, sharpness)
        source = FolderMaps(split, maps)
        found = score_maps(source, [find_protocol("wsoleval")], [None], mask_root=tmp_path,
                           out=tmp_path / name)  # fmt: skip
        runs.append(read_run(tmp_path / name))
    page = write_report(tmp_path / "report", runs, tmp_path)
    text = page.read_text(encoding="utf-8")
    assert "Precision over recall" in text
    assert "not compared image by image" in text
    rows = read_csv(tmp_path / "report" / "tables" / "scores.csv")
    assert float(rows[1][4]) == found[0].result.pxap
    assert read_csv(tmp_path / "report" / "tables" / "curves.csv")[0][1] == "one, precision"


def test_the_sample_hangs_on_names_alone():
    ids = [f"{i}.png" for i in range(2000)]
    chosen = choose_images(ids)
    assert len(chosen) == 500
    assert sorted(chosen) == sorted(choose_images(ids[::-1]))
    assert choose_images(ids[:500]) == ids[:500]


def test_noise_is_embedded_in_the_room_that_there_is():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8))
    assert len(_fit(noise, 640, 30_000)) <= 30_000
    assert embed_image(Image.new("RGB", (1, 1)), 100).startswith("data:image/webp")
    assert embed_image(Image.new("L", (3000, 1)), 10, None).startswith("data:image/webp")


def test_pages_escape_what_they_are_given():
    text = render("base.html.j2", title=EVIL, data={"x": {"y": EVIL + "\u2028"}})
    assert EVIL not in text
    assert block(text, "x") == {"y": EVIL + "\u2028"}
    assert to_json(float("nan")) == "null"


def test_compare_finds_the_images_where_a_run_found_them_or_says_so(run, photos, tmp_path):
    """Two runs on maps, of which each found the images in a folder of its own."""
    data, ids = manifests_folder() / "photos", [path.name for path in sorted(photos.iterdir())]
    maps = make_maps(tmp_path / "maps", ids, 12)
    folders = [shutil.copytree(photos, tmp_path / f"images-{name}") for name in "ab"]
    for name, folder in zip("ab", folders, strict=True):
        code, _, err = run("evaluate", data, "--maps", maps, "--root", folder, "--out",
                           tmp_path / name)  # fmt: skip
        assert code == 0, err

    def compare(*more):
        code, _, err = run("compare", tmp_path / "a", tmp_path / "b", "--report",
                           tmp_path / "page", "--force", *more)  # fmt: skip
        assert code == 0
        text = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
        pictures = [block(text, f"image-{place}")["image"] for place in range(len(ids))]
        return sum(picture is not None for picture in pictures), err

    assert compare() == (5, f"report in {tmp_path / 'page' / 'index.html'}\n")
    folders[0].rename(tmp_path / "moved")
    assert compare()[0] == 5  # where the second run found them
    (folders[1] / "rocket.jpg").unlink()
    shown, err = compare()
    assert shown == 4
    said = f"no picture of 1 of 5 images (sought in {folders[1]}; --root names another folder)"
    assert f"the report has {said}, such as rocket.jpg: no such file\n" in err
    shutil.rmtree(folders[1])
    shown, err = compare()
    assert (shown, "no picture of 5 of 5 images" in err, str(folders[0]) in err) == (0, True, True)
    assert compare("--root", tmp_path / "moved")[0] == 5


@pytest.mark.slow
def test_evaluate_and_compare_write_reports(run, photos, tmp_path):
    data = manifests_folder() / "photos"
    options = ("evaluate", data, "--root", photos, "--threshold", 0.2)
    folder = tmp_path / "report"
    code, _, err = run(*options, "--report", folder)
    assert code == 0
    assert f"report in {folder}/index.html" in err
    assert sorted(path.name for path in folder.glob("[!.]*")) == ["index.html", "tables"]
    report = block((folder / "index.html").read_text(encoding="utf-8"), "report")
    assert report["images"][1]["class"] == "espresso"
    assert report["images"][1]["runs"][0]["predicted"] == "espresso"
    code, _, err = run(*options, "--report", folder)
    assert (code, "--report" in err) == (2, True)
    code, _, err = run(*options, "--report", tmp_path / "other", "--protocol", "all")
    assert (code, "--report" in err) == (2, True)
    both = ("--out", tmp_path / "a", "--save-maps", "uint8", "--report", tmp_path / "a" / "page")
    assert run(*options, *both)[0] == 0
    assert (tmp_path / "a" / "page" / "index.html").is_file()
    code, _, err = run(*options, *both)
    assert (code, "--out" in err) == (2, True)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    three = (tmp_path / "a", tmp_path / "b", tmp_path / "b" / "images.jsonl")
    code, out, _ = run("compare", *three, "--report", folder, "--force",
                       "--json", tmp_path / "c.json")  # fmt: skip
    assert code == 0
    assert out.count("minus") == 2
    assert len(json.loads((tmp_path / "c.json").read_text())) == 2
    text = (folder / "index.html").read_text(encoding="utf-8")
    assert [each["name"].rpartition("/")[2] for each in block(text, "report")["runs"]] == [
        "a", "b", "b (2)"
    ]  # fmt: skip
    assert block(text, "image-0")["image"]  # the root as the first run had it
    assert (folder / "tables" / "differences-2.csv").is_file()


def test_a_folder_is_cleared_of_unfinished_reports_alone(tmp_path):
    kept = tmp_path / UNFINISHED / "maps"
    kept.mkdir(parents=True)
    free_report(tmp_path, False, goes_on=True)
    assert kept.is_dir()
    free_report(tmp_path, False)
    assert not kept.exists()
    (tmp_path / "mine.txt").write_text("mine")
    kept.mkdir(parents=True)
    with pytest.raises(ValueError, match="choose another folder"):
        free_report(tmp_path, False)
    assert kept.is_dir()
    free_report(tmp_path, True)
    assert (tmp_path / "mine.txt").is_file()
