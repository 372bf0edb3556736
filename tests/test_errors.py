"""The user's version of any exception."""

from __future__ import annotations

import errno

import pytest
import torch

from calisr_engine.errors import NotFoundError, explain, is_out_of_memory


def cpu_allocation() -> BaseException:
    """What torch really raises when the CPU has no room."""
    try:
        torch.empty(2**58)
    except RuntimeError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    "error",
    [
        cpu_allocation(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
        RuntimeError("std::bad_alloc"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
    ids=["cpu", "cuda", "python", "c++", "system"],
)
def test_memory_that_runs_out_is_named_with_a_mend(error: BaseException) -> None:
    found = explain(error)
    assert found.message == "memory ran out"
    assert "training.batch_size" in found.hint


def test_other_errors_are_not_taken_for_it() -> None:
    assert not is_out_of_memory(ValueError("out of memory bounds"))
    assert not is_out_of_memory(RuntimeError("shapes differ"))
    found = explain(RuntimeError("shapes differ\nand more"))
    assert found.message == "unexpected RuntimeError: shapes differ"
    own = NotFoundError("no run")
    assert explain(own) is own
