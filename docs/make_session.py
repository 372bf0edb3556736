"""Record a session of the app as an animated SVG: python docs/make_session.py [FILE]

It sets up the demo with the Enter key, trains it (a minute or more), and looks at what came of it.
What is seen is what the app draws; only the time between two pictures is made shorter.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.color import Color, blend_rgb
from rich.color_triplet import ColorTriplet
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import DIMMED_MONOKAI

from calisr_tui.app import CalisrApp
from calisr_tui.live.screen import LiveScreen

FILE = Path(__file__).parent / "session.svg"
SIZE = (100, 30)
WIDTH, HEIGHT = 8.4, 17.0
"""Pixels of a cell."""
TRAINING_PICTURES = 14
"""At most so many of the run in training, beside those of its switches."""


@dataclass(frozen=True)
class Picture:
    """What is on the screen for some seconds, and what stands below it."""

    lines: tuple[tuple[Segment, ...], ...]
    caption: str
    seconds: float


# The session --------------------------------------------------------------------------------------


class Session:
    """Presses keys and takes pictures."""

    def __init__(self, app: CalisrApp, pilot: Any) -> None:
        self.app, self.pilot = app, pilot
        self.pictures: list[Picture] = []

    def take(self, caption: str, seconds: float) -> None:
        strips = self.app.screen._compositor.render_strips()
        lines = tuple(tuple(Segment.simplify(strip)) for strip in strips)
        self.pictures.append(Picture(lines, caption, seconds))

    async def press(self, keys: Iterable[str], caption: str, seconds: float) -> None:
        await self.pilot.press(*keys)
        await self.rest()
        self.take(caption, seconds)

    async def rest(self) -> None:
        """Wait until nothing is read or checked."""
        await self.pilot.pause(0.5)
        while not getattr(self.app.screen, "idle", True):
            await self.pilot.pause(0.2)
        self.app.clear_notifications()
        await self.pilot.pause(0.3)


async def record(folder: Path) -> list[Picture]:
    """The pictures of a whole session, in `folder`."""
    app = CalisrApp(output_dir=Path("runs"), config=folder)
    async with app.run_test(size=SIZE) as pilot:
        session = Session(app, pilot)
        await session.rest()
        session.take("calisr opens the setup: five short steps", 2.5)
        for caption in (
            "Enter: the packaged model; now the task",
            "Enter: the built-in task; now the method",
            "Enter: LoRA; now the calibration",
            "Enter: CaliSr-S, a switch for each component; now the training",
        ):
            await session.press(["enter"], caption, 2.0)
        await pilot.press("enter")
        await train(session)
        await session.press(["down", "down", "i"], "i: why did it switch?", 5.0)
        await session.press(["escape", "5", "f"], "5, f: a pane on the whole screen", 3.0)
        await session.press(["E"], "E: where is the model wrong?", 3.0)
        await session.press(["escape", "f4"], "F4: all runs, with curves and filters", 3.0)
    return session.pictures


async def train(session: Session) -> None:
    """Pictures of the run as it trains: at each switch, and a few between."""
    seen, switches = -1, 0
    while True:
        await session.pilot.pause(0.2)
        screen = session.app.screen
        if not isinstance(screen, LiveScreen) or not screen.view.total_steps:
            continue
        view = screen.view
        if view.state not in ("created", "running"):
            break
        switched = len(view.switches) > switches
        if switched or view.step - seen > view.total_steps / TRAINING_PICTURES:
            if switched and view.step == seen:
                session.pictures.pop()  # more groups have switched at that step
            seen, switches = view.step, len(view.switches)
            session.app.clear_notifications()
            await session.pilot.pause(0.3)
            groups = [each.group for each in view.switches if each.step == seen]
            said = "training" if not groups else f"{', '.join(groups)}: full to light"
            session.take(f"it trains. Step {seen}: {said}", 1.6 if groups else 0.7)
    await session.rest()
    session.take("the end: what switched, when, and how well it does", 3.5)


# The picture --------------------------------------------------------------------------------------


class Film:
    """Pictures side by side, drawn by turns; a line that several pictures have is there once."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.columns, self.rows = size
        self._lines: dict[str, str] = {}
        self._styles: dict[str, str] = {}

    def svg(self, pictures: list[Picture]) -> str:
        wide, high = self.columns * WIDTH + 20, (self.rows + 2) * HEIGHT + 16
        paper = _colours(next(iter(pictures[0].lines[1])).style or Style())[1]
        frames = [self._frame(each, number * wide) for number, each in enumerate(pictures)]
        total = sum(each.seconds for each in pictures)
        marks, at = [], 0.0
        for number, each in enumerate(pictures):
            place = f"transform:translateX({-number * wide:.1f}px)"
            marks.append(f"{100 * at / total:.3f}%{{{place}}}")
            at += each.seconds
        styles = "".join(f".{name}{{{rule}}}" for rule, name in self._styles.items())
        lines = "".join(f'<g id="{name}">{drawn}</g>' for drawn, name in self._lines.items())
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:.1f} {high:.1f}" '
            f'width="{wide:.0f}" height="{high:.0f}" role="img" '
            'aria-label="A session of the calisr terminal app">'
            f"<style>text{{font:14px 'Fira Code','DejaVu Sans Mono',Menlo,Consolas,monospace;"
            f"white-space:pre}}{styles}"
            f"#film{{animation:play {total:.1f}s step-end infinite}}"
            f"@keyframes play{{{''.join(marks)}}}</style>"
            f'<rect width="100%" height="100%" rx="8" fill="{paper}"/>'
            f'<defs>{lines}</defs><g id="film">{"".join(frames)}</g></svg>\n'
        )

    def _frame(self, picture: Picture, left: float) -> str:
        rows = [self._line(each) for each in picture.lines]
        rows += ["", self._line((Segment(f" ▸ {picture.caption}", CAPTION),))]
        uses = (
            f'<use href="#{name}" y="{number * HEIGHT:g}"/>'
            for number, name in enumerate(rows)
            if name
        )
        return f'<g transform="translate({left + 10:.1f} 10)">{"".join(uses)}</g>'

    def _line(self, segments: Iterable[Segment]) -> str:
        """The name of a line; "" where nothing is on it."""
        drawn, at = [], 0
        for text, style, _ in segments:
            ink, paper, bold = _colours(style or Style())
            if paper != PAPER:
                box = self._style(f"fill:{paper}")
                size = f'width="{len(text) * WIDTH:.1f}" height="{HEIGHT:g}"'
                drawn.append(f'<rect x="{at * WIDTH:.1f}" {size} class="{box}"/>')
            said = text.strip()
            if said:
                rule = self._style(f"fill:{ink}" + (";font-weight:bold" if bold else ""))
                x = (at + len(text) - len(text.lstrip())) * WIDTH
                size = f'textLength="{len(said) * WIDTH:.1f}" lengthAdjust="spacingAndGlyphs"'
                kept = html.escape(said).replace(" ", "\N{NO-BREAK SPACE}")
                drawn.append(f'<text x="{x:.1f}" y="13" {size} class="{rule}">{kept}</text>')
            at += len(text)
        found = "".join(drawn)
        return self._lines.setdefault(found, f"l{len(self._lines)}") if found else ""

    def _style(self, rule: str) -> str:
        return self._styles.setdefault(rule, f"s{len(self._styles)}")


PAPER = "#0f141c"
CAPTION = Style.parse("bold #ffd866 on #0f141c")


def _colours(style: Style) -> tuple[str, str, bool]:
    """(ink, paper, bold) as CSS has them."""
    ink, paper = _rgb(style.color, PAPER_INK), _rgb(style.bgcolor, ColorTriplet(15, 20, 28))
    if style.reverse:
        ink, paper = paper, ink
    if style.dim:
        ink = blend_rgb(ink, paper, 0.4)
    return ink.hex, paper.hex, bool(style.bold)


PAPER_INK = ColorTriplet(215, 222, 235)


def _rgb(colour: Color | None, default: ColorTriplet) -> ColorTriplet:
    if colour is None or colour.is_default:
        return default
    return colour.get_truecolor(DIMMED_MONOKAI)


def main() -> None:
    file = Path(sys.argv[1] if len(sys.argv) > 1 else FILE).absolute()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        pictures = asyncio.run(record(Path(folder)))
    file.write_text(Film(SIZE).svg(pictures), encoding="utf-8")


if __name__ == "__main__":
    main()
