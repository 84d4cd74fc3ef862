"""The app in the browser: what it answers over its own interface, and what leaves this machine."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import zipfile
from contextlib import ExitStack, suppress
from http.client import HTTPConnection
from urllib.parse import urlsplit

import numpy as np
import pytest
from browser import opened
from PIL import Image
from skimage import data as photographs

from wsol import Localizer
from wsol.cli import main

gradio = pytest.importorskip("gradio")
gradio_client = pytest.importorskip("gradio_client")

from tdam import load_checkpoint  # noqa: E402
from wsol.browser_app import (  # noqa: E402
    MOST_PROBABLE,
    BrowserApp,
    tell_apart,
)
from wsol.browser_guard import MOST_BYTES, HostGuard  # noqa: E402
from wsol.classes import class_names  # noqa: E402


@pytest.fixture(scope="module")
def cat(tmp_path_factory):
    """A photograph that its file stores on its side."""
    path = tmp_path_factory.mktemp("app") / "cat.jpg"
    turned = Image.fromarray(photographs.chelsea()).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(path, exif=exif, quality=95)
    return path


@pytest.fixture(scope="module")
def served(served_app):
    """The address of the app, with the weights that come along."""
    return served_app[0]


@pytest.fixture(scope="module")
def ask(served):
    client = gradio_client.Client(served, verbose=False)

    def call(path, *choices, to="/localize"):
        return client.predict(gradio_client.handle_file(path), *choices, api_name=to)

    return call


@pytest.mark.slow
def test_it_says_what_the_localizer_says(ask, cat):
    model, _ = load_checkpoint("efficientnet_lite0_tdam")
    for threshold, every in ((model.threshold, False), (0.6, True)):
        wanted = Localizer(model, threshold=threshold, contours="outer" if every else "largest")(
            cat
        )
        picture, steps, table, said = ask(cat, MOST_PROBABLE, threshold, every)
        assert said == ""
        rows = table["data"]
        assert {row[0] for row in rows} == {wanted.name}
        np.testing.assert_allclose([row[2:] for row in rows], wanted.boxes, atol=0.051)
        assert rows[0][1] == pytest.approx(wanted.score, abs=1e-4)
        width, height = Image.open(picture).size
        assert width > height  # upright
        assert Image.open(steps).size[0] > 500
    assert ask(cat, "tabby", 0.3, False)[2]["data"][0][0] == "tabby"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["coco-dataset", "yolo", "csv"])
def test_boxes_can_be_taken_along(ask, cat, kind):
    rows = ask(cat, "tabby", 0.3, False)[2]["data"]
    with zipfile.ZipFile(ask(cat, "tabby", 0.3, False, kind, to="/export")[0]) as file:
        names = file.namelist()
        assert not any(name.rpartition("/")[2].startswith(".") for name in names)
        if kind == "coco-dataset":
            content = json.loads(file.read("coco_dataset.json"))
            x, y, width, height = content["annotations"][0]["bbox"]
            np.testing.assert_allclose([x, y, x + width, y + height], rows[0][2:], atol=0.051)
            assert [each["file_name"] for each in content["images"]] == ["cat.jpg"]
        if kind == "yolo":
            assert file.read("yolo/images/train/cat.jpg") == cat.read_bytes()
            assert "yolo/labels/train/cat.txt" in names
            assert "path:" not in file.read("yolo/data.yaml").decode()
        if kind == "csv":
            assert "tabby" in file.read(names[0]).decode()


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "suffix"), [("L", "JPG"), ("RGBA", "png")])
def test_the_file_comes_as_it_is(ask, tmp_path, mode, suffix):
    """Grey and transparent images are read as predict reads them, under their own names."""
    image = Image.fromarray(photographs.chelsea()).convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    path = tmp_path / f"it.{suffix}"
    image.save(path)
    model, _ = load_checkpoint("efficientnet_lite0_tdam")
    wanted = Localizer(model, threshold=0.3)(path, 281)
    row = ask(path, "tabby", 0.3, False)[2]["data"][0]
    np.testing.assert_allclose(row[2:], wanted.boxes[0], atol=0.051)
    assert row[1] == pytest.approx(wanted.score, abs=1e-4)
    with zipfile.ZipFile(ask(path, "tabby", 0.3, False, "yolo", to="/export")[0]) as file:
        assert file.read(f"yolo/images/train/it.{suffix}") == path.read_bytes()


@pytest.mark.parametrize(
    ("start", "stop", "message"),
    [(0, 3000, "^This photograph is truncated"), (5000, 9000, "^This file cannot be read as a")],
)
def test_what_is_no_photograph_is_said(ask, cat, tmp_path, start, stop, message):
    path = tmp_path / "torn.jpg"
    path.write_bytes(cat.read_bytes()[start:stop])
    picture, steps, table, said = ask(path, MOST_PROBABLE, 0.2, False)
    assert (picture, steps, table["data"]) == (None, None, [])
    assert re.match(message, said)
    assert ask(path, MOST_PROBABLE, 0.2, False, "csv", to="/export") == (None, said)


@pytest.mark.fault("input: a page that asks the app in another's name")
def test_only_this_machine_is_answered(served, record_property):
    address = urlsplit(served)
    hosts = {
        f"127.0.0.1:{address.port}": 200,
        f"localhost:{address.port}": 200,
        "LOCALHOST": 200,
        "[::1]:7860": 200,
        "evil.example": 421,
        f"evil.example:{address.port}": 421,
        "localhost.evil.example": 421,
        "127.0.0.1.evil.example": 421,
        "192.168.0.7": 421,
        "": 421,
    }
    for host, wanted in hosts.items():
        connection = HTTPConnection(address.hostname, address.port)
        connection.putrequest("GET", "/config", skip_host=True)
        connection.putheader("Host", host)
        connection.endheaders()
        assert connection.getresponse().status == wanted, host
        connection.close()
    record_property("tried", len(hosts))


def test_hosts_of_an_app_for_every_network():
    for host, known in (
        ("0.0.0.0", ("192.168.0.7:80", "[fe80::1]:80", socket.gethostname(), "localhost")),
        ("my.box", ("my.box:7860", "MY.BOX", "127.0.0.1")),
    ):
        guard = HostGuard(None, host)
        assert all(map(guard.knows, known))
        assert not any(map(guard.knows, ("evil.example", "x.my.box", "", "[", "0.0.0.0.evil")))


@pytest.mark.fault("input: an upload without end")
def test_uploads_have_a_limit(served):
    address = urlsplit(served)
    head = b"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\n"
    head += b"Content-Type: multipart/form-data; boundary=x\r\n"
    for length in (b"104857600000", b"9" * 40):
        with socket.create_connection((address.hostname, address.port)) as link:
            link.sendall(head + b"Content-Length: " + length + b"\r\n\r\n--x\r\n")
            assert link.recv(100).split()[1] in (b"413", b"400")
    sent = 0
    with socket.create_connection((address.hostname, address.port)) as link, suppress(OSError):
        link.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        while sent < 3 * MOST_BYTES:
            chunk += bytes(2**20 - len(chunk))
            link.sendall(b"100000\r\n" + chunk + b"\r\n")
            sent += len(chunk)
            chunk = b""
            if select.select([link], [], [], 0)[0]:
                break
    assert sent < 2 * MOST_BYTES


@pytest.mark.slow
@pytest.mark.fault("runs: uploads that outlive the app")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_nothing_is_left_after_a_signal(cat, tmp_path, name):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "wsol", "app", "--no-browser", "--port", str(port)]
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(
                command, stderr=subprocess.PIPE, text=True,
                env=os.environ | {"TMPDIR": str(tmp_path)},
            )
        )  # fmt: skip
        stack.callback(process.kill)  # what fails here must not wait for it
        assert any("until Ctrl-C" in line for line in process.stderr)
        client = gradio_client.Client(f"http://127.0.0.1:{port}", verbose=False)
        photograph = gradio_client.handle_file(cat)
        client.predict(photograph, MOST_PROBABLE, 0.3, False, "yolo", api_name="/export")
        assert [*tmp_path.rglob("cat.jpg")]
        client.close()
        process.send_signal(getattr(signal, name))
        told = process.stderr.read()
        code = process.wait()
    assert code == 128 + getattr(signal, name)
    assert told.splitlines()[-1].startswith("Interrupted; all photographs are deleted here")
    assert "Traceback" not in told
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.slow
def test_the_page_in_a_browser(served, cat, tmp_path):
    """Drop a photograph: the box appears, and nothing is asked of any other machine."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    (tmp_path / "index.html").write_text(f'<meta http-equiv="refresh" content="0; url={served}">')
    with opened(tmp_path / "index.html") as driver:
        wait = WebDriverWait(driver, 60)
        chosen = wait.until(lambda d: d.find_elements(By.CSS_SELECTOR, "input[type=file]"))[0]
        chosen.send_keys(str(cat))
        wait.until(lambda d: " cat" in d.find_element(By.TAG_NAME, "body").text)
        asked = [json.loads(each["message"])["message"] for each in driver.get_log("performance")]
        addresses = [each["params"]["request"]["url"] for each in asked
                     if each["method"] == "Network.requestWillBeSent"]  # fmt: skip
    ours = (served.rstrip("/"), "file:", "data:", "blob:", "chrome:", "ws:")
    assert [url for url in addresses if not url.startswith(ours)] == []


