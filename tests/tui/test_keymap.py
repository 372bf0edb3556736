"""Keys of the user's own."""

from __future__ import annotations

from pathlib import Path

from calisr_tui import keymap, places
from calisr_tui.app import CalisrApp


def test_the_starter_keymap_binds_no_key_twice(tmp_path: Path) -> None:
    path = tmp_path / "keymap.toml"
    path.write_text(keymap.EXAMPLE.replace('# "', '"'))
    known = [binding.id for binding in places.every_binding(CalisrApp) if binding.id]
    used, problems = keymap.read_keymap(path, known)
    assert len(used) == 2
    assert problems == []
    assert list(keymap.clashes(used, places.together(CalisrApp))) == []
    (twice,) = keymap.clashes({"live.pause": "P"}, places.together(CalisrApp))
    assert "live.pause" in twice
    assert "app.screenshot" in twice


def test_an_unknown_section_of_the_keymap_is_told(tmp_path: Path) -> None:
    path = tmp_path / "keymap.toml"
    path.write_text('[key]\n"live.pause" = "B"\n')
    used, (problem,) = keymap.read_keymap(path, ["live.pause"])
    assert used == {}
    assert "'key'" in problem
