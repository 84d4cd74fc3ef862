"""Pages as a browser shows them: what names say is text, and keyboard and mouse do all."""

import dataclasses

import numpy as np
import pytest
from browser import opened, requests_of
from PIL import Image
from small_reports import EVIL, IDS, NAMES, make_maps, make_split, make_world, score
from small_shifts import SQUARE, blob, localized

from wsol.attention_shift.files import ShiftWriter
from wsol.attention_shift.trace import trace_shift
from wsol.report import read_run, write_report


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("report"))


def write_shift(folder):
    """A page of three images: attention jumps on the first, stays on the second, and the third's
    network sees it once."""
    places = {
        EVIL.replace("/", ".") + ".png": [(0.2, 0.5), (0.8, 0.5)],
        "\" onload='window.hacked=1'.png": [(0.3, 0.3), (0.3, 0.3)],
        "ça 日本.png": [(0.5, 0.5)],
    }
    with ShiftWriter(folder, f"network {EVIL}") as writer:
        for name, spots in places.items():
            path = folder / name
            Image.new("RGB", (200, 100), (120, 90, 60)).save(path)
            maps = [blob(*spot) for spot in spots]
            light = {f"layer {EVIL}": np.stack(maps[1:])} if len(maps) > 1 else {}
            traced = localized(*maps, path=path, searchlights=light)
            named = dataclasses.replace(traced, name=f"{NAMES[0]} {name}")
            writer.add(trace_shift(named, 0.2, SQUARE, np.array([[20, 20, 80, 80]])))
    return writer.page


@pytest.mark.slow
@pytest.mark.parametrize(("dark", "width"), [(False, 1280), (True, 500)])
def test_a_shift_in_a_browser(tmp_path, dark, width):
    with opened(write_shift(tmp_path), dark, width) as driver:
        from selenium.webdriver.common.by import By
        from selenium.webdriver.common.keys import Keys
        from selenium.webdriver.support.select import Select

        def get(name):
            return driver.find_element(By.ID, name)

        def files():
            found = driver.find_elements(By.CSS_SELECTOR, ".card small")
            return [each.text for each in found if each.is_displayed()]

        first, second, third = given = files()
        assert EVIL.replace("/", ".") in first
        paper = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") is not dark
        assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")

        opacity = "return getComputedStyle(document.querySelector('.map')).opacity"
        get("opacity").send_keys(Keys.HOME)
        assert driver.execute_script(opacity) == "0"
        get("opacity").send_keys(Keys.END)
        assert driver.execute_script(opacity) == "1"
        marks = driver.find_element(By.CSS_SELECTOR, ".box .line")
        get("marks").send_keys(Keys.SPACE)
        assert marks.value_of_css_property("visibility") == "hidden"
        get("marks").send_keys(Keys.SPACE)
        assert marks.value_of_css_property("visibility") == "visible"

        scrub = driver.find_element(By.CLASS_NAME, "scrub")
        scrub.send_keys(Keys.ARROW_RIGHT)
        shown = driver.find_elements(By.CSS_SELECTOR, ".card:first-of-type .frame:not([hidden])")
        assert [each.find_element(By.TAG_NAME, "use").get_attribute("href") for each in shown] == [
            "#step-1-2"
        ]
        Select(get("filter")).select_by_value("other")
        assert files() == [first]
        Select(get("filter")).select_by_value("all")
        Select(get("sort")).select_by_value("file")
        assert files() == sorted(given, key=lambda name: [second, first, third].index(name))
        get("search").send_keys("日本")
        assert files() == [third]
        assert not get("nothing").is_displayed()
        get("search").send_keys("no such")
        assert files() == []
        assert get("nothing").is_displayed()
        assert get("count").text == "0 of 3"

        assert driver.execute_script("return window.hacked") is None
        assert driver.get_log("browser") == []
        assert requests_of(driver) == []


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


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_a_report_in_a_browser(world, dark):
    with opened(world.page, dark) as driver:
        from selenium.webdriver.common.by import By
        from selenium.webdriver.common.keys import Keys
        from selenium.webdriver.support.select import Select
        from selenium.webdriver.support.ui import WebDriverWait

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
        get("reset").send_keys(Keys.ENTER)
        rows = [run.rows for run in world.runs]
        only = [i for i in IDS if rows[1][i]["error"] is None and rows[0][i]["error"] is not None]
        Select(get("differ")).select_by_value("1")
        assert names() == only
        get("reset").send_keys(Keys.ENTER)
        get("text").send_keys("日本")
        assert names() == [IDS[2]]
        get("reset").send_keys(Keys.ENTER)

        card = driver.find_element(By.CLASS_NAME, "card")
        driver.execute_script("arguments[0].focus()", card)
        driver.switch_to.active_element.send_keys(Keys.ENTER)
        assert get("detail").get_attribute("open") is not None
        assert IDS[0] in get("detail-title").text
        driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
        assert IDS[1] in get("detail-title").text
        driver.switch_to.active_element.send_keys(Keys.ESCAPE)
        assert get("detail").get_attribute("open") is None
        WebDriverWait(driver, 10).until(  # the focus comes back after the dialog is closed
            lambda it: IDS[1] in (it.switch_to.active_element.get_attribute("aria-label") or "")
        )

        head = driver.find_element(By.CSS_SELECTOR, "#table-classes th:nth-child(2) button")
        driver.execute_script("arguments[0].click()", head)
        first = driver.find_element(By.CSS_SELECTOR, "#table-classes tbody th")
        assert first.text == NAMES[0]

        assert driver.execute_script("return window.hacked") is None
        assert driver.get_log("browser") == []
        assert requests_of(driver) == []
        assert driver.execute_script("return Number(document.documentElement.dataset.ready)") < 2000
