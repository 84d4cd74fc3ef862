"""The app in the browser, served with the weights that come along."""

import socket
from contextlib import contextmanager

from tdam import load_checkpoint
from wsol import Localizer
from wsol.browser_app import BrowserApp
from wsol.browser_page import create_page, launch_page
from wsol.classes import class_names


@contextmanager
def serve():
    """Serves it on a free port; gives its address and the page."""
    model, _ = load_checkpoint("efficientnet_lite0_tdam")
    app = BrowserApp(Localizer(model), class_names(1000))
    page = create_page(app, "a network")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    try:
        yield launch_page(page, "127.0.0.1", port, opens=False), page
    finally:
        page.close()
        app.close()
