"""What stands before the app in the browser: it answers this machine's names, and to a limit."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

MOST_BYTES = 100 * 2**20  # of a photograph that is uploaded
MOST_TOGETHER = 10 * MOST_BYTES  # of all that are uploaded at once
_AROUND = 2**20  # bytes of a request beside the file
_LOCAL = ("localhost", "127.0.0.1", "::1")


class HostGuard:
    """Refuses requests that name another host, or that are too large, before anything reads them.

    A page of a stranger can let its own name point at this machine, and then ask the app in the
    name of who looks at it. Its requests still tell the stranger's name.

    Args:
        app: as ASGI has it
        host: that the app listens at; for all networks, every address and this machine's name do
    """

    def __init__(self, app: Callable[..., Awaitable[None]], host: str) -> None:
        self._app = app
        self._open = _is_address(host) and ip_address(host).is_unspecified
        names = [*_LOCAL, host, *([socket.gethostname(), socket.getfqdn()] if self._open else [])]
        self._names = {name.lower() for name in names}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if not self.knows(headers.get(b"host", "")):
            await _refuse(scope, send, 421, "This app answers under other names.")
            return
        length = headers.get(b"content-length", "0")
        if not length.isdecimal() or int(length[:18]) > MOST_TOGETHER + _AROUND:
            await _refuse(scope, send, 413, f"Files may have {MOST_TOGETHER >> 20} MiB together.")
            return
        await self._app(scope, _limit(receive), send)

    def knows(self, host: str) -> bool:
        """Tell whether a request's host, with or without port, is this machine's."""
        name = host.partition("]")[0].lstrip("[") if host.startswith("[") else host.split(":")[0]
        return name.lower() in self._names or (self._open and _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _limit(receive: Receive) -> Receive:
    """End a request that sends more than it said."""
    left = MOST_TOGETHER + _AROUND

    async def take() -> Message:
        nonlocal left
        message = await receive()
        if message["type"] == "http.request":
            left -= len(message.get("body", b""))
            if left < 0:
                return {"type": "http.disconnect"}
        return message

    return take


async def _refuse(scope: Message, send: Send, status: int, text: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
