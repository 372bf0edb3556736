"""What can be asked of a run from its screen: pause, stop, evaluate, switch, resume, read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from calisr_engine.errors import CalisrError
from calisr_engine.events.types import Failed
from calisr_engine.events.view import RunView
from calisr_engine.runs import control
from calisr_tui.choice import Choice
from calisr_tui.dialogs import Answer, Picking, Question, Reading
from calisr_tui.feed import Feed, ReplayFeed
from calisr_tui.next_steps import NextSteps

STEERING = [
    ("run: pause or go on", "", "pause"),
    ("run: stop and save", "a checkpoint, then stop", "stop_and_save"),
    ("run: stop", "without a checkpoint", "stop"),
    ("run: evaluate now", "", "evaluate"),
    ("run: checkpoint now", "", "checkpoint"),
    ("run: resume", "from its newest checkpoint", "resume_run"),
    ("run: compare", "beside another run", "compare"),
    ("group: switch by hand", "to the light method", "switch"),
]


def named_settings(failure: Failed) -> tuple[str, ...]:
    """Dotted keys of the settings that a failure is about, or that its words name."""
    named = re.findall(r"\b[a-z]+\.[a-z_]+\b", f"{failure.message} {failure.hint}")
    return (*failure.keys, *named)


class RunScreen(NextSteps):
    """A screen that shows the run of a feed. Training is asked through the run's directory."""

    def __init__(self, feed: Feed | None = None) -> None:
        super().__init__()
        self.feed = feed
        self._told_failure = False

    @property
    def at_hand(self) -> tuple[Path, str] | None:
        return None if self.feed is None else (self.feed.run_dir, self.state)

    @property
    def state(self) -> str:
        """The run's state; `loading` while a process begins or goes on and has not said so yet."""
        return "loading" if self.feed is not None and self.feed.loading else self.view.state

    @property
    def view(self) -> RunView:
        return self.feed.view if self.feed is not None else RunView()

    def _notice_failure(self) -> None:
        failure = self.view.failure
        if failure is None or self._told_failure or self.state != "failed":
            return
        self._told_failure = True
        if isinstance(self.feed, ReplayFeed):
            return
        hint = f"\n\n{failure.hint}" if failure.hint else ""
        self.app.push_screen(
            Question(
                "The run failed",
                f"{failure.message}{hint}\n\nThe log and the checkpoints are kept; "
                "r goes on from the newest checkpoint, N edits the settings for a new run.",
                [Answer("close", "Close"), Answer("traceback", "Traceback")],
            ),
            lambda answer: self.action_traceback() if answer == "traceback" else None,
        )

    def action_begin_from(self) -> None:
        """To the setup, with the settings of this run: at the one that made it fail."""
        failure = self.view.failure if self.view.state == "failed" else None
        if (path := self._run()) is not None:
            self.app.set_up_like(path, () if failure is None else named_settings(failure))

    # Requests to the run -------------------------------------------------------------------------

    def _request(self, kind: str, said: str, **args: Any) -> None:
        """Ask the training process for something, if there is one."""
        if self.feed is None or not self.feed.trained:
            self.app.notify("no process trains this run now", severity="warning")
            return
        try:
            control.request(self.feed.run_dir, kind, **args)
        except CalisrError as error:
            self.app.notify(str(error), severity="error")
        else:
            self.app.notify(said, timeout=2)

    def action_pause(self) -> None:
        if self.view.state == "paused":
            self._request("resume", "training goes on")
        else:
            self._request("pause", "pausing after this step")

    def action_stop_and_save(self) -> None:
        self._request("stop_and_save", "stopping after this step, with a checkpoint")

    def action_stop(self) -> None:
        if self.feed is None or not self.feed.trained:
            self._request("stop", "")
            return
        last = self.view.checkpoints[-1] if self.view.checkpoints else 0
        lost = self.view.step - last
        self.app.push_screen(
            Question(
                "Stop without saving?",
                f"The newest checkpoint is of step {last}; a resume repeats {lost} steps.",
                [Answer("no", "Go on"), Answer("stop", "Stop now", variant="error")],
            ),
            lambda answer: self._request("stop", "stopping") if answer == "stop" else None,
        )

    def action_evaluate(self) -> None:
        self._request("evaluate", "evaluating after this step")

    def action_checkpoint(self) -> None:
        self._request("checkpoint", "saving a checkpoint after this step")

    def action_switch(self) -> None:
        """Switch a group by hand: choose it, then confirm."""
        if self.feed is None or not self.feed.trained:
            self._request("switch", "")
            return
        full = [g.name for g in self.view.groups.values() if g.phase == "fft"]
        if not full:
            self.app.notify("every group is in its light phase already", severity="warning")
            return
        if len(full) == 1:
            self._confirm_switch(full[0])
            return
        self.app.push_screen(
            Picking("Which group goes over to the light method?", [Choice(n, n) for n in full]),
            self._confirm_switch,
        )

    def _confirm_switch(self, group: str | None) -> None:
        if group is None:
            return
        self.app.push_screen(
            Question(
                f"Switch {group} by hand?",
                f"{group} leaves full fine-tuning after this step and never goes back. The log "
                "will say that it was done by hand.",
                [Answer("no", "Leave it"), Answer("yes", "Switch", variant="warning")],
            ),
            lambda answer: (
                self._request("switch", f"switching {group}", group=group)
                if answer == "yes"
                else None
            ),
        )

    def action_resume_run(self) -> None:
        if self.feed is None:
            return
        if self.feed.is_trained_now():
            self.app.notify("this run is training already")
        elif self.view.state == "completed":
            self.app.notify("this run is complete; there is nothing to go on with")
        else:
            self._told_failure = False
            self.app.resume_training(self.feed.run_dir)

    def action_compare(self) -> None:
        """Beside another run of the output folder."""
        if self.feed is not None:
            self.app.compare_with_another(self.feed.run_dir)

    # Reading and copying -------------------------------------------------------------------------

    def action_traceback(self) -> None:
        failure = self.view.failure
        if failure is None:
            self.app.notify("this run did not fail")
            return
        text = failure.traceback or failure.message
        self.app.push_screen(Reading("Traceback", text, copy=text, wide=True))

    def action_copy(self) -> None:
        if self.feed is not None:
            self.app.copy_to_clipboard(str(self.feed.run_dir))
            self.app.notify(f"copied: {self.feed.run_dir}", timeout=2)

    def action_settings(self) -> None:
        if self.feed is not None:
            self.app.show_settings(self.feed.run_dir)
