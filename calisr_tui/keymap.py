"""Keys of the user's own: a TOML file that names bindings by their id.

[keys]
"live.pause" = "B"
"app.runs" = "f4,R"
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from calisr_engine.config.toml_file import read
from calisr_engine.errors import ConfigError

EXAMPLE = """\
# Keys of the calisr terminal app. Ids are listed on the help page (F1).
# Several keys are separated by commas. Remove the # of a line to use it.
[keys]
# "live.pause" = "B"
# "app.runs" = "f4,R"
"""


def config_dir() -> Path:
    """Where the app keeps the user's keys and theme."""
    from platformdirs import user_config_dir

    return Path(user_config_dir("calisr"))


def read_keymap(path: Path, known: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """(id -> keys, what could not be used and why). A missing file is an empty one."""
    if not path.exists():
        return {}, []
    try:
        content = read(path).data
    except ConfigError as error:
        return {}, [f"{path} was not used: {error.problems[0]}"]
    keys = content.get("keys", {})
    if not isinstance(keys, dict):
        return {}, [f"{path}: [keys] must be a table"]
    names = set(known)
    used: dict[str, str] = {}
    problems = [
        f"{path.name}: {each!r} is not used; keys stand below [keys]"
        for each in content
        if each != "keys"
    ]
    for name, value in keys.items():
        if name not in names:
            problems.append(f"{path.name}: there is no key called {name!r}; F1 lists them")
        elif not isinstance(value, str) or not value.strip():
            problems.append(f'{path.name}: {name} needs keys as text, such as "P" or "f4,R"')
        else:
            used[name] = value
    return used, problems


def clashes(used: Mapping[str, str], owners: Iterable[Iterable[tuple[str, str]]]) -> Iterator[str]:
    """What keys of the user's own would do twice, once for each pair of bindings.

    Args:
        owners: (id, keys) of the bindings that are there together, such as those of one screen.
    """
    told: set[str] = set()
    for bindings in owners:
        first: dict[str, str] = {}
        for name, keys in bindings:
            for key in used.get(name, keys).split(","):
                other = first.setdefault(key.strip(), name)
                if other != name and (name in used or other in used):
                    told.add(f"{key.strip()!r} is the key of {other} and of {name}")
    yield from sorted(told)