def test_wrong_use(capsys):
    for flags, message in (
        (("--port", "0"), "--port"),
        (("--threshold", "2"), "--threshold"),
        (("--model", "magic"), "--model"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["app", "--no-browser", *flags])
        assert stop.value.code == 2
        assert message in capsys.readouterr().err


def test_a_taken_port_is_said(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))  # which the command changes
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SystemExit) as stop:
            main(["app", "--no-browser", "--port", str(taken.getsockname()[1])])
    assert stop.value.code == 2
    assert "--port: " in capsys.readouterr().err


def test_the_command_needs_gradio(monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    with pytest.raises(SystemExit) as stop:
        main(["app", "--no-browser"])
    assert stop.value.code == 1
    assert 'pip install "gradio>=6"' in capsys.readouterr().err


@pytest.mark.fault("input: names of classes in a file of weights")
@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (("crane", "dog", "crane"), ("crane (0)", "dog", "crane (2)")),
        (("crane", "crane (0)", "crane"), ("crane (0)", "crane (0) (1)", "crane (2)")),
        (("dog", MOST_PROBABLE), ("dog", f"{MOST_PROBABLE} (1)")),
        (("dog", "dog "), ("dog (0)", "dog  (1)")),
    ],
)
def test_equal_names_can_be_told_apart(names, wanted):
    assert tell_apart(names) == wanted


@pytest.mark.slow
@pytest.mark.fault("input: names of classes in a file of weights")
def test_the_second_of_two_equal_names_can_be_chosen(cat):
    model, _ = load_checkpoint("efficientnet_lite0_tdam")
    names = class_names(1000)
    names = (*names[:517], names[134], *names[518:])
    app, notes = BrowserApp(Localizer(model, names=names), names), []
    app.notes = notes.append
    first, second = app.choices[134], app.choices[517]
    _, _, one = app.localize(str(cat), first, 0.2, False)
    _, _, other = app.localize(str(cat), second, 0.2, False)
    assert one[0][0] == other[0][0] == names[134]
    assert one[0][1] != other[0][1]
    assert app.export(str(cat), second, 0.2, False, "voc") is not None
    assert notes == []
    app.names = ("a:b", *names[1:])
    assert app.export(str(cat), second, 0.2, False, "voc") is not None
    assert notes == ["without voc/labelmap.txt, which cannot hold the name 'a:b'"]
    app.close()
