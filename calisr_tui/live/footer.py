"""Which keys the footer of the live screen names while a run does not train."""

from __future__ import annotations

_HALTED = {"live.resume_run": "Resume", "run.try": "Try", "run.errors": "Errors"}
_NEW = {
    "run.begin_from": "New like it",
    "live.full": "Full",
    "app.help": "Help",
    "app.quit": "Quit",
}
AFTER = {
    "paused": {
        "live.pause": "Go on",
        "live.stop_and_save": "Stop+save",
        "live.switch": "Switch",
        "live.freeze": "Freeze",
        **{key: word for key, word in _NEW.items() if key != "run.begin_from"},
    },
    "completed": {
        "run.try": "Try",
        "run.errors": "Errors",
        "live.compare": "Compare",
        "run.export": "Export",
        **_NEW,
    },
    "stopped": {**_HALTED, **_NEW},
    "interrupted": {**_HALTED, **_NEW},
    "failed": {
        "run.begin_from": "Edit settings",
        "live.resume_run": "Resume",
        "live.traceback": "Traceback",
        "run.try": "Try",
        "app.help": "Help",
        "app.quit": "Quit",
    },
}
"""State of a run that does not train -> the keys of its footer."""
