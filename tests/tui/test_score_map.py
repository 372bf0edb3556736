"""Many groups on the live screen: the map of cells, its keys, and the timeline of their layers."""

from __future__ import annotations

from functools import cache
from itertools import product
from pathlib import Path

import pytest

from calisr_engine.events.view import RunView
from calisr_tui.charts import group_map
from calisr_tui.charts.group_map import arrange, is_map, map_text, natural_height, said_lengths
from calisr_tui.charts.roles import ROLES
from calisr_tui.charts.srs_table import Row, rows
from calisr_tui.charts.timeline import picture, timeline_text
from calisr_tui.dialogs import Reading
from calisr_tui.widgets.score_pane import ScorePane
from calisr_tui.widgets.srs_table import SrsTable
from calisr_tui.widgets.timeline import Timeline
from tests.tui.example import make_app, settle, workplace
from tests.tui.many_groups import a_view, names, write_run

__all__ = ["workplace"]
STYLES = dict.fromkeys((*ROLES, "row"), "")
LAYERS = tuple(f"layer{n}" for n in range(24))
OWN = tuple(f"part-{n}-of-{'the-model' * (n % 3)}" for n in range(30))


@cache
def table_of(groups: tuple[str, ...]) -> list[Row]:
    return rows(a_view(groups))


def drawn(groups: tuple[str, ...], width: int, height: int, chosen: int = 0) -> list[str]:
    table = table_of(groups)
    seen = arrange(groups, width, height, chosen, said_lengths(table))
    return map_text(table, seen, 0.5, width, chosen, True, STYLES).plain.split("\n")


