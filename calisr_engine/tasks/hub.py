"""GLUE from the hub, through `datasets`; fails at once where the hub cannot be reached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from calisr_engine.errors import UnavailableError
from calisr_engine.tasks.examples import Examples
from calisr_engine.tasks.glue_task import GlueTask
from calisr_engine.tasks.source import Source


def read(task: GlueTask) -> Source:
    """Load a task from the hub, or from the cache of `datasets` where the hub is off.

    Raises:
        UnavailableError: it is neither there nor reachable; the hint says what works offline.
    """
    loaded = _load(task)
    try:
        train = _examples(task, loaded["train"], labelled=True)
        validation = {
            name: _examples(task, loaded[split], labelled=True)
            for name, (_, split) in task.validation.items()
        }
        test = {
            name: _examples(task, loaded[split], labelled=False)
            for name, (_, split) in task.test.items()
            if split in loaded
        }
    except KeyError as error:
        raise UnavailableError(
            f"{task.hub_id} on the hub has no {error} for {task.title}", _mend(task)
        ) from error
    return Source.of_task(task, train, validation, test)


def read_test(task: GlueTask, name: str) -> Examples:
    """One test set alone; "ax:test" is a split of a configuration of its own.

    Raises:
        UnavailableError: as `read`.
    """
    configuration, _, split = task.test[name][1].rpartition(":")
    loaded = _load(task, configuration or task.name)
    if split not in loaded:
        raise UnavailableError(f"{task.hub_id} on the hub has no split {split}", _mend(task))
    return _examples(task, loaded[split], labelled=False)


def _load(task: GlueTask, configuration: str | None = None) -> Any:
    import datasets

    off = datasets.config.HF_HUB_OFFLINE
    reachable = not off and hub_answers()
    try:
        with nullcontext() if reachable else _offline():
            return datasets.load_dataset(task.hub_id, configuration or task.name)
    except Exception as error:
        # datasets, huggingface_hub, httpx and fsspec each have error classes of their own for
        # "not here", and some are plain OSError or ValueError.
        if off:
            reason = "the hub is turned off (HF_HUB_OFFLINE) and it is not in the cache"
        elif not reachable:
            reason = "the hub cannot be reached and it is not in the cache"
        else:
            reason = f"the hub did not give it ({type(error).__name__}: {_first_line(error)})"
        raise UnavailableError(f"{task.title} is not here: {reason}", _mend(task)) from error


def hub_answers(timeout: float = 5.0) -> bool:
    """Does the hub answer at all? Asked once, since its own client tries for half a minute."""
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=timeout)
    except Exception:
        return False
    return True


@contextmanager
def _offline() -> Iterator[None]:
    """Have `datasets` look into its cache only."""
    import datasets
    from huggingface_hub import constants

    before = (datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE)
    datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:160]


def _mend(task: GlueTask) -> str:
    return (
        "give the folder of the official files (--data-dir FOLDER with "
        f"{task.folder}/{task.train_file} in it), or take the built-in task (task.name = demo)"
    )


def _examples(task: GlueTask, split: Any, labelled: bool) -> Examples:
    columns = [tuple(split[name]) for name in task.hub_columns]
    labels = tuple(split["label"]) if labelled else None
    if labels is not None and task.kind == "regression":
        labels = tuple(float(label) for label in labels)
    return Examples(columns[0], columns[1] if task.is_pair else None, labels, tuple(split["idx"]))
