"""Hypothesis strategies: any settings that a run can have, and any nonsense that one can write."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from calisr_engine.config.check import EMPTY_WORDS
from calisr_engine.config.describe import FieldInfo, all_fields
from calisr_engine.config.schema import RunConfig
from calisr_engine.methods.catalog import METHODS
from calisr_engine.models.component_names import COMPONENTS
from calisr_engine.settings import LARGEST_FLOAT, SMALLEST_FLOAT, Reading

ODD_TEXTS = ["", " 5 ", "a \"quoted\" 'name'", "tab\tnew\nline # no comment", "ünïcode ☃ 🂡"]
ODD_TEXTS += ["[x]\ny = 1", '"""', "\\", "\r\n", "none", "\x7f\x1b[1m", "true", "{x = 1}", "a,b"]

# What a file can hold: any character but the zero byte and lone surrogates.
texts = st.sampled_from(ODD_TEXTS) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12
)

MAPPED = {name: f"layers.*.{name}" for name in COMPONENTS}


@cache  # a strategy made anew is looked through anew
def runs(method: str) -> st.SearchStrategy[RunConfig]:
    """Valid settings of runs with this method."""
    infos = all_fields(method)
    return st.fixed_dictionaries({i.key: legal(i) for i in infos}).map(_keep_rules)


any_run = st.sampled_from(sorted(METHODS)).flatmap(runs)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
"""Any value, legal or not."""


def bounds_of(info: FieldInfo) -> dict[str, Any]:
    """Least and largest values of a number, by pydantic's names."""
    bounds: dict[str, Any] = {}
    if info.key != "method.name":
        for item in info.model.model_fields[info.name].metadata:
            for name in ("ge", "gt", "le", "lt"):
                if getattr(item, name, None) is not None:
                    bounds[name] = getattr(item, name)
    return bounds


def legal(info: FieldInfo) -> st.SearchStrategy[Any]:
    """Values that a setting takes by itself."""
    bounds = bounds_of(info)
    low = bounds.get("ge", bounds.get("gt"))
    high = bounds.get("le", bounds.get("lt"))
    if info.key == "method.name":
        found: st.SearchStrategy[Any] = st.just(info.default)
    elif info.key == "training.device":
        found = st.sampled_from(["auto", "cpu", "mps", "cuda", "cuda:17"])
    elif info.key == "model.components":
        found = st.sampled_from([None, MAPPED])
    elif info.key == "calibration.groups":
        found = st.sampled_from([None, {"early": "0-5.*", "late": "rest"}])
    elif info.key == "task.label_separator":
        found = st.sampled_from(["|", ",", "; ", "\t", "☃"])
    elif info.key == "method.tuner":
        found = st.sampled_from(["lora", "loha", "ia3"])
    elif info.key == "method.options":
        found = st.sampled_from(["r=4", "r=4, lora_alpha=8.5", "module_dropout=0.25"])
    elif info.key == "output.name":
        found = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}", fullmatch=True)
    elif info.kind == "int":
        found = st.integers(low, 2**63 - 1 if high is None else high)
    elif info.kind == "float":
        found = st.floats(
            -LARGEST_FLOAT if low is None else low,
            LARGEST_FLOAT if high is None else high,
            exclude_min="gt" in bounds,
            exclude_max="lt" in bounds,
        ).filter(lambda value: value == 0 or abs(value) >= SMALLEST_FLOAT)
    elif info.kind == "flag":
        found = st.booleans()
    elif info.kind == "choice":
        found = st.sampled_from(info.choices)
    elif info.kind == "list" and not info.choices:  # names of columns or languages
        names = texts.filter(lambda text: text.strip() != "")
        found = st.lists(names, min_size=1, max_size=3, unique=True).map(tuple)
    elif info.kind == "list":
        found = st.permutations(info.choices).flatmap(
            lambda order: st.integers(1, len(order)).map(lambda size: tuple(order[:size]))
        )
    elif info.kind == "path":
        found = texts.map(lambda text: Path(f"/data/{text}"))
    elif info.optional:
        found = texts.filter(lambda text: text.strip().lower() not in EMPTY_WORDS)
    else:
        found = texts.filter(lambda text: info.expects == "text" or text.strip() != "")
    return st.none() | found if info.optional else found


def _keep_rules(values: dict[str, Any]) -> RunConfig:
    """The settings with those back at their defaults that break a rule."""
    defaults = {info.key: info.default for info in all_fields(values["method.name"])}
    while True:
        config = RunConfig.model_validate(_nested(values), context=Reading())
        named = {key for each in config.all_broken_rules() for key in each.keys}
        # One option of a table is set back with all of them.
        broken = {key if key in defaults else key.rpartition(".")[0] for key in named}
        if not broken:
            return config
        if any(key.startswith("task.") for key in broken):  # a column of own data is missing
            broken |= {"task.train_file", "task.validation_file", "task.dataset"}
        values = values | {key: defaults[key] for key in broken if key != "method.name"}


def _nested(values: dict[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[name] = value
    return nested
