"""The page of the app in the browser: what lies where, and what asks for what."""

from __future__ import annotations

import os
from abc import ABCMeta
from typing import TYPE_CHECKING, Any

from wsol.boxes import DEFAULT_THRESHOLD
from wsol.browser_app import MOST_PROBABLE, describe_broken
from wsol.browser_guard import MOST_BYTES, HostGuard
from wsol.images import ImageError
from wsol.writers import WRITERS

if TYPE_CHECKING:
    from wsol.browser_app import BrowserApp

_BOX_COLUMNS = ["class", "probability", "x0", "y0", "x1", "y1"]
_FULL = "This photograph takes more memory or disk than there is."
# The buttons of a picture stand above it, where they cover nothing of it.
_STYLE = ".tools-above .image-frame { padding-top: 2.2rem; }"
# Pictures are drawn for the page as it is shown: the last of the inputs.
_SEE_THEME = "(...all) => [...all.slice(0, -1), document.body.classList.contains('dark')]"
# Draws anew what stands there when the page turns dark or light.
_FOLLOW_THEME = """() => {
  const isDark = () => document.body.classList.contains("dark");
  let dark = isDark();
  new MutationObserver(() => {
    if (isDark() === dark) return;
    dark = isDark();
    document.querySelector("#draw-anew").click();
  }).observe(document.body, {attributes: true, attributeFilter: ["class"]});
}"""

_FOR_PROGRAMS = ("huggingface", "npy")  # formats that nobody takes along from a page


def _create_photograph(gradio: Any, **options: Any) -> Any:
    """Create the input for one photograph, which gives its path whatever lies there.

    What it is, and whether it can be read, is asked by us, and said in our words. It is a class of
    its own because gradio builds another of the class where an example is clicked.
    """

    def take_path(self: Any, payload: Any) -> str | None:
        return None if payload is None else payload.path

    # Not by a class statement, for which gradio writes a file beside this one.
    own = {"is_template": True, "preprocess": take_path}  # a template looks like its base
    kind: Any = ABCMeta.__new__(type(gradio.Image), "Photograph", (gradio.Image,), own)
    return kind(**options)


