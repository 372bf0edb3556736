"""Shared by all tests: one thread, no hub, a folder with real GLUE data where there is one.

One thread, because several processes may share the tests, and their children the cores.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported, here and in children

import pytest


@pytest.fixture(scope="session")
def glue_dir() -> Path:
    """The folder of official GLUE files; skips where CALISR_GLUE_DIR names none."""
    folder = os.environ.get("CALISR_GLUE_DIR")
    if not folder or not Path(folder).is_dir():
        pytest.skip("CALISR_GLUE_DIR names no folder with the GLUE files")
    return Path(folder)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random BERT, to be read only; this process computes with one thread."""
    import torch

    from tests.training.tiny_run import save_model

    torch.set_num_threads(1)
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(autouse=True, scope="session")
def commands_built_once() -> Iterator[None]:
    """What typer makes of the functions of the command line stays the same for all calls."""
    from typer import main

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(main, "get_command", cache(main.get_command))
        yield


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Modules and tests stay to the end: nobody looks for garbage among them, now or later.

    Looking for it seldom saves a sixth of what an app's tests cost.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()
        gc.set_threshold(200_000, 50, 100)
