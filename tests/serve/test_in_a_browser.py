"""The page in a real browser, and pages of others that try to use it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from calisr_tui.serve.access import Access
from calisr_tui.serve.server import Server
from tests.serve.browser import Tab, browser
from tests.serve.client import serving


def link(server: Server, host: str = "127.0.0.1") -> str:
    return f"http://{host}:{server.port}/?token={server.access.token}"


async def painted(tab: Tab) -> None:
    async def shows() -> bool:
        return "-first-byte" in await tab.classes()

    await tab.until(shows)


async def test_a_browser_shows_the_app(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "calisr_tui", "--output-dir", str(tmp_path / "runs")]
    server = Server(command, Access("127.0.0.1"), 0)
    async with server.listening(), browser() as program:
        tab = await program.tab()
        await tab.open(link(server))
        await painted(tab)
        for _ in range(100):
            if len(await tab.picture()) > 20_000:  # what was shown before the app has fewer bytes
                break
            await asyncio.sleep(0.1)
        else:
            pytest.fail("the app did not paint")
        here = f"http://127.0.0.1:{server.port}"
        assert await tab.value("location.href") == f"{here}{server.access.path}/"
        assert await tab.value("document.cookie") == ""
        assert await tab.value("document.referrer") == ""
        assert await tab.value("document.fonts.check('16px \"Roboto Mono\"')")
        assert {each.replace("ws:", "http:").startswith(here) for each in tab.requests} == {True}
        assert not [each for each in tab.console if "WebGL" not in each]
        await program.close(tab)
        while server._tabs:
            await asyncio.sleep(0.02)


async def test_a_session_that_ends_is_begun_again() -> None:
    async with serving() as server, browser() as program:
        tab = await program.tab()
        await tab.open(link(server))
        await painted(tab)
        await tab.value("document.querySelector('textarea').focus()")
        await tab.call("Input.insertText", text="leave")

        async def ended() -> bool:
            return "-closed" in await tab.classes()

        await tab.until(ended)
        assert await tab.value("document.querySelector('#reason').textContent") == "Session ended."
        await tab.value("document.querySelector('#restart').click()")
        await painted(tab)


HOSTILE = """\
<!DOCTYPE html><title>hostile</title><script>
const there = "http://127.0.0.1:PORT", tried = {};
const given = (name, promise) => promise.then(
  (value) => (tried[name] = "open " + value), () => (tried[name] = "closed"));
const loaded = (kind, attribute, address) => new Promise((yes, no) => {
  const element = document.createElement(kind);
  element.onload = yes; element.onerror = no;
  element[attribute] = address; document.head.append(element);
});
const socket = (address) => new Promise((yes, no) => {
  const socket = new WebSocket(address);
  socket.onopen = yes; socket.onerror = no;
});
window.done = Promise.all([
  given("socket", socket("ws://127.0.0.1:PORTPATH/ws?width=80&height=24")),
  given("socket at the root", socket("ws://127.0.0.1:PORT/ws")),
  given("fetch", fetch(there + "PATH/", {credentials: "include"})),
  given("blind fetch", fetch(there + "PATH/", {credentials: "include", mode: "no-cors"})),
  given("post", fetch(there + "/", {method: "POST", body: "x"})),
  given("script", loaded("script", "src", there + "PATH/page.js")),
]).then(() => tried);
</script><iframe src="http://127.0.0.1:PORTPATH/"></iframe>
"""


@contextlib.asynccontextmanager
async def hostile(server: Server) -> AsyncIterator[tuple[int, list[str]]]:
    """A web server of somebody else that knows even the path; yields port and cookies it got."""
    cookies: list[str] = []
    text = HOSTILE.replace("PORT", str(server.port)).replace("PATH", server.access.path)

    async def answer(request: web.Request) -> web.Response:
        cookies.append(request.headers.get("Cookie", ""))
        return web.Response(text=text, content_type="text/html")

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1], cookies
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("host", ["127.0.0.1", "evil.example"])
async def test_a_hostile_page_cannot_use_the_server(host: str) -> None:
    """In the browser that holds the cookie; 127.0.0.1 is the same site, on another port."""
    async with (
        serving() as server,
        hostile(server) as (port, cookies),
        browser("--host-resolver-rules=MAP evil.example 127.0.0.1") as program,
    ):
        own = await program.tab()
        await own.open(link(server))
        await painted(own)
        assert server._tabs == 1
        page = await program.tab()
        await page.open(f"http://{host}:{port}/")

        async def ready() -> bool:
            return bool(await page.value("!!window.done && document.readyState == 'complete'"))

        await page.until(ready)
        tried = await page.value("window.done")
        assert set(tried.values()) == {"closed"}, tried
        assert len(tried) == 6
        assert server._tabs == 1
        assert set(cookies) == {""}  # a cookie of one port goes to all, but not under any path


async def test_a_name_that_was_made_to_point_here_is_refused() -> None:
    """DNS rebinding: the name of the page leads to this server, so both have one origin."""
    async with (
        serving() as server,
        browser("--host-resolver-rules=MAP evil.example 127.0.0.1") as program,
    ):
        tab = await program.tab()
        await tab.open(link(server, "evil.example"))

        async def said() -> bool:
            text = await tab.value("document.body ? document.body.innerText : ''")
            return "does not have that name" in text

        await tab.until(said)
        opening = (
            "new Promise(r => { const s = new WebSocket(ADDRESS); s.onopen = s.onerror = r; })"
        )
        address = f"'ws://evil.example:{server.port}{server.access.path}/ws'"
        kind = await tab.value(f"{opening.replace('ADDRESS', address)}.then(e => e.type)")
        assert kind == "error"
        assert server._tabs == 0
