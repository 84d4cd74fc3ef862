"""The page of drafts: its boxes at any threshold are those of `predict`, in a browser too."""

import json
import os
import re
import shlex
import subprocess
from functools import partial

import numpy as np
import pytest
from browser import opened, requests_of
from PIL import Image
from small_reports import EVIL

from eval.geometry import square_to_image
from tdam import create_model
from tdam.events import SILENT
from wsol.drafts import DraftPage, describe_levels, write_drafts
from wsol.errors import ArgumentError
from wsol.heatmap import to_heatmap
from wsol.images import ImageError
from wsol.levels import level_of
from wsol.localizer import Localizer
from wsol.prediction import predict
from wsol.regions import BoxRule, cut_boxes
from wsol.results import Localization, Step
from wsol.text import quote_words

THRESHOLDS = (0.0, 0.1, 0.2, 0.27, 0.5, 0.785, 0.995, 1.0)
NASTY = f"\u202egpj {EVIL.replace('/', '.')}'\"&\n"


def localize(raw, threshold=0.2, contours="largest", path=None, name="bird", score=0.5):
    """What a localizer makes of a map of an image of 50 times 40 pixels."""
    rule, region = BoxRule(32, threshold, contours), (5.0, 0.0, 45.0, 40.0)
    boxes, peaks = cut_boxes(raw, rule)
    step = Step(to_heatmap(raw), score, region, raw)
    shown = square_to_image(boxes, 32, region)
    return Localization(0, name, score, shown, score * peaks, (step,), 50, 40, path, rule=rule)


def draw_maps():
    random = np.random.default_rng(0)
    ring = np.zeros((9, 9), np.float32)
    ring[1:8, 1:8] = 0.6
    ring[2:7, 2:7] = 0
    ring[4, 4] = 1  # a region in the hole of another, which has no box of its own
    spots = [random.random((side, side)).astype(np.float32) for side in (3, 7, 14)]
    return [*spots, np.round(spots[1] * 3), ring, np.ones((5, 5), np.float32)]


def decode(draft, threshold):
    """Boxes at a threshold in pixels of the image, and how many regions there are."""
    level = level_of(threshold, draft["peak"])
    boxes = next(each[1:] for each in reversed(draft["boxes"]) if each[0] <= level)
    regions = next(count for at, count in reversed(draft["regions"]) if at <= level)
    square = np.array(boxes).reshape(-1, 4)
    return square_to_image(square, draft["side"], draft["region"]), regions


def same(boxes, others):
    """Whether boxes are the same, in whatever order."""
    return sorted(np.asarray(boxes).tolist()) == sorted(np.asarray(others).tolist())


def facts_of(page):
    text = page.read_text(encoding="utf-8")
    return [
        json.loads(each) for each in re.findall(r'class="image-facts">(.*?)</script>', text, re.S)
    ]


@pytest.mark.parametrize("contours", ["largest", "outer"])
def test_boxes_at_all_thresholds_are_those_of_a_localizer(contours):
    for raw in draw_maps():
        draft = describe_levels(localize(raw, contours=contours))
        for threshold in (*THRESHOLDS, *np.arange(255) / 255):
            boxes, regions = decode(draft, threshold)
            assert same(boxes, localize(raw, threshold, contours).boxes)
            assert regions == len(localize(raw, threshold, "outer").boxes)


