"""The tuners of the installed peft and the options of their configs, read from its source text.

peft itself needs torch, which forms and `--help` do without. Its config classes are dataclasses
whose fields carry type, default and help; that is all that is read here, and nothing of it is run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

OURS = frozenset(
    {
        *("target_modules", "exclude_modules", "target_parameters", "layers_to_transform"),
        *("layers_pattern", "modules_to_save", "trainable_token_indices", "layer_replication"),
        *("bias", "fan_in_fan_out", "inference_mode", "runtime_config"),
    }
)
"""Fields of peft's configs that say where a tuner goes and what else trains: `method.components`
and the engine decide that."""

IDLE = frozenset(
    {
        *("save_projection", "save_precomputed_indices", "save_indices", "save_only_topk_weights"),
        *("use_qalora", "qalora_group_size", "use_effective_conv2d", "ensure_weight_tying"),
    }
)
"""Options that change nothing in a linear layer here: of how peft saves its own files, and of what
only quantised layers, convolutions and tied embeddings have."""

_NAME = re.compile(r"register_peft_method\(.*?name=\"(\w+)\"", re.DOTALL)
_SHARED = re.compile(r"from peft\.tuners\.(\w+) import")
_MERGE = re.compile(r"^    def merge\(", re.MULTILINE)


class Unknown:
    """A default that the source text does not say."""


UNKNOWN = Unknown()


@dataclass(frozen=True)
class Option:
    """A field of a tuner's config.

    Attributes:
        kinds: types of its values: int, float, bool, str, list; allowed words are strings of their
            own in `words`, where `[...]` stands for a number. Empty where a file has no word for
            any value (a config of its own).
        items: types of the entries of a list.
        optional: whether it may be None.
        default: its default; UNKNOWN where a value is made by code.
        help: what peft says of it.
    """

    name: str
    kinds: frozenset[type]
    words: tuple[str, ...]
    items: frozenset[type]
    optional: bool
    default: Any
    help: str

    @property
    def can_be_written(self) -> bool:
        """Whether a file has words for its values; peft's config objects and tables have none."""
        return bool(self.kinds or self.words)


@cache
def _home() -> Path:
    """The folder of peft's tuners; peft is not imported."""
    spec = find_spec("peft")
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places or ()), "")) / "tuners"


@cache
def registered() -> dict[str, Path]:
    """Every tuner that peft registers, by name, with its folder."""
    found = {}
    for path in sorted(_home().glob("*/__init__.py")):
        for call in _NAME.finditer(path.read_text(encoding="utf-8")):
            found[call[1]] = path.parent
    return found


@cache
def names() -> tuple[str, ...]:
    """Tuners of which a layer has a merge, as far as the source text says."""
    return tuple(name for name, folder in registered().items() if _has_merge(folder))


def _has_merge(folder: Path) -> bool:
    path = folder / "layer.py"
    if not path.is_file():
        return False
    text = path.read_text(encoding="utf-8")
    shared = [_home() / f"{name}.py" for name in _SHARED.findall(text) if name != "tuners_utils"]
    texts = [text, *(each.read_text(encoding="utf-8") for each in shared if each.is_file())]
    return any(map(_MERGE.search, texts))


@cache
def options(tuner: str) -> dict[str, Option]:
    """The options of a tuner by name, in the order of its config, without what is `OURS`.

    Raises:
        KeyError: there is no such tuner, or its config is not found.
    """
    folder = registered()[tuner]
    text = (folder / "__init__.py").read_text(encoding="utf-8")
    for call in ast.walk(ast.parse(text)):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "register_peft_method":
            given = {each.arg: each.value for each in call.keywords}
            name, config = given.get("name"), given.get("config_cls")
            if (
                isinstance(name, ast.Constant)
                and name.value == tuner
                and isinstance(config, ast.Name)
            ):
                found = dict(_fields(folder / "__init__.py", config.id))
                return {key: each for key, each in found.items() if key not in OURS}
    raise KeyError(tuner)


