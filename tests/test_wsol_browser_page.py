"""The app as a person uses it: photographs to try, many at once, files taken along, and dark."""

import json
import re
import time
import zipfile
from importlib import resources

import numpy as np
import pytest
from browser import opened
from PIL import Image

pytest.importorskip("gradio")

from tdam import load_checkpoint
from wsol.browser_app import MOST_PROBABLE, BrowserApp
from wsol.classes import class_names
from wsol.demo import copy_photos
from wsol.localizer import Localizer
from wsol.palette import paper
from wsol.prediction import predict


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return {path.name: path for path in copy_photos(tmp_path_factory.mktemp("photographs"))}


class Visit:
    """A browser at the app, and what a person does there."""

    def __init__(self, driver):
        from selenium.webdriver.common.by import By

        self.driver, self.by = driver, By

    def all(self, selector):
        return self.driver.find_elements(self.by.CSS_SELECTOR, selector)

    def wait(self, condition, seconds=60):
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, seconds).until(lambda _: condition())

    def text(self):
        return self.driver.find_element(self.by.TAG_NAME, "body").text

    def press(self, name):
        found = self.driver.find_elements(self.by.XPATH, f"//button[normalize-space()='{name}']")
        shown = next(each for each in found if each.is_displayed())
        self.driver.execute_script("arguments[0].click()", shown)

    def pictures(self):
        script = """return [...document.querySelectorAll(".tools-above img")]
          .filter((each) => each.complete && each.naturalWidth > 0).map((each) => each.src);"""
        return self.driver.execute_script(script)

    def pixel(self, at):
        """Colour of a corner of the first picture, as it is shown."""
        return self.driver.execute_script(
            """const image = document.querySelector(".tools-above img");
            const canvas = Object.assign(document.createElement("canvas"), {width: 1, height: 1});
            const context = canvas.getContext("2d");
            context.drawImage(image, -arguments[0], -arguments[0]);
            return [...context.getImageData(0, 0, 1, 1).data];""",
            at,
        )


class visit:  # noqa: N801, used like a function
    def __init__(self, served, tmp_path, dark=False, width=1280):
        index = tmp_path / "index.html"
        index.write_text(f'<meta http-equiv="refresh" content="0; url={served[0]}">')
        self.opened = opened(index, dark, width)
        self.downloads = tmp_path / "downloads"

    def __enter__(self):
        driver = self.opened.__enter__()
        driver.execute_cdp_cmd(
            "Browser.setDownloadBehavior",
            {"behavior": "allow", "downloadPath": str(self.downloads)},
        )
        visitor = Visit(driver)
        visitor.wait(lambda: visitor.all("input[type=file]"))
        return visitor

    def __exit__(self, *error):
        self.opened.__exit__(*error)


def take_zip(visitor, folder):
    """Follow the link of the file, and wait until it is whole."""
    link = visitor.wait(lambda: visitor.all("a[download$='.zip']"))[0]
    visitor.driver.execute_script("arguments[0].click()", link)
    visitor.wait(lambda: folder.is_dir() and [*folder.glob("*.zip")])
    (path,) = folder.glob("*.zip")
    return zipfile.ZipFile(path)


