"""Writes generations of one folder and one file, and fails or dies on the way, for tests.

`python -m tests.storage.writer PLACE kill N` dies by SIGKILL at call N of the system;
`... PLACE forever` writes until it is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from calisr_engine.storage.whole import whole_folder, write_text

CALLS = ("open", "mkdir", "chmod", "fsync", "rename", "replace", "unlink", "rmdir", "scandir")
PARTS = ("a.txt", "inner/b.txt", "z.txt")


def write_all(place: Path, generation: int) -> None:
    """Two writes, one after the other, each whole or not at all."""
    text = f"{generation} " * 2000
    with whole_folder(place / "folder", "the folder") as part:
        for name in PARTS:
            (part / name).parent.mkdir(exist_ok=True)
            (part / name).write_text(text)
    write_text(place / "file", text, "the file")


def read_all(place: Path) -> tuple[str | None, str | None]:
    """The generations of folder and file, None where there is none; fails on mixed ones."""
    found = []
    for files in ([place / "folder" / name for name in PARTS], [place / "file"]):
        if not files[0].parent.exists() or not files[-1].exists():
            found.append(None)
            continue
        words = {word for file in files for word in file.read_text().split()}
        assert len(words) == 1
        assert {len(file.read_text().split()) for file in files} == {2000}
        found.append(words.pop())
    return found[0], found[1]


@contextlib.contextmanager
def at_call(number: int, act: Callable[[str], None]) -> Iterator[list[str]]:
    """Have `act` called with the name of system call `number`; yields the names of all calls."""
    seen: list[str] = []
    real = {name: getattr(os, name) for name in CALLS}

    def hooked(name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            seen.append(name)
            if len(seen) - 1 == number:
                act(name)
            return real[name](*args, **kwargs)

        return call

    for name in CALLS:
        setattr(os, name, hooked(name))
    try:
        yield seen
    finally:
        for name in CALLS:
            setattr(os, name, real[name])


def main(place: Path, how: str, number: int = -1) -> None:
    if how == "kill":
        with at_call(number, lambda name: os.kill(os.getpid(), signal.SIGKILL)):
            write_all(place, 1)
    generation = 0
    while how == "forever":
        generation += 1
        write_all(place, generation)
        print(generation, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
