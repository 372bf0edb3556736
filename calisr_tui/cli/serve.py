"""`calisr serve`: the terminal app in a browser, through textual-serve."""

from __future__ import annotations

import ipaddress
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from calisr_engine.errors import UnavailableError
from calisr_tui.cli.options import OutputDir, say


def add_to(app: typer.Typer) -> None:
    app.command("serve", epilog="Example: calisr serve --port 8080")(serve)


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "localhost",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    output_dir: OutputDir = Path("runs"),
    data_dir: Annotated[Path | None, typer.Option(help="Folder of GLUE files.")] = None,
) -> None:
    """Offer the terminal app in a browser (needs the extra `serve`)."""
    try:
        from textual_serve.server import Server
    except ImportError as error:
        raise UnavailableError(
            "calisr serve needs textual-serve", "install it with: pip install 'calisr[serve]'"
        ) from error
    if not is_local(host):
        say(
            f"warning: {host} can be reached from other machines, and whoever opens the page can "
            "start runs, read files and delete runs as you. There is no password."
        )
    command = [sys.executable, "-m", "calisr_tui", "--output-dir", str(output_dir.resolve())]
    if data_dir is not None:
        command += ["--data-dir", str(data_dir.resolve())]
    say(f"open http://{host}:{port} in a browser; Ctrl-C ends it")
    Server(shlex.join(command), host=host, port=port, title="calisr").serve()


def is_local(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
