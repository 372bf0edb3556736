"""Try a run: type a text (or a pair, or one with alternatives), and see what its best model says of
it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Input

from calisr_engine.config.load import from_resolved
from calisr_engine.errors import CalisrError
from calisr_engine.plain_words import one_line
from calisr_engine.runs.layout import RunPaths
from calisr_tui import late
from calisr_tui.asking import Answered, Asking, Failed, News, Opened
from calisr_tui.charts.answer import answer, name_of, tagged_text
from calisr_tui.host import Host
from calisr_tui.themes import colours
from calisr_tui.verbatim import Text
from calisr_tui.widgets.footer import Keys
from calisr_tui.widgets.verbatim import Static

MOST_KEPT = 50
LONGEST = 10_000
"""Characters that a field takes; texts are cut to the run's input length in any case."""


class TryScreen(Screen[None]):
    """Answers come as one types; Enter keeps one in the list below."""

    app: Host
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="try.back"),
        Binding("ctrl+l", "clear", "Clear", id="try.clear"),
    ]

    def __init__(self, run_dir: Path) -> None:
        super().__init__()
        self.run_dir = run_dir
        self.newest: Answered | None = None
        self.kept: list[Answered] = []
        self._asking = Asking(run_dir, self._tell)
        self._state = "opening the model …"
        self._failed: Failed | None = None

    def compose(self) -> ComposeResult:
        from calisr_engine.results.run_task import task_of

        yield Static("", classes="head", id="try-head")
        self._names: tuple[str, ...] = ("text",)
        with contextlib.suppress(CalisrError):  # the thread tells of it
            task = task_of(from_resolved(RunPaths(self.run_dir).config))
            if task.is_pair:
                self._names = ("text", "second text")
            self._names += tuple(f"text for {name}" for name in task.choices)
        for number, name in enumerate(self._names):
            yield Input(
                placeholder=f"type a {name}", id=f"try-{number}", compact=True, max_length=LONGEST
            )
        yield Static("", id="try-answer")
        with VerticalScroll(id="try-kept", classes="box", can_focus=False) as kept:
            kept.border_title = "Asked before"
            yield Static("Enter keeps an answer here.", id="try-list")
        yield Keys()

    def on_mount(self) -> None:
        self.query_one("#try-0").focus()
        self._asking.start()
        self.redraw()

    def on_unmount(self) -> None:
        self._asking.end()

    def on_resize(self, event: events.Resize) -> None:
        self.redraw()

    def _tell(self, news: News) -> None:
        """Called in the thread of the model."""
        late.from_thread(self, self._take, news)

    def _take(self, news: News) -> None:
        if isinstance(news, Opened):
            self._state = f"on {news.device}, opened in {news.seconds:.1f} s"
        elif isinstance(news, Answered):
            self.newest = news
        else:
            self._state, self._failed = "it cannot be asked", news
            error = news.error
            self.query_one("#try-answer", Static).update(
                f"! {error.message}" + (f"\n  {error.hint}" if error.hint else "")
            )
        self.redraw()

    def _typed(self) -> tuple[str, ...] | None:
        """What stands in the fields; None while one is empty."""
        texts = tuple(self.query_one(f"#try-{n}", Input).value for n in range(len(self._names)))
        return texts if all(text.strip() for text in texts) else None

    @on(Input.Changed)
    def typed(self) -> None:
        texts = self._typed()
        if texts is None:
            self.newest = None
        elif self.newest is None or texts != self.newest.texts:
            self._asking.ask(texts)
        self.redraw()

    @on(Input.Submitted)
    def entered(self, event: Input.Submitted) -> None:
        last = f"try-{len(self._names) - 1}"
        if event.input.id not in (None, last):
            self.query_one(f"#try-{int(event.input.id.removeprefix('try-')) + 1}").focus()
        elif self.newest is not None and self.newest.texts == self._typed():
            self.kept = [self.newest, *self.kept][:MOST_KEPT]
            self.query_one("#try-0", Input).focus()
            for field in self.query(Input):
                field.select_all()  # typing on replaces it
            self.redraw()

    def redraw(self) -> None:
        if not self.is_mounted:
            return
        width = max(30, self.app.size.width - 6)
        self.query_one("#try-head", Static).update(f"Try {self.run_dir.name} · {self._state}")
        if self._failed is None:
            self.query_one("#try-answer", Static).update(self._answer(width))
        if self.kept:
            lines = Text("\n").join([_line(each, colours(self.app.theme)) for each in self.kept])
            lines.no_wrap, lines.overflow = True, "ellipsis"
            self.query_one("#try-list", Static).update(lines)

    def _answer(self, width: int) -> Text:
        said = self.newest
        if said is None:
            return Text("Its answers come as you type." if self._typed() is None else "…", "dim")
        text = answer(said.found, width, colours(self.app.theme))
        text.rstrip()
        text.append(f"\n\n{1000 * said.seconds:.0f} ms", "dim")
        return text

    def action_back(self) -> None:
        self.dismiss(None)

    def action_clear(self) -> None:
        """Empty the fields and the list."""
        self.kept = []
        for field in self.query(Input):
            field.value = ""
        self.query_one("#try-list", Static).update("Enter keeps an answer here.")
        self.query_one("#try-0").focus()


def _line(said: Answered, styles: dict[str, str]) -> Text:
    found = said.found
    texts = " | ".join(one_line(text) for text in said.texts)
    if found.words is not None:
        return tagged_text(found, styles, shares=False)
    if found.probabilities is None or not isinstance(found.prediction, str):
        return Text.assemble((name_of(found), "bold"), f"  {texts}")
    sure = found.probabilities[found.prediction]
    return Text.assemble((f"{sure:.4f} {one_line(found.prediction)}", "bold"), f"  {texts}")