def _fields(path: Path, name: str) -> Iterator[tuple[str, Option]]:
    """The fields of a dataclass and of those it stands on, up to peft's own base."""
    tree = _tree(path)
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            for base in node.bases:
                if isinstance(base, ast.Name) and base.id not in (
                    "PeftConfig",
                    "PromptLearningConfig",
                ):
                    yield from _fields(path, base.id)
            for each in node.body:
                if not isinstance(each, ast.AnnAssign) or not isinstance(each.target, ast.Name):
                    continue
                if _is_field(each):
                    yield each.target.id, _option(each.target.id, each)
            return
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and any(
            (a.asname or a.name) == name for a in node.names
        ):
            source = _source(path, node)
            if source is not None:
                yield from _fields(source, name)


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _source(path: Path, node: ast.ImportFrom) -> Path | None:
    """The file of peft that an import names."""
    folder = path.parent
    for _ in range(node.level - 1):
        folder = folder.parent
    if node.level == 0:
        if not (node.module or "").startswith("peft."):
            return None
        folder = _home().parent
    parts = (node.module or "").removeprefix("peft.").split(".") if node.module else []
    plain = folder.joinpath(*parts)
    for each in (plain.with_suffix(".py"), plain / "__init__.py"):
        if each.is_file():
            return each
    return None


def _is_field(node: ast.AnnAssign) -> bool:
    """Whether a class attribute is a field that is given when the config is made."""
    if "ClassVar" in ast.dump(node.annotation):
        return False
    made = _keywords(node.value).get("init")
    return not (isinstance(made, ast.Constant) and made.value is False)


def _keywords(value: ast.expr | None) -> dict[str | None, ast.expr]:
    return {k.arg: k.value for k in value.keywords} if isinstance(value, ast.Call) else {}


def _option(name: str, node: ast.AnnAssign) -> Option:
    annotation = node.annotation
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = ast.parse(annotation.value, mode="eval").body
    kinds: set[type] = set()
    words: list[str] = []
    items: set[type] = set()
    optional = _read(annotation, kinds, words, items)
    given = _keywords(node.value)
    made = given.get("default_factory")
    default = node.value if not isinstance(node.value, ast.Call) else given.get("default")
    if isinstance(made, ast.Name) and made.id in ("list", "dict"):
        value: Any = []
    else:
        value = _constant(default)
    help_text = ""
    metadata = given.get("metadata")
    if isinstance(metadata, ast.Dict):
        said = _constant(metadata.values[0]) if metadata.values else ""
        help_text = " ".join(said.split()) if isinstance(said, str) else ""
    return Option(
        name,
        frozenset(kinds),
        tuple(words),
        frozenset(items),
        optional or value is None,
        value,
        help_text,
    )


def _constant(node: ast.expr | None) -> Any:
    if node is None:
        return UNKNOWN
    try:
        return ast.literal_eval(node)
    except ValueError:
        return UNKNOWN


_PLAIN: dict[str, type] = {"int": int, "float": float, "bool": bool, "str": str}


def _read(node: ast.expr, kinds: set[type], words: list[str], items: set[type]) -> bool:
    """Gather the types of an annotation; whether it allows None."""
    if isinstance(node, ast.Constant):
        return node.value is None
    if isinstance(node, ast.Name) and node.id in _PLAIN:
        kinds.add(_PLAIN[node.id])
    elif isinstance(node, ast.BinOp):
        sides = [_read(each, kinds, words, items) for each in (node.left, node.right)]
        return any(sides)
    elif isinstance(node, ast.Subscript):
        name = getattr(node.value, "id", getattr(node.value, "attr", ""))
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if name in ("Union", "Optional"):
            sides = [_read(each, kinds, words, items) for each in inner]
            return name == "Optional" or any(sides)
        if name == "Literal":
            for each in map(_constant, inner):
                if isinstance(each, str):
                    words.append(each)
                elif each is None:
                    return True
                else:
                    kinds.add(type(each))
        if name.lower() in ("list", "tuple", "sequence"):
            kinds.add(list)
            for each in inner:
                _read(each, items, words, set())
    return False
