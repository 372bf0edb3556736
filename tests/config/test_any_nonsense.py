"""Whatever is written as settings: a run, or a ConfigError that names places; nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from calisr_engine.config.describe import SECTION_NAMES, by_key
from calisr_engine.config.load import load
from calisr_engine.errors import ConfigError
from calisr_engine.methods.catalog import METHODS
from tests.config.any_config import anything, texts

KEYS = sorted({key for method in METHODS for key in by_key(method)})
WORDS = sorted({word for m in METHODS for info in by_key(m).values() for word in info.choices})

keys = st.sampled_from([*KEYS, *SECTION_NAMES, "extends", "training.lr", "model.", ".name"]) | texts
values = (
    st.sampled_from([*WORDS, 0, 1, 3, 0.5, -1, 2**63, 10**400, "none", "3", "a.csv", ["query"]])
    | anything
)
writable = st.recursive(
    st.booleans() | st.integers() | st.floats() | texts | st.dates() | st.times(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
often = settings(max_examples=250, derandomize=True, deadline=None, database=None)


def check(*args: Any, **more: Any) -> None:
    try:
        assert load(*args, **more).to_toml()
        return
    except ConfigError as refused:
        error = refused
    assert error.problems
    assert len(str(error).splitlines()) == len(error.problems) + 2  # each is one line
    assert all(each.message and each.place for each in error.problems)


@often
@given(st.sampled_from([*METHODS, "lorra", 3]), st.dictionaries(keys, values, max_size=5))
def test_options_of_a_program(method: Any, overrides: Mapping[str, Any]) -> None:
    check(None, overrides={"method.name": method, **overrides})


@often
@given(st.lists(st.tuples(keys, texts | st.sampled_from(WORDS)), max_size=4))
def test_options_of_the_command_line(pairs: list[tuple[str, str]]) -> None:
    check("demo", [f"{key}={text}" for key, text in pairs])


@often
@given(
    st.dictionaries(
        st.sampled_from(SECTION_NAMES) | texts,
        st.dictionaries(
            st.sampled_from([key.rpartition(".")[2] for key in KEYS]) | texts,
            st.sampled_from(WORDS) | writable,
            max_size=4,
        )
        | writable,
        max_size=3,
    )
)
def test_files(data: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "my.toml")
        path.write_text(tomli_w.dumps(data), encoding="utf-8", newline="")
        check(path)


@often
@given(st.text(max_size=60) | st.binary(max_size=60))
def test_files_of_any_bytes(raw: str | bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "my.toml")
        path.write_bytes(raw if isinstance(raw, bytes) else raw.encode(errors="surrogatepass"))
        check(path)
