"""The server: its doors in front of the page and the websocket, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence

from aiohttp import WSCloseCode, web
from aiohttp.typedefs import Handler

from calisr_engine.errors import CalisrError
from calisr_tui.serve import pages
from calisr_tui.serve.access import Access, same_origin
from calisr_tui.serve.app_process import POLL, AppProcess
from calisr_tui.serve.messages import LONGEST_MESSAGE, first_size
from calisr_tui.serve.session import converse

MOST_TABS = 10
"""Apps at a time; each is a process of some 100 MB."""

HEARTBEAT = 15.0
"""Seconds between two signs of life that are asked of a page; one that gives none is gone."""

CLOSING = 2.0
"""Seconds a page may take to agree that its socket is closed."""

COOKIE = "calisr"


class Server:
    """Offers an app in a browser.

    Args:
        command: what starts the app.
        access: who may use it.
        port: to listen on; 0 for any that is free.

    Attributes:
        port: the one that it listens on, once it does.
    """

    def __init__(self, command: Sequence[str], access: Access, port: int) -> None:
        self.command, self.access, self.port = command, access, port
        self._parts = pages.parts()
        self._tabs = 0
        self._leaving = asyncio.Event()

    def application(self) -> web.Application:
        """The doors, the routes behind them, and the headers of every answer."""
        application = web.Application(middlewares=[self._doors])
        application.on_response_prepare.append(_with_headers)
        application.on_shutdown.append(self._close_tabs)
        routes = application.router
        routes.add_get("/", self._enter, allow_head=False)
        routes.add_get(f"{self.access.path}/ws", self._tab, allow_head=False)
        routes.add_get(self.access.path + "/{name:[a-z.-]*}", self._part, allow_head=False)
        return application

    async def run(self, begun: Callable[[int], None]) -> None:
        """Serve until SIGTERM, SIGINT or SIGHUP; when this returns every app has ended.

        Args:
            begun: called with the port once pages can be opened.

        Raises:
            CalisrError: the address cannot be listened on.
        """
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, stopped.set)
        async with self.listening():
            begun(self.port)
            await stopped.wait()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Serve within this block; after it every app has ended.

        Raises:
            CalisrError: the address cannot be listened on.
        """
        # What aiohttp would log are requests that it cannot read, and those may hold the token.
        silent = logging.Logger("calisr.serve", logging.CRITICAL)
        runner = web.AppRunner(
            self.application(), access_log=None, logger=silent, shutdown_timeout=1.0
        )
        try:
            await runner.setup()
            self.port = await _listen(runner, self.access.host, self.port)
            yield
        finally:
            await runner.cleanup()

    # Doors ---------------------------------------------------------------------------------------

    @web.middleware
    async def _doors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """What is asked of every request before anything of it is used."""
        origin = request.headers.get("Origin")
        if not self.access.answers_to(request.headers.getall("Host", [])):
            return _refusal(421, "This server does not have that name.\n")
        if origin is not None and not same_origin(origin, request.host):
            return _refusal(403, "Pages of other servers may not use this one.\n")
        if request.body_exists:
            return _refusal(413, "Nothing can be sent here.\n")
        if request.path != "/" and not self._is_known(request):
            return _refusal(403, pages.CLOSED)
        try:
            return await handler(request)
        except web.HTTPException as answer:
            return _refusal(answer.status, f"{answer.reason}\n")
        except Exception as error:
            _tell(f"a request failed: {error!r}")
            raise

    def _is_known(self, request: web.Request) -> bool:
        elsewhere = request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
        return not elsewhere and self.access.knows(request.cookies.get(self._cookie_name, ""))

    @property
    def _cookie_name(self) -> str:
        return f"{COOKIE}-{self.port}"  # a browser has one set of cookies for all ports of a host

    # Routes --------------------------------------------------------------------------------------

    async def _enter(self, request: web.Request) -> web.Response:
        """The token for the cookie."""
        if not self.access.opens(request.query.get("token", "")):
            return _refusal(403, pages.CLOSED)
        folder = f"{self.access.path}/"
        answer = web.Response(text=pages.forward(folder), content_type="text/html")
        answer.set_cookie(
            self._cookie_name, self.access.cookie, path=folder, httponly=True, samesite="Strict"
        )
        return answer

    async def _part(self, request: web.Request) -> web.Response:
        part = self._parts.get(request.match_info["name"])
        if part is None:
            raise web.HTTPNotFound
        charset = None if part.kind.startswith("font/") else "utf-8"
        answer = web.Response(body=part.body, content_type=part.kind, charset=charset)
        answer.headers["Content-Security-Policy"] = pages.policy(request.host)
        return answer

    async def _tab(self, request: web.Request) -> web.StreamResponse:
        """A websocket with an app of its own behind it; the app ends with it."""
        if request.headers.get("Origin") is None:
            return _refusal(403, "Only a page may open this.\n")
        socket = web.WebSocketResponse(
            timeout=CLOSING, heartbeat=HEARTBEAT, max_msg_size=LONGEST_MESSAGE, compress=False
        )
        await socket.prepare(request)
        if self._tabs >= MOST_TABS:
            reason = f"{MOST_TABS} tabs are open already; close one."
            await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=reason.encode())
            return socket
        self._tabs += 1
        try:
            size = first_size(request.query.get("width", ""), request.query.get("height", ""))
            app = await AppProcess.start(self.command, size)
            try:
                await converse(socket, app, self._leaving)
            finally:
                status = await app.end()
            if status > 0 and not self._leaving.is_set():
                _tell(f"the app of a tab ended with status {status}\n{app.last_words()}")
        except OSError as error:
            _tell(f"the app of a tab could not be started: {error}")
            await socket.close(code=WSCloseCode.INTERNAL_ERROR, message=b"The app cannot start.")
        finally:
            self._tabs -= 1
        return socket

    async def _close_tabs(self, _: web.Application) -> None:
        self._leaving.set()
        while self._tabs:
            await asyncio.sleep(POLL)


async def _listen(runner: web.AppRunner, host: str, port: int) -> int:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise CalisrError(
            f"{host} port {port} cannot be listened on: {error.strerror or error}",
            "choose another with --port; 0 takes any that is free",
        ) from error
    return int(runner.addresses[0][1])


async def _with_headers(_: web.Request, answer: web.StreamResponse) -> None:
    answer.headers.update(pages.HEADERS)
    answer.headers.setdefault("Content-Security-Policy", pages.POLICY)


def _refusal(status: int, text: str) -> web.Response:
    answer = web.Response(status=status, text=text)
    answer.force_close()  # whatever else came with the request is not read
    return answer


def _tell(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)
