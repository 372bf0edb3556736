"""Who hears of a run's end, and what: a bell, a desktop notice, web addresses."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from calisr_engine.errors import ConfigError
from calisr_engine.plain_words import a_sentence

if TYPE_CHECKING:
    from calisr_engine.events.view import RunView

VARIABLE = "CALISR_NOTIFY"
TIMEOUT_SECONDS = 5.0


def ways() -> list[str]:
    """What CALISR_NOTIFY asks for: `bell`, `osc9`, and http(s) addresses, between commas or spaces.

    Raises:
        ConfigError: it names something else.
    """
    found = os.environ.get(VARIABLE, "").replace(",", " ").split()
    for each in found:
        if each not in ("bell", "osc9") and not _is_address(each):
            raise ConfigError(
                f"{VARIABLE}: {a_sentence(each.partition('://')[0], 40)!r} cannot be used",
                "bell, osc9 or addresses that begin with https:// (http://), between commas",
            )
    return found


def is_news(view: RunView) -> bool:
    """Whether a run's end is told; one that was stopped on request is not."""
    return view.state != "stopped"


def facts_of(view: RunView, run_dir: Path) -> dict[str, Any]:
    """What a web address gets: plain JSON; `text` alone is what chat servers show."""
    state = view.state if view.state in ("completed", "failed") else "interrupted"
    text = f"CaliSr: {run_dir.name} {state} at step {view.step}/{view.total_steps}"
    if state == "completed" and view.best is not None:
        text += f", best {view.metric} {view.best:.4f}"
    message = view.failure.message if state == "failed" and view.failure is not None else ""
    return {
        "text": a_sentence(f"{text}: {message}" if message else text, 300),
        "run": run_dir.name,
        "host": socket.gethostname(),
        "state": state,
        "step": view.step,
        "total_steps": view.total_steps,
        "metric": view.metric,
        "best": view.best,
        "last": view.last,
        "message": message,
    }


def post(address: str, facts: dict[str, Any]) -> str:
    """Tell a web address; gives what went wrong ("" where nothing did), without the whole address,
    which often holds a secret."""
    import http.client
    import urllib.request

    class Straight(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any, **__: Any) -> None:
            """None: the facts go to the address that was named and to no other."""

    try:
        request = urllib.request.Request(
            address,
            json.dumps(facts).encode(),
            {"Content-Type": "application/json", "User-Agent": "calisr"},
        )
        urllib.request.build_opener(Straight).open(request, timeout=TIMEOUT_SECONDS).close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        code = getattr(error, "code", None)
        why = f"answered {code}" if code else type(getattr(error, "reason", error)).__name__
        return f"{VARIABLE}: {urlsplit(address).hostname} could not be told ({why})"
    return ""


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False
