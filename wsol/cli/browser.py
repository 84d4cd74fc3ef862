"""`wsol app`: the same localizer in a browser, on this machine."""

from __future__ import annotations

import signal
import sys
from contextlib import closing, contextmanager
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from wsol.cli import common, networks
from wsol.cli.interrupts import Terminated, telling_what_is_kept
from wsol.cli.usage import fail

if TYPE_CHECKING:
    from collections.abc import Iterator


_KEPT = "all photographs are deleted here, and what was taken along is where the browser put it"


def browser(
    model: common.AnyModel = None,
    weights: common.Weights = "auto",
    checkpoint: common.Checkpoint = None,
    attention: common.Attention = None,
    steps: common.Steps = None,
    distance: common.Distance = None,
    searchlight: common.Searchlight = None,
    output_stride: common.OutputStride = None,
    method: common.Method = "auto",
    threshold: common.Threshold = None,
    host: Annotated[str, typer.Option(help="Where to listen; 0.0.0.0 for every network.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="Port to listen at.", min=1, max=65535)] = 7860,
    quiet: Annotated[bool, typer.Option("--no-browser", help="Open no browser.")] = False,
    device: common.Device = "auto",
    seed: common.Seed = 0,
    max_pixels: common.MaxPixels = None,
) -> None:
    """Localize in a browser: drop a photograph, move the threshold, take the boxes along.

    Photographs (100 MiB at most, 1000 MiB at once) stay on this machine, for an hour at most; boxes
    that were taken along, with the photographs for yolo, until it is closed or ended by a signal.
    It answers under this machine's names and --host alone. Needs gradio, the extra app.
    """
    asked = networks.attention_flags(attention, steps, distance, searchlight)
    networks.check_model(model, method, checkpoint, weights, **asked)
    common.check_threshold(threshold)
    from wsol.browser_app import BrowserApp
    from wsol.browser_page import create_page, launch_page

    network = networks.load_model(
        model, weights, seed, checkpoint, output_stride=output_stride, **asked
    )
    from tdam.spec import describe_network
    from wsol.classes import class_names
    from wsol.localizer import Localizer

    names = class_names(network.settings["num_classes"], network.class_names)
    method = networks.choose_method(network, method)
    localizer = Localizer(
        network, method, threshold, names=names, device=common.choose_device(device), batch_size=1
    )
    networks.note_threshold(network, threshold, localizer.threshold)
    about = f"{describe_network(network.settings)}, {method}, {len(names)} classes"
    interruptible = telling_what_is_kept(lambda: _KEPT)
    with interruptible, _stopping(), closing(BrowserApp(localizer, names)) as app:
        try:
            page = create_page(app, about)
        except ImportError as error:
            fail(f'the app needs gradio ({error}): pip install "gradio>=6"')
        try:
            address = launch_page(page, host, port, not quiet)
        except (OSError, ValueError) as error:
            message = f"cannot serve at {host}, port {port}: taken, or no address of this machine"
            raise typer.BadParameter(message, param_hint="--port") from error
        sys.stderr.write(f"{address} until Ctrl-C\n")
        try:
            Event().wait()  # gradio's own wait takes an interrupt for an end like any other
        finally:
            page.close(verbose=False)


@contextmanager
def _stopping() -> Iterator[None]:
    """Let every signal that asks to end stop the app as Ctrl-C does, so that nothing is left."""

    def stop(number: int, _: object) -> None:
        for each in signals:  # a second one must not cut the clearing up short
            signal.signal(each, signal.SIG_IGN)
        raise Terminated(number)

    names = ("SIGINT", "SIGTERM", "SIGHUP")  # not all on every system
    signals = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = [signal.signal(each, stop) for each in signals]
    try:
        yield
    finally:
        for each, handler in zip(signals, before, strict=True):
            signal.signal(each, handler)
