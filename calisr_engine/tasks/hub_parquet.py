"""Any data set of the Hugging Face hub, by the Parquet files in its repository and nothing else.

No code of a repository runs and no other format is read. Where the main branch has no Parquet
files, those of the hub's own conversion (refs/convert/parquet) serve.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from calisr_engine.errors import DataError, UnavailableError
from calisr_engine.plain_words import quoted
from calisr_engine.tasks.hub import hub_answers
from calisr_engine.tasks.own_names import VALIDATION
from calisr_engine.tasks.parquet import read_parquet
from calisr_engine.tasks.table import Table

REVISIONS = ("main", "refs/convert/parquet")

_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_SHARD = re.compile(r"(?P<split>.+?)(-\d{5}-of-\d{5})?(-[0-9a-f]{16})?")
_CARD = "README.md"

Splits = Mapping[str, Sequence[str]]
"""Files by split, as paths within the repository."""


@dataclass(frozen=True)
class HubData:
    """One configuration of a data set.

    Attributes:
        title: "NAME" or "NAME:CONFIG".
        splits: local files by split.
    """

    title: str
    splits: Mapping[str, tuple[Path, ...]]

    def named(self, split: str) -> str:
        """That split's name, if it is one.

        Raises:
            DataError: there is none; the hint names those that there are.
        """
        if split in self.splits:
            return split
        near = difflib.get_close_matches(split, self.splits, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise DataError(
            f"{self.title} has no split {quoted(split)}",
            f"{meant}splits: {', '.join(self.splits)}",
        )

    def train_split(self, given: str | None) -> str:
        """The split that trains: the one given, else train, else the only one."""
        if given is None and len(self.splits) == 1:
            return next(iter(self.splits))
        return self.named(given or "train")

    def validation_split(self, given: str | None) -> str | None:
        """The split that validates: the one given, else by its name; None where none is."""
        if given is not None:
            return self.named(given)
        return next((name for name in VALIDATION if name in self.splits), None)

    def table(self, split: str, names: Sequence[str] | None) -> Table:
        """The rows of a split, shards joined.

        Raises:
            DataError: a shard cannot be read, or lacks a column.
        """
        parts = [read_parquet(path, names) for path in self.splits[split]]
        first = parts[0]
        columns = {
            name: [cell for part in parts for cell in part.column(name)] for name in first.columns
        }
        rows = sum(len(part) for part in parts)
        if not rows:
            raise DataError(f"{self.title}: the split {split} is empty", "name another split")
        path = Path(f"{self.title}/{split}")
        return Table(path, first.header, columns, range(1, rows + 1), "row")


def find(dataset: str) -> HubData:
    """The Parquet files of NAME or NAME:CONFIG, from the cache where the hub is off.

    Raises:
        UnavailableError: it is neither there nor reachable, or has no Parquet files.
        DataError: there is no such configuration, or several and none is named.
    """
    name, _, config = dataset.partition(":")
    if not _NAME.fullmatch(name):
        raise DataError(
            f"{quoted(dataset)} is no name of a data set",
            "write NAME or NAME:CONFIG, such as owner/reviews or glue:cola; for files of your own "
            "use --train FILE",
        )
    for revision in REVISIONS:
        root, files = _listed(name, revision)
        found = configurations(files, _card(name, revision, root))
        if found:
            chosen = _chosen(name, config, found)
            title = name if config == "" else f"{name}:{config}"
            return HubData(title, _here(name, revision, root, chosen))
    raise UnavailableError(
        f"{name} has no Parquet files, and the hub no conversion of it to Parquet",
        "nothing else is read, and its code is never run; download its files and use --train FILE",
    )


def configurations(
    files: Iterable[str], card: Mapping[str, Any]
) -> dict[str, dict[str, list[str]]]:
    """Files by configuration and split: as the card says, else by their names.

    Names as the hub has them: CONFIG/SPLIT-00000-of-00002.parquet, data/SPLIT.parquet, and
    CONFIG/SPLIT/0000.parquet in its conversion.
    """
    parquet = sorted(each for each in files if each.endswith(".parquet"))
    told = _told(parquet, card)
    if told:
        return told
    found: dict[str, dict[str, list[str]]] = {}
    for each in parquet:
        path = PurePosixPath(each)
        above = [part for part in path.parts[:-1] if part != "data"]
        if path.stem.isdigit() and above:
            split = above.pop().removeprefix("partial-")
        else:
            match = _SHARD.fullmatch(path.stem)
            split = match["split"] if match else path.stem
        found.setdefault("/".join(above) or "default", {}).setdefault(split, []).append(each)
    return found


def _told(parquet: Sequence[str], card: Mapping[str, Any]) -> dict[str, dict[str, list[str]]]:
    """What the card's `configs` say, as far as they are of the plain form."""
    found: dict[str, dict[str, list[str]]] = {}
    configs = card.get("configs")
    for config in configs if isinstance(configs, list) else []:
        data = config.get("data_files") if isinstance(config, dict) else None
        for entry in data if isinstance(data, list) else []:
            if not isinstance(entry, dict) or not isinstance(entry.get("split"), str):
                continue
            paths = entry.get("path")
            globs = [paths] if isinstance(paths, str) else paths
            if not isinstance(globs, list):
                continue
            hits = [f for f in parquet if any(fnmatch.fnmatchcase(f, str(g)) for g in globs)]
            if hits:
                name = str(config.get("config_name", "default"))
                found.setdefault(name, {})[entry["split"]] = hits
    return found


