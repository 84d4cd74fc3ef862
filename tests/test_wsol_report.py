"""Reports: tables that say what the JSON says, pages where nothing of a name runs."""

import csv
import json
import re
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import typer
from PIL import Image

from eval.manifest import Split
from eval.protocols import find_protocol
from eval.splits import MaskPaths
from tdam import create_model
from wsol.boxes import threshold_boxes
from wsol.cli import reports
from wsol.comparison import ResultError
from wsol.heatmap import to_heatmap
from wsol.image_results import name_results
from wsol.map_sources import FolderMaps, NetworkMaps
from wsol.pages import embed_image, render, to_json
from wsol.report import MapKeeper, choose_images, read_run, write_report
from wsol.report.collect import quantise
from wsol.report.contours import trace_contour
from wsol.report.gallery import _fit
from wsol.report.steps import keep_steps
from wsol.score_names import list_scores
from wsol.score_run import score_maps
from wsol.shipped import manifests_folder

EVIL = "<script>window.hacked=1</script>"
IDS = (
    f"a{EVIL}.png",
    "b\"onerror='window.hacked=1'.png",
    "ça 日本.png",
    "one pixel.png",
    "large.jpg",
    "gone.png",
    "<!--<img src=x onerror=window.hacked=1>.png",
)
SIZES = ((60, 40), (40, 60), (64, 64), (1, 1), (8700, 5800), (30, 30), (50, 20))
NAMES = ("</title>" + EVIL, "d'\"é|*x*")


def make_maps(folder, ids, sharpness):
    """One bright spot a map, somewhere else on each."""
    across = (np.arange(224) + 0.5) / 224
    for row, image_id in enumerate(ids):
        x, y = 0.3 + 0.4 * (row % 3) / 2, 0.3 + 0.4 * (row % 2)
        square = (across[None] - x) ** 2 + (across[:, None] - y) ** 2
        path = folder / f"{image_id}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, to_heatmap(np.exp(-sharpness * square)))
    return folder


def make_split(ids, sizes):
    boxes = [
        np.array([[width * 0.2, height * 0.2, width * 0.7, height * 0.7]]).astype(np.int64)
        for width, height in sizes
    ]
    labels = np.arange(len(ids)) % 2
    return Split("test", tuple(ids), labels, np.array(sizes), tuple(boxes), class_names=NAMES)


