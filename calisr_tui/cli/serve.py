"""`calisr serve`: the terminal app in a browser."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from pathlib import Path
from typing import Annotated

import typer

from calisr_engine.errors import UnavailableError
from calisr_tui.cli.options import OutputDir
from calisr_tui.cli.out import say


def add_to(app: typer.Typer) -> None:
    app.command("serve", epilog="Example: calisr serve --port 8080")(serve)


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any that is free.")
    ] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the token of the link, made where there is none; only its owner may "
            "read it. The token then stays the same and is not printed."
        ),
    ] = None,
    output_dir: OutputDir = Path("runs"),
    data_dir: Annotated[Path | None, typer.Option(help="Folder of GLUE files.")] = None,
) -> None:
    """Offer the terminal app in a browser (needs the extra `serve`).

    Whoever has the link can start runs, read files and delete runs as you. Runs that were started
    in a browser go on when its tab is closed and when the server ends.
    """
    try:
        from calisr_tui.serve.access import Access, is_local, token_of
        from calisr_tui.serve.server import Server

        command = [sys.executable, "-m", "calisr_tui", "--output-dir", str(output_dir.resolve())]
        if data_dir is not None:
            command += ["--data-dir", str(data_dir.resolve())]
        access = Access(host) if token_file is None else Access(host, token_of(token_file))
        server = Server(command, access, port)
    except ImportError as error:
        raise UnavailableError(
            "calisr serve needs textual-serve", "install it with: pip install 'calisr[serve]'"
        ) from error
    if not is_local(host):
        say(
            f"warning: {host} can be reached from other machines, and there is no TLS: whoever can "
            "listen to the network reads the token, and with it starts runs, reads files and "
            "deletes runs as you.\n  Safer: listen on 127.0.0.1, and on the other machine "
            f"ssh -L {port}:127.0.0.1:{port} HERE"
        )
    if token_file is None and _others_read_stderr():
        say(
            "warning: this output goes to a file that other users may read, and the link is in it; "
            "--token-file keeps the token out"
        )

    def begun(port: int) -> None:
        name = f"[{host}]" if ":" in host else host
        if token_file is None:
            say(f"open http://{name}:{port}/?token={access.token}")
        else:
            say(f"open http://{name}:{port}/?token=TOKEN with the token in {token_file}")
        say("Ctrl-C ends the server; runs that train go on")

    asyncio.run(server.run(begun))


def _others_read_stderr() -> bool:
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):  # it is closed, or no file
        return False
    return stat.S_ISREG(found.st_mode) and bool(found.st_mode & (stat.S_IRGRP | stat.S_IROTH))