@pytest.mark.parametrize("groups", [names(12), names(24), LAYERS, OWN, names(2)])
@pytest.mark.parametrize("height", [3, 7, 9, 20, 40])
def test_a_map_fits_its_room_and_shows_the_chosen_group(
    groups: tuple[str, ...], height: int
) -> None:
    ends = (0, len(groups) // 2, len(groups) - 1)
    for width, chosen in product((30, 44, 58, 78, 118, 200), ends):
        lines = drawn(groups, width, height, chosen)
        assert len(lines) <= height
        assert {len(line) for line in lines} == {width}
        assert sum(group_map.CHOSEN in line for line in lines) == 1
        seen = arrange(groups, width, height, chosen, (3,))
        row, column = seen.places.find(chosen)
        assert row in seen.rows
        assert column in seen.columns
        shown = len(seen.rows) * len(seen.columns)
        whole = len(seen.places.cells) * max(map(len, seen.places.cells))
        signs = set("↑↓←→") & set(lines[0])
        assert bool(signs) == (shown < whole)


def test_all_of_twelve_layers_fit_at_the_sizes_that_are_promised() -> None:
    for width in (58, 78):  # 120 columns in two, and 80
        assert natural_height(names(12), width, (3,)) == natural_height(names(24), width, (3,)) == 7
        for layers in (12, 24):
            seen = arrange(names(layers), width, 7, 0, (3,))
            assert len(seen.columns) == layers


def test_layers_go_down_where_that_shows_more_of_each() -> None:
    assert len(arrange(names(12), 78, 7, 0, (3,)).rows) == 6
    assert len(arrange(names(12), 78, 13, 0, (3,)).rows) == 12


def test_a_cell_tells_phase_counter_and_last_sample_without_colour() -> None:
    view = a_view(names(12))
    table = {row.name: row for row in rows(view)}
    light = next(g for g in view.groups.values() if g.switch is not None)
    full = next(g for g in view.groups.values() if g.switch is None and g.hits == 2)
    last = {True: "▼", False: "△"}
    for group, long, short, least in (
        (light, f"░◆{light.switch.step if light.switch else 0}", "░◆", "░"),
        (full, "█2/3", "█2", "▅"),
    ):
        assert group.latest is not None
        sign = last[group.latest.difference < 0]
        for form, text in ((6, long.ljust(5)), (3, short), (2, least)):
            cell = group_map.cell(table[group.name], form, 0.5, STYLES)
            assert "".join(piece for piece, _ in cell) == text + sign


def test_few_groups_stay_a_table() -> None:
    assert not is_map(("query", "key", "value", "attention_output", "intermediate", "output"))
    assert is_map(names(2))
    assert is_map(LAYERS)


def test_where_no_score_decides_a_cell_has_the_step_of_its_switch() -> None:
    view = a_view(names(12), variant="off")
    row = next(row for row in rows(view) if row.switched_at == 50)
    assert "".join(t for t, _ in group_map.cell(row, 6, None, STYLES)).startswith("░◆50")


def test_going_over_the_cells() -> None:
    places = arrange(names(12), 78, 7, 0, (3,)).places
    assert places.beside(0, 1, 0) == 1  # from the query of layer 0 to its key
    assert places.beside(0, 0, 1) == 6  # to the query of layer 1
    assert places.beside(0, -1, 0) == places.beside(0, 0, -1) == 0
    assert places.beside(71, 0, 1) == 71


def test_the_timeline_has_a_lane_a_component() -> None:
    view = a_view(names(12))
    lanes = picture(view).lanes
    assert [len(lane.members) for lane in lanes] == [12] * 6
    text = timeline_text(picture(view), 78, 9, 0, STYLES).plain
    for lane in lanes:
        light = sum(view.groups[name].switch is not None for name in lane.members)
        assert lane.note == f"{light}/12 light"
        assert lane.note in text
    assert "▓" in text
    assert all(len(line) <= 78 for line in text.split("\n"))


@pytest.fixture
def many(workplace: Path) -> Path:
    return write_run(workplace / "runs" / "many", names(12))


@pytest.mark.parametrize("size", [(60, 18), (80, 24), (120, 40)])
async def test_arrows_go_over_the_map_and_enter_explains(
    workplace: Path, many: Path, size: tuple[int, int]
) -> None:
    app = make_app(workplace, run_dir=Path("runs/many"))
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        pane = app.screen.query_one(SrsTable)
        assert isinstance(pane, ScorePane)
        assert pane.is_map
        await pilot.press("right", "right", "down")
        assert pane.group == "layer2.key"
        lines = [pane.render_line(y).text for y in range(pane.content_size.height)]
        assert any(line.startswith("layer2.key: ") for line in lines)
        assert any(line.startswith("▸key") for line in lines)
        assert sum("░" in line or "█" in line for line in lines) == 6
        await pilot.press("enter")
        await settle(pilot)
        assert isinstance(app.screen, Reading)
        await pilot.press("escape")
        await pilot.press("c", "right")  # now the cursor of the charts has the key
        assert pane.group == "layer2.key"
        await pilot.press("escape", "2")
        await settle(pilot)
        timeline = app.screen.query_one(Timeline)
        await pilot.press("down")
        assert pane.group == "layer2.value"
        assert timeline.lane == 2


async def test_only_what_changed_is_drawn_again(workplace: Path, many: Path) -> None:
    app = make_app(workplace, run_dir=Path("runs/many"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        pane = app.screen.query_one(ScorePane)
        asked: list[tuple[object, ...]] = []
        refresh = pane.refresh

        def noted(*regions: object, **more: object) -> object:
            asked.append(regions)
            return refresh(*regions, **more)  # type: ignore[arg-type]

        pane.refresh = noted  # type: ignore[assignment, method-assign]
        view = a_view(names(12))
        pane.show(view)
        assert asked == []
        next(g for g in list(view.groups.values())[1:] if g.switch is None).hits += 1
        pane.show(view)
        (regions,) = asked
        assert all(0 < region.width <= 6 for region in regions)  # type: ignore[attr-defined]


async def test_a_run_without_groups_says_so_once_it_has_begun(workplace: Path, many: Path) -> None:
    app = make_app(workplace, run_dir=Path("runs/many"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        pane = app.screen.query_one(ScorePane)
        for view, words in (
            (RunView(), "Waiting for the first line"),
            (RunView(config={"method": {"name": "unipelt"}}, total_steps=340), "alone trains"),
        ):
            pane.show(view)
            await settle(pilot)
            lines = [pane.render_line(y).text for y in range(pane.content_size.height)]
            assert words in " ".join(lines)


def test_the_step_of_a_switch_is_told_where_there_is_room_for_it() -> None:
    groups = names(12)
    steps = {
        f"{group_map.SWITCH}{g.switch.step}" for g in a_view(groups).groups.values() if g.switch
    }
    assert len({len(step) for step in steps}) > 1
    for width in (100, 118, 200):  # a column of the live screen at 200 cells, and more
        shown = " ".join(drawn(groups, width, 7))
        assert {step for step in steps if step in shown} == steps
        assert f"{group_map.SWITCH} " not in shown