def score(split, maps, out, keep=None):
    rules = find_protocol("wsoleval")
    score_maps(FolderMaps(split, maps), [rules], ["oracle"], out=out, keep=keep)
    name_results(out, f"maps {EVIL}", dict(enumerate(NAMES)), None)
    return out


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Images with names that would run, two runs on them, and the report of both."""
    home = tmp_path_factory.mktemp("report")
    colours = np.random.default_rng(0)
    for image_id, size in zip(IDS, SIZES, strict=True):
        path = home / "images" / image_id
        path.parent.mkdir(parents=True, exist_ok=True)
        if image_id != "gone.png":
            Image.new("RGB", size, tuple(colours.integers(0, 255, 3).tolist())).save(path)
    split = make_split(IDS, SIZES)
    runs = []
    for name, sharpness in (("first", 12), ("second", 40)):
        maps = make_maps(home / name / "maps", IDS, sharpness)
        runs.append(read_run(score(split, maps, home / name), f"{name} <b>"))
    page = write_report(home / "report", runs, home / "images")
    return SimpleNamespace(home=home, split=split, runs=runs, page=page, folder=page.parent)


def read_csv(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def block(text, name):
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', text, re.S)
    return json.loads(found[1])


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
                 for cell in re.split(r"(?<!\\) \| ", line.strip("| "))[1:]][0:]  # fmt: skip
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
    assert len(re.findall("<script", text)) == 1 + len(IDS) + 1  # data, pictures, our own
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
    shown = block(page.read_text(encoding="utf-8"), "image-0")
    assert "--root" in shown["why"]
    assert shown["runs"] == [None]


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
        path, cut = trace_contour(levels, threshold)
        numbers = np.array(re.findall(r"\d+", path), np.float64).reshape(-1, 2) * 0.224
        box = threshold_boxes(levels / 255, threshold)[0]
        assert not cut
        assert np.abs([*numbers.min(axis=0), *numbers.max(axis=0)] - box).max() <= 1.01
    assert trace_contour(np.zeros((8, 8), np.uint8), 0.2) == ("", False)
    noise = np.random.default_rng(0).integers(0, 255, (224, 224)).astype(np.uint8)
    path, cut = trace_contour(noise, 0.5)
    assert cut
    assert len(path) <= 4000


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
    source = NetworkMaps(model, split, photos)
    keeper = MapKeeper(tmp_path / "maps", split.ids, split.ids, rules.levels, rules.rounding)
    score_maps(source, [rules], [0.2], out=tmp_path / "run", keep=keeper)
    run = read_run(tmp_path / "run", keeper=keeper)
    classes = {image_id: row["map_class"] for image_id, row in run.rows.items()}
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
    assert [step["predicted"].startswith("class ") for step in shown["runs"][0]["steps"]] == [
        True
    ] * 3


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
    with pytest.raises(ValueError, match="JSON"):
        to_json(float("nan"))


def test_evaluate_and_compare_write_reports(run, photos, tmp_path):
    data = manifests_folder() / "photos"
    options = ("evaluate", data, "--root", photos, "--threshold", 0.2)
    folder = tmp_path / "report"
    code, _, err = run(*options, "--report", folder)
    assert code == 0
    assert f"report in {folder}/index.html" in err
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "tables"]
    report = block((folder / "index.html").read_text(encoding="utf-8"), "report")
    assert report["images"][1]["class"] == "espresso"
    assert report["images"][1]["runs"][0]["predicted"] == "espresso"
    code, _, err = run(*options, "--report", folder)
    assert (code, "--report" in err) == (2, True)
    code, _, err = run(*options, "--report", tmp_path / "other", "--protocol", "all")
    assert (code, "--report" in err) == (2, True)
    assert run(*options, "--out", tmp_path / "a", "--save-maps", "uint8")[0] == 0
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
    kept = tmp_path / reports.UNFINISHED / "maps"
    kept.mkdir(parents=True)
    reports.free(tmp_path, None, True, False)
    assert kept.is_dir()
    reports.free(tmp_path, None, False, False)
    assert not kept.exists()
    (tmp_path / "mine.txt").write_text("mine")
    kept.mkdir(parents=True)
    with pytest.raises(typer.BadParameter):
        reports.free(tmp_path, None, False, False)
    assert kept.is_dir()
    reports.free(tmp_path, None, False, True)
    assert (tmp_path / "mine.txt").is_file()


@pytest.mark.slow
def test_five_hundred_noisy_images_stay_below_25_mb(tmp_path):
    generator = np.random.default_rng(0)
    ids = [f"{i}.jpg" for i in range(500)]
    for image_id in ids:
        pixels = generator.integers(0, 255, (375, 500, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / image_id, quality=80)
    split = make_split(ids, [(500, 375)] * 500)
    runs = []
    for name, sharpness in (("one", 12), ("two", 40)):
        maps = make_maps(tmp_path / name / "maps", ids, sharpness)
        runs.append(read_run(score(split, maps, tmp_path / name)))
    page = write_report(tmp_path / "report", runs, tmp_path)
    assert page.stat().st_size < 25_000_000
    with opened(page) as driver:
        assert driver.execute_script("return Number(document.documentElement.dataset.ready)") < 2000


class opened:  # noqa: N801, used like a function
    """Opens a page in headless Chromium, or skips the test where there is none."""

    def __init__(self, page, dark=False):
        self.page, self.dark = page, dark

    def __enter__(self):
        selenium = pytest.importorskip("selenium.webdriver")
        service = pytest.importorskip("selenium.webdriver.chrome.service")
        places = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
        if None in places.values():
            pytest.skip("no chromium and chromedriver here")
        options = selenium.ChromeOptions()
        options.binary_location = places["chromium"]
        for flag in (
            "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run",
            "disable-background-networking", "disable-component-update", "disable-sync",
            "window-size=1280,900",
        ):  # fmt: skip
            options.add_argument(f"--{flag}")
        self.profile = Path(self.page).parent / f"profile-{time.monotonic_ns()}"
        options.add_argument(f"--user-data-dir={self.profile}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = selenium.Chrome(options=options, service=service.Service(places["chromedriver"]))
        self.driver = driver
        scheme = {"name": "prefers-color-scheme", "value": "dark" if self.dark else "light"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        driver.get(Path(self.page).as_uri())
        return driver

    def __exit__(self, *error):
        self.driver.quit()
        shutil.rmtree(self.profile, ignore_errors=True)


def requests_of(driver):
    """What the page asked for, other than itself and what it holds."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [event["params"]["request"]["url"] for event in events
            if event["method"] == "Network.requestWillBeSent"]  # fmt: skip
    assert any(url.startswith("file:") and url.endswith("index.html") for url in urls)
    own = ("data:", "file:", "chrome:", "about:")
    return [url for url in urls if not url.startswith(own)]


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_in_a_browser(world, dark):
    with opened(world.page, dark) as driver:
        from selenium.webdriver.common.by import By
        from selenium.webdriver.common.keys import Keys
        from selenium.webdriver.support.select import Select

        def cards():
            return [name.text for name in driver.find_elements(By.CSS_SELECTOR, ".card .name")]

        def names():
            found = driver.find_elements(By.CSS_SELECTOR, ".card")
            return [card.get_attribute("aria-label").partition(" Open ")[2] for card in found]

        def get(name):
            return driver.find_element(By.ID, name)

        assert len(cards()) == len(IDS)
        assert set(cards()) == set(NAMES)
        paper = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") is not dark
        assert "No picture: no such file" in get("cards").text

        opacity = "return getComputedStyle(document.querySelector('.map')).opacity"
        assert driver.execute_script(opacity) == "0.68"
        slider = get("opacity")
        slider.send_keys(Keys.HOME)
        assert driver.execute_script(opacity) == "0"
        slider.send_keys(Keys.ARROW_RIGHT)
        assert driver.execute_script(opacity) == "0.01"

        ious = [world.runs[0].rows[image_id]["iou"] for image_id in IDS]
        Select(get("sort")).select_by_value("iou-")
        order = sorted(range(len(IDS)), key=lambda i: (-ious[i], i))
        assert names() == [IDS[i] for i in order]
        Select(get("class")).select_by_visible_text(NAMES[1])
        assert set(cards()) == {NAMES[1]}
        assert f"3 of {len(IDS)} images" in get("count").text
        get("reset").click()
        rows = [run.rows for run in world.runs]
        only = [i for i in IDS if rows[1][i]["error"] is None and rows[0][i]["error"] is not None]
        Select(get("differ")).select_by_value("1")
        assert names() == only
        get("reset").click()
        get("text").send_keys("日本")
        assert names() == [IDS[2]]
        get("reset").click()

        card = driver.find_element(By.CLASS_NAME, "card")
        driver.execute_script("arguments[0].focus()", card)
        driver.switch_to.active_element.send_keys(Keys.ENTER)
        assert get("detail").get_attribute("open") is not None
        assert IDS[0] in get("detail-title").text
        driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
        assert IDS[1] in get("detail-title").text
        driver.switch_to.active_element.send_keys(Keys.ESCAPE)
        assert get("detail").get_attribute("open") is None
        assert IDS[1] in driver.switch_to.active_element.get_attribute("aria-label")

        head = driver.find_element(By.CSS_SELECTOR, "#table-classes th:nth-child(2) button")
        driver.execute_script("arguments[0].click()", head)
        first = driver.find_element(By.CSS_SELECTOR, "#table-classes tbody th")
        assert first.text == NAMES[0]

        assert driver.execute_script("return window.hacked") is None
        assert driver.get_log("browser") == []
        assert requests_of(driver) == []
        assert driver.execute_script("return Number(document.documentElement.dataset.ready)") < 2000
