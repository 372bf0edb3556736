"""Keys of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

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


@pytest.mark.parametrize("owner", [*places.key_owners(CalisrApp)], ids=lambda each: each.__name__)
def test_the_keys_of_an_owner_are_those_that_textual_has(owner: Any) -> None:
    """Inherited ones, too, but for keys that a nearer class has taken."""
    keys = {
        (each.id, key)
        for key, found in owner._merged_bindings.key_to_bindings.items()
        for each in found
        if each.id
    }
    named = places.bindings_of(owner)
    assert {(each.id, key) for each in named for key in each.key.split(",")} == keys
    assert {name for name, _ in keys} <= {each.id for each in places.every_binding(CalisrApp)}


def test_clashes_with_inherited_keys_are_told() -> None:
    (clash, *_) = keymap.clashes({"live.full": "E"}, places.together(CalisrApp))
    assert clash == "'E' is the key of live.full and of run.errors"
    freeze = {"live.freeze": "z,space"}  # as it is: in a replay, space is another key by itself
    assert list(keymap.clashes(freeze, places.together(CalisrApp))) == []


def test_an_unknown_section_of_the_keymap_is_told(tmp_path: Path) -> None:
    path = tmp_path / "keymap.toml"
    path.write_text('[key]\n"live.pause" = "B"\n')
    used, (problem,) = keymap.read_keymap(path, ["live.pause"])
    assert used == {}
    assert "'key'" in problem
