"""Pages at every width, and views that are shared by their address, as a browser shows them."""

import re
from urllib.parse import parse_qs

import numpy as np
import pytest
from browser import opened
from small_reports import EVIL, IDS, NAMES, make_world
from test_wsol_browser import write_shift
from test_wsol_drafts import write_many
from test_wsol_summary import sample

from wsol.benchmarking.page import write_summary_page
from wsol.benchmarking.summary import summarise

HOSTILE = (
    "=",
    'class=<script>window.hacked=1</script>&file="><img src=x onerror=window.hacked=1>',
    "threshold=1e999&map=-5&page=99999999999&step=0.5&score=nan&sort=__proto__&show=constructor",
    "threshold=javascript:alert(1)&image=../../etc/passwd&run=toString&agree=-1&regions=NaN",
    "%E0%A4%A&%=%&&&==&image=%00&class=%FF&search=%FF",
    "image=__proto__&step=1&page=0&map=101&marks=maybe",
    f"search={'x' * 100_000}&file={'y' * 100_000}",
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Each kind of page, and what a person can change on it: a control, a key of the address."""
    home = tmp_path_factory.mktemp("views")
    for name in ("shift", "drafts"):
        (home / name).mkdir()
    drafts, _ = write_many(home / "drafts", 12)
    return {
        "report": (make_world(home / "report").page, ("sort", "class", "text")),
        "shift": (write_shift(home / "shift"), ("sort", "filter", "search")),
        "drafts": (drafts, ("threshold", "class", "regions")),
    }


def wait_for(driver, condition):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(driver, 20).until(lambda _: condition())


def fragment(driver):
    return driver.execute_script("return location.hash")


# What is to be seen: every control, which images are shown in which order, and the open one.
_STATE = """
const values = [...document.querySelectorAll("main select, main input:not(.scrub)")].map(
  (each) => each.type === "checkbox" ? each.checked : each.value);
const all = [...document.querySelectorAll("#cards > li, article.card")];
const cards = all.filter((each) => !each.hidden);
const open = document.querySelector("dialog[open] h2");
return JSON.stringify([values, cards.map((each) => each.textContent), open && open.textContent]);
"""


def state(driver):
    return driver.execute_script(_STATE)


def change(driver, name):
    """Do to a control what a person does: choose the last of a list, move, write."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.select import Select

    control, before = driver.find_element(By.ID, name), fragment(driver)
    if control.tag_name == "select":
        Select(control).select_by_index(len(control.find_elements(By.TAG_NAME, "option")) - 1)
    elif control.get_attribute("type") == "range":
        control.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    else:
        control.send_keys("a")
    wait_for(driver, lambda: fragment(driver) != before)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["report", "shift", "drafts"])
def test_a_view_is_shared_by_its_address(pages, kind):
    page, controls = pages[kind]
    with opened(page) as driver:
        seen = [(fragment(driver), state(driver))]
        for name in controls:
            change(driver, name)
            seen.append((fragment(driver), state(driver)))
        assert len({each for _, each in seen}) == len(seen)
        driver.refresh()
        wait_for(driver, lambda: state(driver) == seen[-1][1])
        for way, entries in (("back", seen[-2::-1]), ("forward", seen[1:])):
            for hash_, wanted in entries:
                driver.execute_script(f"history.{way}()")
                wait_for(driver, lambda hash_=hash_: fragment(driver) == hash_)
                wait_for(driver, lambda wanted=wanted: state(driver) == wanted)
        driver.get("about:blank")
        driver.get(page.as_uri() + seen[-1][0])  # whom it was sent to
        wait_for(driver, lambda: state(driver) == seen[-1][1])
        driver.execute_script("location.hash = '#main'")  # a link to a part leaves the view
        assert state(driver) == seen[-1][1]
        assert driver.get_log("browser") == []