def photograph(folder, count=3):
    """Small images, one of a name that would do harm, and one that cannot be read."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for name in [f"{i}.png" for i in range(count - 1)] + [f"{NASTY}.png"]:
        pixels = random.integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(pixels).resize((96, 72)).save(folder / name)
    (folder / "broken.png").write_bytes(b"no image")
    return folder


def test_a_page_of_a_prediction(tmp_path, one_thread):
    photos = photograph(tmp_path / "photos")
    model = create_model("efficientnet_lite0", num_classes=3)
    names = (f"</script>{NASTY}", "b", "c")
    localized = partial(predict, model, photos, names=names, device="cpu", multi=True)
    summary = localized(page=tmp_path / "page", threshold=0.3)
    assert (summary.images, summary.failed, summary.folder) == (4, 1, tmp_path / "page")
    page = tmp_path / "page" / "index.html"
    text = page.read_text(encoding="utf-8")
    assert "\u202e" not in text
    assert EVIL not in text
    assert text.count("</script>") == text.count("<script")
    facts = facts_of(page)
    assert "error" in next(each for each in facts if each["file"] == "broken.png")
    found = {}
    localized(threshold=0.62, on_result=lambda path, result: found.update({path.name: result}))
    seen = 0
    for (name, result), told in zip(found.items(), facts, strict=True):
        assert name == "broken.png" or same(decode(told["classes"][0], 0.62)[0], result.boxes)
        seen += name != "broken.png" and len(result.boxes)
    assert seen > 0
    with pytest.raises(ArgumentError, match="goes only without engine ray") as refused:
        predict(model, photos, engine="ray", page=tmp_path / "other")
    assert refused.value.argument == "page"


@pytest.mark.slow
def test_a_page_goes_on_and_begins_where_the_run_has_ended(trained, objects, tmp_path, run):
    given = ("predict", objects, "--checkpoint", trained[0], "--batch-size", 1)
    stream = Localizer.stream

    def stop(self, *rest):
        for number, pair in enumerate(stream(self, *rest)):
            yield pair
            if number == 1:
                raise KeyboardInterrupt

    def cut(*arguments):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Localizer, "stream", stop)
            return run(*given, *arguments)

    whole = tmp_path / "whole"
    assert run(*given, "--page", whole)[0] == 0
    expected = (whole / "index.html").read_bytes()
    assert len(facts_of(whole / "index.html")) == 36

    code, _, err = cut("--page", tmp_path / "cut")
    assert (code, str(tmp_path / "cut") in err) == (130, True)
    assert len(facts_of(tmp_path / "cut" / "index.html")) == 2
    assert b"cut off after 2 of 36 images" in (tmp_path / "cut" / "index.html").read_bytes()
    code, out, err = run(*given, "--page", tmp_path / "cut")
    assert (code, out, "--resume" in err, "--out" in err) == (2, "", True, False)
    for _ in range(2):  # the second time nothing is left to do
        assert run(*given, "--page", tmp_path / "cut", "--resume")[0] == 0
        made = (tmp_path / "cut" / "index.html").read_bytes()
        # The command that makes a page again names its folder.
        assert made.replace(str(tmp_path / "cut").encode(), str(whole).encode()) == expected

    files = ("--format", "csv", "--out", tmp_path / "out")
    page = ("--page", tmp_path / "out" / "page")
    assert cut(*files, *page)[0] == 130
    assert run(*given, *files, *page, "--resume")[0] == 0
    made = facts_of(tmp_path / "out" / "page" / "index.html")
    assert made == facts_of(whole / "index.html")
    csv = (tmp_path / "out" / "predictions.csv").read_bytes()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    code, _, err = run(*given, *files, "--page", tmp_path / "mine", "--resume")
    assert (code, "--page" in err, "exists" in err) == (2, True, True)
    later = ("--page", tmp_path / "later", "--resume")  # of a run that has ended, without a network
    code, _, err = run(*given, *files, *later)
    assert (code, "nothing is left to do" in err) == (0, True)
    assert facts_of(tmp_path / "later" / "index.html") == made
    assert (tmp_path / "out" / "predictions.csv").read_bytes() == csv


@pytest.mark.slow
def test_the_command_of_a_page_is_what_a_shell_reads(trained, tmp_path, run):
    words = [NASTY, "it's", "-x", "a b", "caf\udce9", "$HOME `id` \\n", "\x9b31m", "日本"]
    line = quote_words(["printf", "%s\\0", *words])
    assert all(each.isprintable() for each in line)
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    assert [os.fsdecode(each) for each in done.stdout.split(b"\0")[:-1]] == words

    photos = photograph(tmp_path / "my photos")
    given = ("--checkpoint", trained[0], "--topk", 2, "--multi", "--sort", "uncertain")
    page = ("--page", tmp_path / "page", "--threshold", 0.4, "--min-score", 0.2, "--force")
    assert run("predict", *page, photos, *given)[0] == 1
    text = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    drafts = json.loads(re.search(r'id="drafts">(.*?)</script>', text, re.S)[1])
    *words, force = shlex.split(drafts["command"])
    at = words.index("--page")
    assert (words[at + 1], force) == (str(tmp_path / "page"), "--force")  # it is in the way
    del words[at : at + 2]
    assert words == ["wsol", "predict", str(photos), *map(str, given)]
    assert run(*shlex.split(drafts["command"])[1:], "--threshold", 0.3)[0] == 1  # once more
    assert (drafts["threshold"], drafts["minScore"]) == (0.4, 0.2)
    assert "as it was asked for" in text


def write_many(folder, count, contours="largest"):
    """A page of so many images, every tenth of a name that would do harm, with one unreadable."""
    Image.new("RGB", (50, 40), (120, 90, 60)).save(folder / "grey.png")
    random = np.random.default_rng(1)
    results = []
    for i in range(count):
        raw = random.random((7, 7)).astype(np.float32)
        name = f"class {i % 3} {NASTY if i % 10 == 0 else ''}"
        found = localize(raw, 0.3, contours, folder / "grey.png", name, (i % 100) / 100)
        results.append((found.path, found))
    results[1] = (folder / "gone.png", ImageError(f"{folder}/gone.png: no such file {NASTY}"))
    model = create_model("resnet18", num_classes=3)
    kind = Localizer(model, threshold=0.3, contours=contours, device="cpu")
    asked = DraftPage(folder / "page", ("wsol", "predict", NASTY))
    asked.folder.mkdir()
    return write_drafts(asked, results, count, count, kind, SILENT), results


@pytest.mark.slow
@pytest.mark.parametrize(("dark", "width"), [(False, 1280), (True, 500)])
@pytest.mark.parametrize("contours", ["largest", "outer"])
def test_the_slider_in_a_browser(tmp_path, dark, width, contours):
    page, results = write_many(tmp_path, 30, contours)
    drafts = [result for _, result in results if not isinstance(result, ImageError)]
    with opened(page, dark, width) as driver:
        from selenium.webdriver.common.by import By
        from selenium.webdriver.common.keys import Keys

        def get(name):
            return driver.find_element(By.ID, name)

        def paths():
            cards = "[...document.querySelectorAll('#cards path.predicted')]"
            return driver.execute_script(f"return {cards}.map((each) => each.getAttribute('d'))")

        def boxes(path):
            found = re.findall(r"M(\S+?) (\S+?)H(\S+?)V(\S+?)H\S+?Z", path)
            return [[float(x0), float(y0), float(x1), float(y1)] for x0, y0, x1, y1 in found]

        assert get("value").text == "0.3"
        paper = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") is not dark
        assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        slider = get("threshold")
        for threshold in THRESHOLDS:
            driver.execute_script(
                "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))",
                slider, round(threshold * 200),
            )  # fmt: skip
            assert float(get("value").text) == threshold
            expected = [localize(each.steps[-1].raw, threshold, contours).boxes for each in drafts]
            assert all(same(boxes(d), e) for d, e in zip(paths(), expected, strict=True))
        assert all(path == "" for path in paths())  # at 1

        slider.send_keys(Keys.HOME)
        assert get("value").text == "0"
        slider.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
        assert get("value").text == "0.01"
        assert slider.get_attribute("aria-valuetext") == "0.01"
        command = driver.execute_script("return document.getElementById('command').textContent")
        assert command == f"wsol predict {quote_words([NASTY])} --threshold 0.01"
        slider.send_keys(Keys.TAB)
        assert driver.switch_to.active_element == get("back")
        outline = "return getComputedStyle(document.activeElement).outlineStyle"
        assert driver.execute_script(outline) == "solid"
        driver.switch_to.active_element.send_keys(Keys.ENTER)
        assert get("value").text == "0.3"
        get("copy").send_keys(Keys.ENTER)
        driver.implicitly_wait(5)
        assert driver.find_element(By.XPATH, "//*[@id='copied'][.!='']").text.startswith("Copied")
        assert driver.execute_script("return window.hacked") is None
        assert driver.get_log("browser") == []
        assert requests_of(driver) == []


@pytest.mark.slow
def test_the_filters_of_drafts_in_a_browser(tmp_path):
    page, results = write_many(tmp_path, 30)
    drafts = [result for _, result in results if not isinstance(result, ImageError)]
    with opened(page) as driver:
        from selenium.webdriver.common.by import By
        from selenium.webdriver.common.keys import Keys
        from selenium.webdriver.support.select import Select

        def get(name):
            return driver.find_element(By.ID, name)

        def shown():
            items = "[...document.querySelectorAll('#cards > li')]"
            return driver.execute_script(f"return {items}.map((each) => !each.hidden)")

        slider = get("threshold")
        Select(get("class")).select_by_visible_text("class 1")
        assert shown() == [each.name == "class 1 " for each in drafts]
        get("reset").send_keys(Keys.ENTER)
        assert all(shown())
        get("score").send_keys(Keys.CONTROL, "a", Keys.NULL, "0.2")
        assert shown() == [each.score >= 0.2 for each in drafts]
        assert get("command").text.endswith("--threshold 0.3 --min-score 0.2")
        get("reset").send_keys(Keys.ENTER)
        regions = [len(localize(each.steps[-1].raw, 0.3, "outer").boxes) for each in drafts]
        Select(get("regions")).select_by_value("2")
        assert shown() == [count >= 2 for count in regions]
        Select(get("regions")).select_by_value("0")
        assert not any(shown())
        assert get("nothing").is_displayed()
        slider.send_keys(Keys.END)
        assert all(shown())  # the number of regions is that of the present threshold
        get("reset").send_keys(Keys.ENTER)

        opacity = "return getComputedStyle(document.querySelector('#cards .map')).opacity"
        assert driver.execute_script(opacity) == "0"
        get("map").send_keys(Keys.SPACE)
        assert driver.execute_script(opacity) == "0.68"
        assert "1 image could not be read" in get("unreadable").text

        assert driver.execute_script("return window.hacked") is None
        assert driver.get_log("browser") == []
        assert requests_of(driver) == []


@pytest.mark.slow
def test_more_than_five_hundred_images_are_on_several_pages(tmp_path):
    page, _ = write_many(tmp_path, 543)
    second = page.with_name("index-2.html")
    assert [len(facts_of(each)) for each in (page, second)] == [500, 43]
    with opened(page) as driver:
        from selenium.webdriver.common.by import By
        from selenium.webdriver.common.keys import Keys

        assert "Images 1 to 500 of 543" in driver.find_element(By.TAG_NAME, "header").text
        pictures = "return document.querySelectorAll('#cards img.photo').length"
        assert driver.execute_script(pictures) < 100  # of those in sight alone
        driver.find_element(By.ID, "threshold").send_keys(Keys.HOME)
        driver.find_element(By.LINK_TEXT, "Page 2").click()
        assert driver.find_element(By.ID, "value").text == "0"
        assert "index-2.html" in driver.current_url
        assert len(driver.find_elements(By.CSS_SELECTOR, "#cards > li")) == 43
