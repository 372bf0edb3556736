"""Shared by all tests: one thread, no hub, a folder with real GLUE data where there is one."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    import sys

    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def glue_dir() -> Path:
    """The folder of official GLUE files; skips where CALISR_GLUE_DIR names none."""
    folder = os.environ.get("CALISR_GLUE_DIR")
    if not folder or not Path(folder).is_dir():
        pytest.skip("CALISR_GLUE_DIR names no folder with the GLUE files")
    return Path(folder)
