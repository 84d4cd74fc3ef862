"""An app in the browser: drop a photograph, see its boxes, map and steps, take the boxes along."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from threading import Lock
from typing import TYPE_CHECKING, Any

from wsol.attention_shift.trace import trace_shift
from wsol.boxes import DEFAULT_THRESHOLD
from wsol.browser_guard import MOST_BYTES, HostGuard
from wsol.images import ImageError, read_image
from wsol.out_files import listing
from wsol.writers import WRITERS, create_writer
from wsol.writers.names import unique_stem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL import Image

    from wsol.localizer import Localizer
    from wsol.results import Localization

MOST_PROBABLE = "the most probable"
_WITH_PHOTOGRAPH = ("yolo", "yolo-seg")  # formats that take it along
_BOX_COLUMNS = ["class", "probability", "x0", "y0", "x1", "y1"]


class BrowserApp:
    """What the page asks for. Calls from several threads wait for each other.

    Args:
        localizer: finds the boxes; the page chooses its threshold and contours
        names: of the classes
    """

    def __init__(self, localizer: Localizer, names: Sequence[str]) -> None:
        self.localizer = localizer
        self.names = tuple(names)
        self.choices = tell_apart(self.names)
        self.notes: Callable[[str], object] = lambda note: None
        self.start = localizer.threshold
        self._turn = Lock()
        self._files = TemporaryDirectory(prefix="wsol-app-", ignore_cleanup_errors=True)
        self.uploads = Path(self._files.name) / "uploads"

    def localize(
        self, path: str | None, class_name: str, threshold: float, every: bool
    ) -> tuple[Image.Image | None, Image.Image | None, list[list[Any]]]:
        """Find an object on a photograph.

        Args:
            path: of the photograph; None where there is none yet
            class_name: of the class that is wanted, or `MOST_PROBABLE`
            threshold: share of the map's maximum, in [0, 1]
            every: a box for every region, not only the largest

        Returns:
            the photograph with boxes and map; the steps, None for a network with one; and a row a
            box: class, probability, x0 y0 x1 y1 in pixels of the photograph

        Raises:
            ImageError: a file that cannot be read as an image
        """
        if path is None:
            return None, None, []
        image = read_image(Path(path))
        with self._turn:
            localization = self._localize(path, class_name, threshold, every)
            boxes = localization.boxes.round(1).tolist() or [["no box", None, None, None]]
            rows = [[localization.name, round(localization.score, 4), *box] for box in boxes]
            picture = localization.draw(image)
            if len(localization.steps) == 1:
                return picture, None, rows
            shift = trace_shift(localization, threshold, self.localizer.preprocessing)
            return picture, shift.draw(image), rows

    def export(
        self, path: str | None, class_name: str, threshold: float, every: bool, kind: str
    ) -> str | None:
        """Write the boxes of a photograph as another tool reads them.

        Args:
            path: as for `localize`, like the next three
            class_name: of the class that is wanted
            threshold: share of the map's maximum
            every: a box for every region
            kind: name of a format

        Returns:
            path of a zip archive, or None where there is no photograph yet

        Raises:
            ImageError: a file that cannot be read as an image
        """
        if path is None:
            return None
        with self._turn:
            localization = self._localize(path, class_name, threshold, every)
        if kind not in _WITH_PHOTOGRAPH:
            localization = replace(localization, path=Path(Path(path).name))
        home = Path(mkdtemp(dir=self._files.name))
        (home / "boxes").mkdir()
        with listing(home / "boxes"):  # so that no search takes its pictures for photographs
            writer = create_writer(kind, home / "boxes", self.names)
            writer.add(localization)
            writer.close()
        for note in writer.notes:
            self.notes(note)
        if kind in _WITH_PHOTOGRAPH:  # readers then take the folder that the file lies in
            _drop_path(home / "boxes" / kind / "data.yaml")
        archive = shutil.make_archive(
            str(home / f"{unique_stem(Path(path), set())}-{kind}"), "zip", home / "boxes"
        )
        shutil.rmtree(home / "boxes")
        return archive

    def close(self) -> None:
        """Remove what was uploaded, and what was made of it."""
        self._files.cleanup()

    def _localize(self, path: str, class_name: str, threshold: float, every: bool) -> Localization:
        self.localizer.threshold = threshold
        self.localizer.contours = "outer" if every else "largest"
        label = None if class_name == MOST_PROBABLE else self.choices.index(class_name)
        localization = self.localizer(path, label)
        if isinstance(localization, list):
            raise TypeError("Expected one localization for one photograph but got a list")
        return localization


def tell_apart(names: Sequence[str]) -> tuple[str, ...]:
    """Name classes so that every one can be chosen: those of equal names get their number too.

    >>> tell_apart(["crane", "dog", "crane"])
    ('crane (0)', 'dog', 'crane (2)')
    """
    counts = Counter(name.strip() for name in (MOST_PROBABLE, *names))
    numbered = [f"{name} ({label})" for label, name in enumerate(names)]
    told = [
        long if counts[name.strip()] > 1 else name
        for name, long in zip(names, numbered, strict=True)
    ]
    return tuple(told if len(set(told)) == len(told) else numbered)


def _drop_path(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(("path:", "# "))]
    file.write_text("# These boxes are predictions.\n" + "".join(kept), encoding="utf-8")


def _take_path(payload: Any) -> str | None:
    return None if payload is None else payload.path


def create_page(app: BrowserApp, about: str) -> Any:
    """Lay the page out.

    Args:
        app: answers
        about: what the network is, in a few words

    Returns:
        `gradio.Blocks`, to be launched

    Raises:
        ImportError: gradio is not installed
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # nothing leaves this machine
    os.environ["GRADIO_TEMP_DIR"] = str(app.uploads)  # which goes with the app
    import gradio

    app.notes = gradio.Info

    def answer(call: Any, *inputs: Any) -> Any:
        try:
            return call(*inputs)
        except ImageError as error:
            raise gradio.Error(describe_broken(error), print_exception=False) from error
        except (MemoryError, OSError) as error:
            message = "This photograph takes more memory or disk than there is."
            raise gradio.Error(message, print_exception=False) from error

    with gradio.Blocks(
        title="wsol",
        analytics_enabled=False,
        delete_cache=(
            1800,
            1800,
        ),  # looks every half hour for those older than that: an hour at most
    ) as page:
        gradio.Markdown(f"### Boxes from a classifier that never saw a box\n{about}")
        with gradio.Row():
            with gradio.Column(scale=1, min_width=280):
                photograph = gradio.Image(
                    type="filepath", image_mode=None, label="photograph",
                    sources=["upload", "clipboard"], height=280,
                )  # fmt: skip
                # What it is, and whether it can be read, is asked here, and said in our own words.
                photograph.preprocess = _take_path  # type: ignore[method-assign]
                wanted = gradio.Dropdown(
                    [MOST_PROBABLE, *app.choices],
                    value=MOST_PROBABLE,
                    label="class",
                    filterable=True,
                )
                threshold = gradio.Slider(
                    0, 1, value=app.start, step=0.005, label="threshold",
                    info=f"share of the map's maximum; classic: {DEFAULT_THRESHOLD}",
                )  # fmt: skip
                every = gradio.Checkbox(label="a box for every region")
                kind = gradio.Dropdown(
                    [name for name in WRITERS if name != "npy"], value="coco-dataset",
                    label="format of the file",
                )  # fmt: skip
                button = gradio.Button("make the file")
                file = gradio.File(label="file", interactive=False, height=90)
            with gradio.Column(scale=3, min_width=420):
                plain: dict[str, Any] = {
                    "show_label": False,
                    "format": "png",
                    "interactive": False,
                    "buttons": ["fullscreen", "download"],
                }
                picture = gradio.Image(**plain, alt_text="boxes and map")
                table = gradio.Dataframe(headers=_BOX_COLUMNS, interactive=False, show_label=False)
                steps = gradio.Image(**plain, alt_text="attention shift")
        choices = [photograph, wanted, threshold, every]
        changes = [photograph.change, wanted.input, threshold.release, every.input]
        gradio.on(
            changes,
            partial(answer, app.localize),
            choices,
            [picture, steps, table],
            api_name="localize",
            show_progress="minimal",
            trigger_mode="always_last",
        )
        # The old file is of old boxes.
        gradio.on(changes, lambda: None, None, file, queue=False, api_visibility="private")
        button.click(partial(answer, app.export), [*choices, kind], file, api_name="export")
    return page


