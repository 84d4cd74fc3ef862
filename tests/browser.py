"""A page in headless Chromium, and what it asks for."""

import json
import shutil
import time
from pathlib import Path

import pytest

# Scripts that take up room, which some rule for another thing can make them do.
_SHOWN_SCRIPTS = """return [...document.scripts]
  .filter((each) => getComputedStyle(each).display !== "none").map((each) => each.className);"""


class opened:  # noqa: N801, used like a function
    """Opens a page in headless Chromium, or skips the test where there is none."""

    def __init__(self, page, dark=False, width=1280):
        self.page, self.dark, self.width = page, dark, width

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
            "window-size={width},900",
        ):  # fmt: skip
            options.add_argument(f"--{flag.format(width=self.width)}")
        self.profile = Path(self.page).parent / f"profile-{time.monotonic_ns()}"
        options.add_argument(f"--user-data-dir={self.profile}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = selenium.Chrome(options=options, service=service.Service(places["chromedriver"]))
        self.driver = driver
        scheme = {"name": "prefers-color-scheme", "value": "dark" if self.dark else "light"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        driver.get("about:blank")
        driver.get_log("performance")  # forgets what the browser's own start page asked for
        driver.get(Path(self.page).as_uri())
        assert driver.execute_script(_SHOWN_SCRIPTS) == []
        return driver

    def __exit__(self, *error):
        self.driver.quit()
        shutil.rmtree(self.profile, ignore_errors=True)


def requests_of(driver):
    """What the page asked for, other than itself and what it holds."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [event["params"]["request"]["url"] for event in events
            if event["method"] == "Network.requestWillBeSent"]  # fmt: skip
    assert any(url.startswith("file:") and url.endswith(".html") for url in urls)
    own = ("data:", "file:", "chrome:", "chrome-untrusted:", "about:")
    return [url for url in urls if not url.startswith(own)]
