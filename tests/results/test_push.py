"""Pushing to the hub, with a client that stands in for it."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from calisr_engine.errors import ConfigError, UnavailableError
from calisr_engine.results import push as pushing
from calisr_tui.cli.app import run_command_line


class Hub:
    """A hub with repositories: name -> private."""

    def __init__(self, **there: bool) -> None:
        self.there = {f"me/{name}": private for name, private in there.items()}
        self.sent: list[str] = []
        self.broken = False

    def create_repo(self, name: str, *, private: bool, **_: Any) -> Any:
        if self.broken:
            raise ConnectionError("no route\x1b[2J to the hub")
        full = name if "/" in name else f"me/{name}"
        self.there.setdefault(full, private)
        return SimpleNamespace(repo_id=full)

    def repo_info(self, name: str, **_: Any) -> Any:
        return SimpleNamespace(private=self.there[name])

    def upload_folder(
        self, *, repo_id: str, folder_path: Path, allow_patterns: list[str], **_: Any
    ) -> None:
        assert repo_id in self.there
        files = [str(p.relative_to(folder_path)) for p in folder_path.rglob("*") if p.is_file()]
        matched = [f for f in files if any(fnmatch.fnmatch(f, each) for each in allow_patterns)]
        self.sent = sorted(matched)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    kept = ("config.json", "model.safetensors", "README.md", "onnx/model.onnx")
    for name in (*kept, "evil.pkl", "pytorch_model.bin", "code.py", "onnx/evil.pt"):
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return tmp_path / "model"


def test_private_unless_said_otherwise_and_never_a_pickle(folder: Path) -> None:
    hub = Hub()
    assert pushing.push(folder, "mine", hub) == "https://huggingface.co/me/mine"
    assert hub.there == {"me/mine": True}
    assert hub.sent == ["README.md", "config.json", "model.safetensors", "onnx/model.onnx"]
    pushing.push(folder, "mine", hub)  # a new commit
    pushing.push(folder, "me/open", hub, public=True)
    assert hub.there["me/open"] is False


def test_what_exists_is_not_made_public_by_a_push(folder: Path) -> None:
    hub = Hub(known=False)
    with pytest.raises(ConfigError, match="exists on the hub and is public; nothing was uploaded"):
        pushing.push(folder, "known", hub)
    assert hub.sent == []
    hub.broken = True
    with pytest.raises(UnavailableError, match="could not be pushed to x") as caught:
        pushing.push(folder, "x", hub)
    assert "\x1b" not in caught.value.message
    for name in ("", "a/b/c", "../up", "-x", "a--b", "a b"):
        with pytest.raises(ConfigError, match="is no name of a repository"):
            pushing.push(folder, name, Hub())


def test_the_command_says_what_is_missing_before_it_exports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from huggingface_hub import constants

    from tests.tui.example import copy_runs

    (run,) = copy_runs(tmp_path, 1)

    def said(*words: str) -> tuple[int, str]:
        status = run_command_line(["export", str(run), *words])
        return status, capsys.readouterr().err

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    status, text = said("--push", "mine")
    assert status == 3
    assert "the hub is off (HF_HUB_OFFLINE)" in text
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    status, text = said("--push", "mine")
    assert status == 3
    assert "there is no token of the hub" in text
    assert "hf auth login" in text
    assert said()[0] == 2
    assert said("out", "--public")[0] == 2
    assert not (tmp_path / "out").exists()