def _chosen(name: str, config: str, found: Mapping[str, dict[str, list[str]]]) -> Splits:
    if config:
        if config in found:
            return found[config]
        near = difflib.get_close_matches(config, found, n=1)
        meant = f"did you mean {name}:{near[0]}? " if near else ""
        raise DataError(
            f"{name} has no configuration {quoted(config)}",
            f"{meant}configurations: {', '.join(list(found)[:20])}",
        )
    if len(found) == 1:
        return next(iter(found.values()))
    if "default" in found:
        return found["default"]
    raise DataError(
        f"{name} has {len(found)} configurations",
        f"name one, such as {name}:{next(iter(found))}; there are {', '.join(list(found)[:20])}",
    )


def _listed(name: str, revision: str) -> tuple[Path | None, list[str]]:
    """Folder and files of a cached snapshot where the hub is off, else the files on the hub."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import RevisionNotFoundError

    if constants.HF_HUB_OFFLINE or not hub_answers():
        root = _cached(name, revision)
        if root is None:
            if revision != REVISIONS[-1]:
                return None, []
            off = (
                "is turned off (HF_HUB_OFFLINE)" if constants.HF_HUB_OFFLINE else "is out of reach"
            )
            raise UnavailableError(
                f"the data set {name} is not here: the hub {off} and it is not in the cache",
                "load it once with the hub in reach, or use files of your own: --train FILE",
            )
        files = [p.relative_to(root).as_posix() for p in sorted(root.rglob("*")) if p.is_file()]
        return root, files
    try:
        listed = HfApi().list_repo_files(name, repo_type="dataset", revision=revision)
        return None, list(listed)
    except RevisionNotFoundError:
        return None, []
    except Exception as error:  # the hub's client has many classes for "not there"
        raise _not_given(name, error) from error


def _cached(name: str, revision: str) -> Path | None:
    """The snapshot of that revision in the cache of huggingface_hub."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(name, repo_type="dataset", revision=revision, local_files_only=True)
        )
    except LocalEntryNotFoundError:
        return None


def _card(name: str, revision: str, root: Path | None) -> Mapping[str, Any]:
    """The YAML at the head of the data set's card; empty where there is none to read."""
    if revision != REVISIONS[0]:
        return {}
    try:
        if root is None:
            root = _downloaded(name, revision, [_CARD])
        text = (root / _CARD).read_text(encoding="utf-8")
    except (OSError, UnicodeError, UnavailableError):
        return {}
    head = re.match(r"---\r?\n(.*?)\r?\n---", text, re.DOTALL)
    if head is None:
        return {}
    import yaml

    try:
        found = yaml.safe_load(head[1])
    except (yaml.YAMLError, RecursionError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _here(
    name: str, revision: str, root: Path | None, splits: Splits
) -> dict[str, tuple[Path, ...]]:
    """The files on this machine; downloads them where the hub is in reach."""
    if root is None:
        root = _downloaded(name, revision, [file for files in splits.values() for file in files])
    return {split: tuple(root / file for file in files) for split, files in splits.items()}


def _downloaded(name: str, revision: str, files: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        root = snapshot_download(
            name, repo_type="dataset", revision=revision, allow_patterns=list(files)
        )
        return Path(root)
    except Exception as error:  # as above
        raise _not_given(name, error) from error


def _not_given(name: str, error: Exception) -> UnavailableError:
    reason = (str(error).splitlines() or [""])[0][:160]
    return UnavailableError(
        f"the hub did not give the data set {name} ({type(error).__name__}: {reason})",
        "check its name on the hub, or use files of your own: --train FILE",
    )