@pytest.mark.slow
def test_a_file_of_many_holds_the_boxes_of_predict(served_app, pictures, tmp_path):
    """Uploaded, downloaded and opened: image by image what `wsol predict` writes, to the digit."""
    given = [pictures["coffee.png"], pictures["chelsea.png"], tmp_path / "torn.jpg"]
    given[2].write_bytes(pictures["rocket.jpg"].read_bytes()[:9000])
    with visit(served_app, tmp_path) as visitor:
        visitor.press("many")
        field = visitor.wait(lambda: visitor.all("input[type=file][multiple]"))[0]
        field.send_keys("\n".join(map(str, given)))
        visitor.wait(lambda: "torn.jpg" in visitor.text() or "torn" in visitor.text())
        visitor.press("find all boxes and make the file")
        with take_zip(visitor, tmp_path / "downloads") as file:
            found = json.loads(file.read("coco_dataset.json"))
        said = visitor.all("textarea[disabled]")[0].get_attribute("value").splitlines()
    assert said == [
        "Boxes of 2 photographs are in the file.",
        "torn.jpg: This photograph is truncated: the end of its file is missing.",
    ]
    model, _ = load_checkpoint("efficientnet_lite0_tdam")
    predict(
        model, given[:2], out=tmp_path / "out", formats=["coco-dataset"], threshold=model.threshold
    )
    wanted = json.loads((tmp_path / "out" / "coco_dataset.json").read_text())

    def boxes(content):
        names = {each["id"]: each["file_name"] for each in content["images"]}
        kinds = {each["id"]: each["name"] for each in content["categories"]}
        return {
            names[each["image_id"]]: (kinds[each["category_id"]], each["bbox"])
            for each in content["annotations"]
        }

    assert boxes(found) == boxes(wanted)
    assert set(boxes(found)) == {"coffee.png", "chelsea.png"}


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_a_photograph_to_try_is_shown_on_the_pages_own_paper(served_app, tmp_path, dark):
    with visit(served_app, tmp_path, dark) as visitor:
        thumbnail = visitor.wait(lambda: visitor.all(".gallery-item img"))[1]
        visitor.driver.execute_script("arguments[0].click()", thumbnail)
        visitor.wait(lambda: "espresso" in visitor.text())
        visitor.wait(lambda: len(visitor.pictures()) == 2)
        red = visitor.pixel(2)[0]
        assert red < 40 if dark else red > 250
        covered = visitor.driver.execute_script(
            """return [...document.querySelectorAll(".tools-above")].map((block) => {
              const image = block.querySelector("img").getBoundingClientRect();
              return [...block.querySelectorAll("button")].filter((each) => !each.contains(
                block.querySelector("img"))).map((each) => each.getBoundingClientRect())
                .filter((box) => box.width > 0 && box.bottom > image.top + 1).length;
            });"""
        )
        assert covered == [0, 0]
        scheme = {"name": "prefers-color-scheme", "value": "light" if dark else "dark"}
        visitor.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        visitor.wait(lambda: visitor.pixel(2)[0] > 250 if dark else visitor.pixel(2)[0] < 40)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["text", "bomb"])
def test_what_is_no_photograph_is_said_in_our_words(served_app, pictures, tmp_path, kind):
    """Before and after a click on an example, for which gradio makes a new input."""
    path, reason = tmp_path / f"{kind}.png", "This file cannot be read as a photograph; "
    path.write_text("no image")
    if kind == "bomb":
        Image.new("1", (20_000, 20_000)).save(path)
    with visit(served_app, tmp_path) as visitor:
        for clicks in (False, True):
            if clicks:
                thumbnail = visitor.wait(lambda: visitor.all(".gallery-item img"))[1]
                visitor.driver.execute_script("arguments[0].click()", thumbnail)
                visitor.wait(lambda: "espresso" in visitor.text())
                visitor.wait(lambda: visitor.all("button[aria-label='Remove Image']"))[0].click()
                visitor.wait(lambda: not visitor.all("textarea[disabled]"))
            visitor.wait(lambda: visitor.all("input[type=file]"))[0].send_keys(str(path))
            visitor.wait(lambda: visitor.all("textarea[disabled]"))
            said = visitor.all("textarea[disabled]")[0].get_attribute("value")
            assert reason in said, said
            assert "preprocess" not in visitor.text()