class _Answers:
    """What events of the page call: the app's answers, or a sentence of what went wrong."""

    def __init__(self, app: BrowserApp, gradio: Any) -> None:
        self.app = app
        self.gradio = gradio

    def localize(self, *inputs: Any) -> tuple[Any, ...]:
        try:
            return *self.app.localize(*inputs), ""
        except ImageError as error:
            return None, None, [], describe_broken(error)
        except (MemoryError, OSError):
            return None, None, [], _FULL

    def export(self, *inputs: Any) -> tuple[str | None, str]:
        try:
            return self.app.export(*inputs), ""
        except ImageError as error:
            return None, describe_broken(error)
        except (MemoryError, OSError):
            return None, _FULL

    def export_all(
        self,
        paths: list[str] | None,
        class_name: str,
        threshold: float,
        every: bool,
        kind: str,
        tell: Any,
    ) -> tuple[str | None, str]:
        count = len(paths or ())

        def advance(done: int) -> None:
            tell((done, count), unit="photographs")

        try:
            return self.app.export_all(paths or (), class_name, threshold, every, kind, advance)
        except (MemoryError, OSError):
            return None, "These photographs take more memory or disk than there is."

    def find(self, text: str, chosen: str) -> Any:
        return self.gradio.Dropdown(choices=self.app.find_classes(text, chosen))

    def take_first(self, text: str, chosen: str) -> Any:
        found = self.app.find_classes(text, chosen)
        first = next((name for name in found if name not in (MOST_PROBABLE, chosen)), chosen)
        return self.gradio.Dropdown(choices=found, value=first if text.strip() else MOST_PROBABLE)

    def show_button(self, alone: bool) -> tuple[Any, Any]:
        button = self.gradio.Button
        return button(visible=alone), button(visible=not alone)


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
    answers = _Answers(app, gradio)
    progress_bar = gradio.Progress()

    def export_all(
        paths: Any, wanted: Any, level: Any, every: Any, kind: Any, bar: Any = progress_bar
    ) -> Any:
        return answers.export_all(paths, wanted, level, every, kind, bar)

    with gradio.Blocks(
        title="wsol",
        analytics_enabled=False,
        delete_cache=(1800, 1800),  # looks each half hour for those older: an hour at most
    ) as page:
        gradio.Markdown(f"### Boxes from a classifier that never saw a box\n{about}")
        with gradio.Row():
            with gradio.Column(scale=1, min_width=280):
                with gradio.Tab("one photograph") as of_one:
                    photograph = _create_photograph(
                        gradio, type="filepath", image_mode=None, label="photograph",
                        sources=["upload", "clipboard"], height=280,
                    )  # fmt: skip
                    gradio.Examples(
                        [str(path) for path in app.copy_examples()], photograph,
                        label="photographs to try",
                    )  # fmt: skip
                with gradio.Tab("many") as of_many:
                    photographs = gradio.File(
                        file_count="multiple", file_types=["image"], label="photographs", height=280
                    )
                text = gradio.Textbox(label="find a class", placeholder="a name, or a part of it")
                wanted = gradio.Dropdown(
                    [MOST_PROBABLE, *app.choices], value=MOST_PROBABLE, label="class",
                    filterable=False, num_choices_shown=None,
                )  # fmt: skip
                threshold = gradio.Slider(
                    0, 1, value=app.start, step=0.005, label="threshold",
                    info=f"share of the map's maximum; classic: {DEFAULT_THRESHOLD}",
                )  # fmt: skip
                every = gradio.Checkbox(label="a box for every region")
                kind = gradio.Dropdown(
                    [name for name in WRITERS if name not in _FOR_PROGRAMS], value="coco-dataset",
                    label="format of the file",
                )  # fmt: skip
                dark = gradio.Checkbox(label="dark", visible=False)
                anew = gradio.Button("draw anew", visible="hidden", elem_id="draw-anew")
                one = gradio.Button("make the file")
                many = gradio.Button("find all boxes and make the file", visible=False)
                file = gradio.File(label="file", interactive=False, height=90)
            with gradio.Column(scale=3, min_width=420):
                said = gradio.Textbox(
                    show_label=False, container=False, interactive=False, visible=False, lines=1,
                    max_lines=12,
                )  # fmt: skip
                plain: dict[str, Any] = {
                    "show_label": False,
                    "format": "png",
                    "interactive": False,
                    "buttons": ["fullscreen", "download"],
                    "elem_classes": "tools-above",
                }
                picture = gradio.Image(**plain, alt_text="boxes and map")
                table = gradio.Dataframe(headers=_BOX_COLUMNS, interactive=False, show_label=False)
                steps = gradio.Image(**plain, alt_text="attention shift")
        choices = [wanted, threshold, every]
        changes = [photograph.change, wanted.change, threshold.release, every.input]
        page.load(None, js=_FOLLOW_THEME)
        gradio.on(
            [*changes, anew.click],
            answers.localize,
            [photograph, *choices, dark],
            [picture, steps, table, said],
            api_name="localize",
            show_progress="minimal",
            trigger_mode="always_last",
            js=_SEE_THEME,
        )
        # The old file is of old boxes.
        gradio.on(changes, lambda: None, None, file, queue=False, api_visibility="private")
        private: dict[str, Any] = {"queue": False, "api_visibility": "private"}
        said.change(lambda it: gradio.Textbox(visible=bool(it)), said, said, **private)
        text.input(answers.find, [text, wanted], wanted, show_progress="hidden", **private)
        text.submit(answers.take_first, [text, wanted], wanted, show_progress="hidden", **private)
        of_one.select(lambda: answers.show_button(True), None, [one, many], **private)
        of_many.select(lambda: answers.show_button(False), None, [one, many], **private)
        one.click(answers.export, [photograph, *choices, kind], [file, said], api_name="export")
        many.click(export_all, [photographs, *choices, kind], [file, said], api_name="export_all")
    for block in page.blocks.values():  # the examples are not of those that are gone in an hour
        block.keep_in_cache |= block.temp_files
    return page


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
        css=_STYLE,
    )
    return str(address)
