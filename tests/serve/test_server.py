"""The doors of the server, one request at a time; the app behind it is a fake."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import re
from collections.abc import AsyncIterator

import pytest

from calisr_engine.errors import CalisrError
from calisr_tui.serve import app_process, pages
from calisr_tui.serve import server as server_module
from calisr_tui.serve.access import Access
from calisr_tui.serve.messages import LONGEST_MESSAGE
from calisr_tui.serve.server import Server
from tests.serve.client import (
    UPGRADE,
    alive,
    ask,
    closed,
    cookie,
    fake_app,
    name,
    page,
    serving,
    shown,
    until_gone,
)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as found:
        yield found


# The link ----------------------------------------------------------------------------------------


async def test_the_link_gives_a_cookie_and_leads_on(server: Server) -> None:
    reply = await ask(server, f"/?token={server.access.token}", f"Host: {name(server)}")
    assert reply.status == 200
    given, *flags = reply.headers["Set-Cookie"].split("; ")
    assert given == cookie(server).removeprefix("Cookie: ")
    assert set(flags) == {"HttpOnly", "SameSite=Strict", f"Path={server.access.path}/"}
    assert f"url={server.access.path}/".encode() in reply.body
    assert server.access.token.encode() not in reply.body


@pytest.mark.parametrize("query", ["", "?token=", "?token=x", "?token=%F0", "?other=1"])
async def test_without_the_token_the_link_tells_nothing(server: Server, query: str) -> None:
    reply = await ask(server, f"/{query}", f"Host: {name(server)}")
    assert (reply.status, reply.body) == (403, pages.CLOSED.encode())
    assert "Set-Cookie" not in reply.headers


async def test_a_token_opens_its_own_server_alone(server: Server) -> None:
    async with serving() as other:
        reply = await ask(other, f"/?token={server.access.token}", f"Host: {name(other)}")
    assert reply.status == 403


async def test_the_token_and_the_cookie_are_not_the_same(server: Server) -> None:
    reply = await ask(server, f"/?token={server.access.cookie}", f"Host: {name(server)}")
    assert reply.status == 403
    wrong = f"Cookie: calisr-{server.port}={server.access.token}"
    reply = await ask(server, f"{server.access.path}/", f"Host: {name(server)}", wrong)
    assert reply.status == 403


# Every door, in every combination ----------------------------------------------------------------

PATHS = ["", "page.css", "page.js", "xterm.css", "textual.js", "mono.ttf", "mono-italic.ttf", "ws"]


async def test_all_doors_must_be_open(server: Server) -> None:
    """Host x Origin x cookie x site: one that is wrong closes all paths, and starts nothing."""
    here = name(server)
    hosts = {here: True, "evil.example": False, f"evil.example:{server.port}": False, "": False}
    origins = {
        None: True,
        f"http://{here}": True,
        f"http://127.0.0.1:{server.port + 1}": False,
        f"http://localhost:{server.port}": False,
        "null": False,
        "https://evil.example": False,
    }
    cookies = {
        cookie(server): True,
        cookie(server)[:-1]: False,
        f"Cookie: calisr-{server.port + 1}={server.access.cookie}": False,
        None: False,
    }
    sites = {None: True, "same-origin": True, "none": True, "same-site": False, "cross-site": False}
    opened = 0
    for host, origin, kept, site in itertools.product(hosts, origins, cookies, sites):
        right = hosts[host] and origins[origin] and cookies[kept] and sites[site]
        wrong = [hosts[host], origins[origin], cookies[kept], sites[site]].count(False)
        if wrong > 1:
            continue
        headers = [f"Host: {host}"]
        headers += [f"Origin: {origin}"] if origin is not None else []
        headers += [kept] if kept is not None else []
        headers += [f"Sec-Fetch-Site: {site}"] if site is not None else []
        for path in PATHS:
            if path == "ws" and right:
                continue  # below
            more = UPGRADE if path == "ws" else ()
            reply = await ask(server, f"{server.access.path}/{path}", *headers, *more)
            assert (reply.status == 200) is right, (host, origin, kept, site, path, reply)
            assert reply.headers["Content-Security-Policy"].startswith(pages.POLICY)
            assert pages.HEADERS.items() <= reply.headers.items()
            opened += right
    assert opened == 2 * 3 * len(PATHS[:-1])
    assert not server._tabs


async def test_the_socket_is_for_pages_alone(server: Server) -> None:
    """Without an Origin: no browser asks like that."""
    path = f"{server.access.path}/ws"
    reply = await ask(server, path, f"Host: {name(server)}", cookie(server), *UPGRADE)
    assert reply.status == 403


@pytest.mark.parametrize("path", ["/ws", "/x/ws", "/static/", "/download/1", "/%2e%2e/etc/passwd"])
async def test_there_is_nothing_beside_the_path(server: Server, path: str) -> None:
    reply = await ask(server, path, f"Host: {name(server)}", cookie(server))
    assert reply.status == 404
    assert (await ask(server, path, f"Host: {name(server)}")).status == 403


@pytest.mark.parametrize("part", ["x", "..", "../page.css", "app_process.py", "%2e%2e/pages.py"])
async def test_only_the_parts_of_the_page_are_sent(server: Server, part: str) -> None:
    path = f"{server.access.path}/{part}"
    assert (await ask(server, path, f"Host: {name(server)}", cookie(server))).status in (403, 404)


@pytest.mark.parametrize("headers", [[], ["Host: {0}", "Host: {0}"], ["Host: {0}", "Host: evil"]])
async def test_a_request_has_one_host(server: Server, headers: list[str]) -> None:
    hosts = [each.format(name(server)) for each in headers]
    path = f"/?token={server.access.token}"
    assert (await ask(server, path, *hosts)).status in (400, 421)


async def test_a_whole_address_as_the_path_changes_nothing(server: Server) -> None:
    path = f"http://evil.example/?token={server.access.token}"
    assert (await ask(server, path, f"Host: {name(server)}")).status in (200, 403, 404)
    assert (await ask(server, path, "Host: evil.example")).status == 421


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
async def test_pages_are_only_read(server: Server, method: str) -> None:
    for path in (f"/?token={server.access.token}", f"{server.access.path}/"):
        reply = await ask(server, path, f"Host: {name(server)}", cookie(server), method=method)
        assert reply.status == 405


@pytest.mark.parametrize("body", ["Content-Length: 1000000000000", "Transfer-Encoding: chunked"])
async def test_no_body_is_taken(server: Server, body: str) -> None:
    for method in ("GET", "POST"):
        path = f"/?token={server.access.token}"
        reply = await ask(server, path, f"Host: {name(server)}", body, method=method)
        assert reply.status == 413
        assert reply.headers["Connection"] == "close"


@pytest.mark.parametrize("size", [10_000, 1_000_000])
async def test_long_headers_are_refused(server: Server, size: int) -> None:
    reply = await ask(server, "/", f"Host: {name(server)}", "X: " + "x" * size)
    assert reply.status == 400
    reply = await ask(server, "/" + "x" * size, f"Host: {name(server)}")
    assert reply.status in (400, 414)


async def test_nothing_comes_from_elsewhere() -> None:
    """The page and what it loads name no other host that a browser would ask by itself."""
    parts = pages.parts()
    for part in ("", "page.css", "page.js", "xterm.css"):
        text = parts[part].body.decode().replace("// textual.js", "")
        asked = [text] if part != "xterm.css" else re.findall(r"url\(.*?\)|@import.*", text)
        assert not any("//" in each for each in asked)
        assert "<script>" not in text


async def test_the_token_is_in_no_log(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = server.access.token
    for path in (
        f"/?token={token}",
        f"/%?token={token}",
        f"/ x?token={token}",
        f"/\x01?token={token}",
    ):
        await ask(server, path, f"Host: {name(server)}")
    async with page(server) as socket:
        await shown(socket)
        assert token not in caplog.text
        assert server.access.cookie not in caplog.text
        assert server.access.path not in caplog.text


# The socket --------------------------------------------------------------------------------------


async def test_page_and_app_talk(server: Server) -> None:
    async with page(server) as socket:
        await shown(socket)
        assert await shown(socket) == "100x30"
        await socket.send_json(["stdin", "héllo"])
        assert await shown(socket) == "héllo"
        await socket.send_json(["ping", "17"])
        assert await socket.receive_json() == ["pong", "17"]
        await socket.send_json(["blur"])
        assert await shown(socket) == '{"type": "blur"}'
        await socket.send_json(["stdin", "leave"])
        assert await closed(socket) == (1000, "Session ended.")


@pytest.mark.parametrize(
    ("address", "opened"),
    [("https://huggingface.co/x", True), ("javascript:alert(1)", False), ("file:///etc", False)],
)
async def test_an_app_opens_web_pages_alone(server: Server, address: str, opened: bool) -> None:
    async with page(server) as socket:
        await shown(socket)
        await shown(socket)
        await socket.send_json(["stdin", f"open {address}"])
        await socket.send_json(["stdin", "next"])
        if opened:
            expected = ["open_url", {"url": address, "new_tab": True}]
            assert await socket.receive_json() == expected
        assert await shown(socket) == "next"


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        ((10**8, 10**8), "600x250"),
        ((0, 0), "10x4"),
        (("-5", "x"), "80x24"),
        (("9" * 5000, "1e9"), "80x24"),
    ],
)
async def test_a_huge_screen_is_cut(
    server: Server, asked: tuple[object, object], size: str
) -> None:
    async with page(server, *asked) as socket:
        await shown(socket)
        assert await shown(socket) == size


async def test_a_flood_of_sizes_is_a_few(server: Server) -> None:
    async with page(server) as socket:
        await shown(socket)
        await shown(socket)
        for width in range(1000):
            await socket.send_json(["resize", {"width": width, "height": 10**6}])
            await asyncio.sleep(0.001)  # the server takes each in by itself
        await socket.send_json(["stdin", "end"])
        last = '{"type": "resize", "width": 600, "height": 250}'
        seen: list[str] = []
        while "end" not in seen or last not in seen:  # the last size always arrives
            seen.append(await shown(socket))
        assert len(seen) < 200


@pytest.mark.parametrize("text", ["x", "[]", '["quit"]', "[" * 10**5, '["resize", {"width": 1}]'])
async def test_what_is_no_message_ends_the_session(server: Server, text: str) -> None:
    async with page(server) as socket:
        number = int((await shown(socket)).split()[0])
        await socket.send_str(text)
        assert await closed(socket) == (1008, "The page sent what is no message.")
        await until_gone(number)


async def test_bytes_are_no_message(server: Server) -> None:
    async with page(server) as socket:
        await socket.send_bytes(b'["stdin", "x"]')
        assert (await closed(socket))[0] == 1008


async def test_a_huge_message_ends_the_session(server: Server) -> None:
    async with page(server) as socket:
        number = int((await shown(socket)).split()[0])
        await shown(socket)
        await socket.send_json(["stdin", "x" * (LONGEST_MESSAGE + 1)])
        assert (await closed(socket))[0] in (1009, 1006)
        await until_gone(number)


async def test_a_large_paste_arrives(server: Server) -> None:
    async with page(server) as socket:
        await shown(socket)
        await shown(socket)
        text = "x" * (LONGEST_MESSAGE - 20)
        await socket.send_json(["stdin", text])
        assert await shown(socket) == text


async def test_there_are_only_so_many_tabs(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MOST_TABS", 2)
    async with page(server) as first, page(server) as second:
        number = int((await shown(first)).split()[0])
        await shown(second)
        async with page(server) as third:
            code, reason = await closed(third)
            assert code == 1013
            assert "2 tabs are open" in reason
        await first.close()
        await until_gone(number)
        while server._tabs > 1:
            await asyncio.sleep(0.02)
        async with page(server) as third:
            await shown(third)


# Ends --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("manner", ["", "parent", "deaf", "flood"])
@pytest.mark.parametrize("politely", [True, False])
async def test_a_closed_tab_ends_its_app(
    manner: str, politely: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_process, "GRACE", 0.3)
    async with serving(manner) as server:
        async with page(server) as socket:
            numbers = [int(each) for each in (await shown(socket)).split() if int(each)]
            if not politely:
                socket._response.connection.transport.abort()  # type: ignore[union-attr]
        await until_gone(*numbers)


@pytest.mark.parametrize("manner", ["", "parent", "stubborn", "flood"])
async def test_the_end_of_the_server_ends_all(manner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_process, "GRACE", 0.3)
    monkeypatch.setattr(server_module, "CLOSING", 0.3)
    numbers = []
    async with serving(manner) as server:
        sockets = [page(server) for _ in range(2)]
        for each in sockets:
            socket = await each.__aenter__()
            numbers += [int(number) for number in (await shown(socket)).split() if int(number)]
    assert len(numbers) >= 2
    assert not any(alive(number) for number in numbers)
    for each in sockets:
        await each.__aexit__(None, None, None)


async def test_the_page_is_told_that_the_server_ends() -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with serving() as server:
            socket = await stack.enter_async_context(page(server))
            telling = asyncio.create_task(closed(socket))
        assert await telling == (1001, "calisr serve has ended.")


@pytest.mark.parametrize(
    ("manner", "said"), [("broken", "no terminal ?[31mhere"), ("crash", "the app fell over")]
)
async def test_an_app_that_falls_over_is_told_to_both(
    manner: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(manner) as server:
        async with page(server) as socket:
            await socket.send_json(["stdin", "x"])
            assert await closed(socket) == (1000, "Session ended.")
        while server._tabs:
            await asyncio.sleep(0.02)
    assert said in capsys.readouterr().err


async def test_an_app_that_cannot_start_is_told() -> None:
    server = Server(["/nowhere/python"], Access("127.0.0.1"), 0)
    async with server.listening(), page(server) as socket:
        assert (await closed(socket))[0] == 1011


async def test_a_port_in_use_is_named(server: Server) -> None:
    other = Server(fake_app(), Access("127.0.0.1"), server.port)
    with pytest.raises(CalisrError, match=f"port {server.port} cannot be listened on"):
        async with other.listening():
            pass