@pytest.mark.slow
def test_a_class_is_found_by_its_words(served_app, pictures, tmp_path):
    from selenium.webdriver.common.keys import Keys

    with visit(served_app, tmp_path) as visitor:
        visitor.all("input[type=file]")[0].send_keys(str(pictures["coffee.png"]))
        visitor.wait(lambda: "espresso" in visitor.text())
        field = visitor.driver.find_element(
            visitor.by.CSS_SELECTOR, "textarea[placeholder], input[placeholder]"
        )
        field.send_keys("cup")
        time.sleep(2)
        listed = visitor.all("input[role=combobox], input[role=listbox]")[0]
        listed.click()
        visitor.wait(lambda: 1 < len(visitor.all("ul[role=listbox] li")) < 9)
        names = [each.text.replace("✓", "").strip() for each in visitor.all("ul[role=listbox] li")]
        assert names[:3] == [MOST_PROBABLE, "measuring cup", "cup"]
        assert "porcupine" not in names
        listed.send_keys(Keys.ESCAPE)
        field.send_keys(Keys.ENTER)
        visitor.wait(lambda: re.search(r"measuring cup\s+0\.0", visitor.text()))


def test_classes_are_found_by_the_one_rule():
    model, _ = load_checkpoint("efficientnet_lite0_tdam")
    app = BrowserApp(Localizer(model), class_names(1000))
    assert app.find_classes("cup", MOST_PROBABLE) == [MOST_PROBABLE, "measuring cup", "cup"]
    assert app.find_classes("cup", "tench") == [MOST_PROBABLE, "tench", "measuring cup", "cup"]
    assert len(app.find_classes(" ", MOST_PROBABLE)) == 1001
    app.close()


def test_many_photographs_of_one_name_are_told_apart(pictures, tmp_path):
    """Two folders have a `coffee.png`: both are in the file, each with its own box."""
    model, _ = load_checkpoint("efficientnet_lite0_tdam")
    app, steps = BrowserApp(Localizer(model), class_names(1000)), []
    turned = tmp_path / "coffee.png"
    Image.open(pictures["coffee.png"]).transpose(Image.Transpose.ROTATE_90).save(turned)
    paths = [str(pictures["coffee.png"]), str(turned)]
    archive, said = app.export_all(paths, "espresso", 0.3, False, "csv", steps.append)
    assert said == "Boxes of 2 photographs are in the file."
    assert steps == [1, 2]
    with zipfile.ZipFile(archive) as file:
        lines = file.read("predictions.csv").decode().splitlines()
    assert [line.partition(",")[0] for line in lines[1:]] == ["coffee.png", "coffee-2.png"]
    model_boxes = [Localizer(model, threshold=0.3)(path, 504).boxes for path in paths]
    assert not np.allclose(model_boxes[0], model_boxes[1])
    none, said = app.export_all([str(tmp_path)], "espresso", 0.3, False, "csv")
    assert (none, said.partition(": ")[2]) == (
        None,
        "This file cannot be read as a photograph; JPEG, PNG, WebP, TIFF, BMP and GIF of up to 100 "
        "million pixels can.",
    )
    assert app.export_all([], "espresso", 0.3, False, "csv") == (None, "No photograph was given.")
    app.close()


def test_photographs_to_try_outlive_those_that_are_gone_in_an_hour(served_app):
    from gradio.route_utils import delete_files_created_by_app

    _, page = served_app
    shown = {path for block in page.blocks.values() for path in block.keep_in_cache}
    assert len(shown) == 5
    delete_files_created_by_app(page, 0)
    assert all(Image.open(path).size[0] > 100 for path in shown)


def test_dark_pictures_have_the_colours_of_dark_pages():
    import matplotlib

    style = (resources.files("wsol.pages") / "style.css").read_text()
    dark = style[style.index("prefers-color-scheme: dark") :]
    before = dict(matplotlib.rcParams)
    with paper(dark=True):
        ink, ground = (matplotlib.rcParams[name] for name in ("text.color", "figure.facecolor"))
    assert f"--ink: {ink};" in dark
    assert f"--paper: {ground};" in dark
    assert dict(matplotlib.rcParams) == before