def describe_broken(error: ImageError) -> str:
    """Say to who uploaded a file why nothing comes of it.

    >>> describe_broken(ImageError("/tmp/a.jpg: image file is truncated (3 bytes not processed)"))
    'This photograph is truncated: the end of its file is missing.'
    """
    if "truncated" in str(error):
        return "This photograph is truncated: the end of its file is missing."
    kinds = "JPEG, PNG, WebP, TIFF, BMP and GIF"
    return f"This file cannot be read as a photograph; {kinds} of up to 100 million pixels can."


def launch_page(page: Any, host: str, port: int, opens: bool) -> str:
    """Serve the page until this process ends, without waiting.

    Args:
        page: of `create_page`
        host: name or address to listen at
        port: to listen at
        opens: whether to open a browser

    Returns:
        the address

    Raises:
        OSError: host and port cannot be listened at
        ValueError: what is served cannot be reached from here
    """
    import gradio
    from starlette.middleware import Middleware

    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        inbrowser=opens,
        share=False,
        quiet=True,
        show_error=True,
        prevent_thread_lock=True,
        max_file_size=MOST_BYTES,
        app_kwargs={"middleware": [Middleware(HostGuard, host=host)]},
        theme=gradio.themes.Default(
            font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
        ),
        footer_links=[],
    )
    return str(address)