@pytest.mark.slow
def test_an_image_of_the_report_is_shared_by_its_address(pages):
    page, _ = pages["report"]
    with opened(page) as driver:
        from selenium.webdriver.common.by import By
        from selenium.webdriver.common.keys import Keys

        def title():
            return driver.execute_script(
                "return document.querySelector('dialog[open] h2')?.textContent"
            )

        card = driver.find_elements(By.CLASS_NAME, "card")[1]
        driver.execute_script("arguments[0].click()", card)
        wait_for(driver, lambda: parse_qs(fragment(driver)[1:]).get("image") == [IDS[1]])
        driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
        wait_for(driver, lambda: parse_qs(fragment(driver)[1:]).get("image") == [IDS[2]])
        driver.refresh()
        wait_for(driver, lambda: title() == f"{NAMES[0]}: {IDS[2]}")
        driver.back()
        wait_for(driver, lambda: title() == f"{NAMES[1]}: {IDS[1]}")
        driver.back()
        wait_for(driver, lambda: title() is None)
        driver.forward()
        wait_for(driver, lambda: title() == f"{NAMES[1]}: {IDS[1]}")
        driver.find_element(By.ID, "close").click()
        wait_for(driver, lambda: fragment(driver) == "")
        assert driver.execute_script("return window.hacked") is None
        assert driver.get_log("browser") == []


@pytest.mark.slow
@pytest.mark.fault("input: an address that would run or break a page")
@pytest.mark.parametrize("kind", ["report", "shift", "drafts"])
def test_hostile_addresses_do_nothing(pages, kind, record_property):
    page, _ = pages[kind]
    with opened(page) as driver:
        plain = state(driver)
        texts = ("file", "search")
        for tail in HOSTILE:
            driver.get("about:blank")
            driver.get(f"{page.as_uri()}#{tail}")
            if not any(f"{name}=" in tail for name in texts):  # which are shown as they are
                assert state(driver) == plain, tail
            assert driver.execute_script("return window.hacked") is None
            assert [each for each in driver.get_log("browser") if EVIL not in str(each)] == []
    record_property("tried", len(HOSTILE))


@pytest.mark.slow
@pytest.mark.parametrize("width", [500, 1280, 1920])
def test_the_shift_uses_the_width(pages, width):
    page, _ = pages["shift"]
    with opened(page, width=width) as driver:
        rows = driver.execute_script(
            """const main = document.querySelector("main").clientWidth - 40;
            return [...document.querySelectorAll("article.card > .row")].map((row) => {
              const figures = [...row.querySelectorAll("figure")];
              const boxes = figures.map((each) => each.getBoundingClientRect());
              const first = boxes.filter((box) => box.top === boxes[0].top);
              return [first.at(-1).right - first[0].left, main, boxes.map((box) => box.width)];
            });"""
        )
        assert len(rows) == 3
        for used, main, widths in rows:
            assert used > 0.97 * main
            assert max(widths) - min(widths) < 1  # maps to compare are of one size
            assert min(widths) >= 230
        assert clipped(driver, ".bar li, figcaption, td, th") == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 500, 1280, 1920])
def test_no_label_of_a_chart_is_clipped(tmp_path, width):
    names = ["none", "W" * 40, "日本語の注意" * 6, "a/b_c-" * 12, "i"]
    random = np.random.default_rng(0)
    runs = [
        sample(name, seed, 40 + 8 * at + random.normal(size=1001))
        for at, name in enumerate(names)
        for seed in (0, 1)
    ]
    page = write_summary_page(tmp_path, summarise(runs, "none"), title="Names")
    with opened(page, width=width) as driver:
        shown = driver.execute_script(
            "return [...document.querySelectorAll('.forest .label')].map((it) => it.textContent)"
        )
        assert [re.sub(", val$", "", name) for name in shown] == names[1:]
        assert clipped(driver, ".forest .label, .forest text") == []


def clipped(driver, selector):
    """Texts that end outside the page, or outside of a box that cuts them off."""
    return driver.execute_script(
        """return [...document.querySelectorAll(arguments[0])].filter((each) => {
          const range = document.createRange();
          range.selectNodeContents(each);
          const box = range.getBoundingClientRect();
          if (box.width === 0 || each.closest(".scroll")) return false;
          return box.left < 0 || box.right > document.documentElement.clientWidth
            || each instanceof HTMLElement && each.scrollWidth > each.clientWidth + 1;
        }).map((each) => each.textContent);""",
        selector,
    )
