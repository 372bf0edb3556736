"""The best model of a run, ready to predict: from its export, else rebuilt from `best/`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import CalisrError, DamagedError, NotFoundError, UnavailableError
from calisr_engine.methods.reload import METHOD, attach_for_reading, load_with_method
from calisr_engine.models.blocks import apart
from calisr_engine.models.load import load_model, opener
from calisr_engine.plain_words import command
from calisr_engine.runs import load_view
from calisr_engine.runs.layout import RunPaths
from calisr_engine.storage.plain import read_json
from calisr_engine.storage.sealed import MANIFEST, verified
from calisr_engine.task_kinds import kind_of_export
from calisr_engine.tasks.batches import evaluation_batches, tokenize
from calisr_engine.tasks.examples import Examples
from calisr_engine.training import best
from calisr_engine.training.batching import evaluation_stream, taking, unseen_logits
from calisr_engine.training.device import autocast_for, choose_precision
from calisr_engine.training.predict import predict

Progress = Callable[[int, int], None]
"""Called with (rows predicted, rows in all)."""


def open_best(
    run_dir: Path, config: RunConfig, label_names: Sequence[str], kind: str
) -> tuple[nn.Module, Any]:
    """(model in evaluation mode on the CPU, its tokenizer).

    Args:
        label_names: classes by number, for a model that must be rebuilt; empty for regression.

    Raises:
        NotFoundError: the run kept neither an exported model nor its best weights.
        UnavailableError: they are damaged, or the model that the run began with is not here.
    """
    if export_counts(run_dir):
        return open_exported(RunPaths(run_dir).model)
    return rebuild(config, label_names, kind, best_weights(run_dir))


def export_counts(run_dir: Path) -> bool:
    """Is the run's exported model there, and its best one?

    A run that went on after its export may have a better one in `best/`.
    """
    paths = RunPaths(run_dir)
    if not paths.model.is_dir():
        return False
    if not paths.best.is_dir():
        return True
    view = load_view(run_dir)
    return view.state == "completed" or view.best_step is None


def best_weights(run_dir: Path) -> dict[str, Tensor]:
    """The weights in `best/`, also of a run in training, whose best model may change meanwhile.

    Raises:
        NotFoundError: there is none (yet).
        UnavailableError: they are damaged.
    """
    return _of_best(run_dir, best.weights)[1]


def best_logits(run_dir: Path) -> tuple[int, dict[str, Tensor]]:
    """(step, logits by validation set) of the best model, as it was evaluated; as `best_weights`.

    Logits are float32, shape (rows, classes), in the order of the rows.
    """
    return _of_best(run_dir, best.logits)


def _of_best(
    run_dir: Path, read: Callable[[Path, int], dict[str, Tensor]]
) -> tuple[int, dict[str, Tensor]]:
    paths, before = RunPaths(run_dir), None
    while True:
        view = load_view(run_dir)
        step = view.best_step
        if step is None or not paths.best.is_dir():
            raise NotFoundError(
                f"{run_dir.name} has no best model yet: neither {paths.model.name}/ nor "
                f"{paths.best.name}/ (state: {view.state})",
                "it has one after its first evaluation"
                if view.state in ("created", "running", "paused")
                else f"go on with it ({command('resume', run_dir)}), or train it anew",
            )
        try:
            return step, read(paths.best, step)
        except DamagedError as error:
            if step == before:
                raise UnavailableError(
                    f"the best model in {paths.best / f'step-{step}'} is damaged: {error.message}",
                    "train the run anew",
                ) from error
        before = step


def open_exported(folder: Path) -> tuple[nn.Module, Any]:
    """A run's `model/` folder: plain transformers, or the format of a method that changed the
    architecture.

    Raises:
        UnavailableError: the folder is damaged.
    """
    from transformers import AutoTokenizer

    verify_exported(folder)
    safe = {"trust_remote_code": False, "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **safe)
        if (folder / METHOD).is_file():
            return load_with_method(folder), tokenizer
        model = opener(kind_of_export(read_json(folder / "config.json"))).from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, **safe
        )
    except CalisrError:
        raise
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UnavailableError(
            f"{folder} cannot be opened: {first[:200]}", "the folder is damaged; train the run anew"
        ) from error
    return model.eval(), tokenizer


def verify_exported(folder: Path) -> None:
    """Check a run's `model/` folder against its manifest.

    Earlier versions wrote none: then its tensor files must be whole, and more cannot be known.

    Raises:
        UnavailableError: something in it is missing or damaged.
    """
    try:
        if os.path.lexists(folder / MANIFEST):
            verified(folder)
        else:
            _open_tensors(folder)
    except DamagedError as error:
        raise UnavailableError(
            f"{folder} is damaged: {error.message}",
            "without that folder, `calisr submit` predicts with best/; or train the run anew",
        ) from error


def _open_tensors(folder: Path) -> None:
    for file in sorted(folder.glob("*.safetensors")) or [folder / "model.safetensors"]:
        try:
            with safe_open(file, "pt") as tensors:  # checks the header against the file's length
                tensors.keys()
        except (OSError, SafetensorError) as error:
            raise DamagedError(f"{file.name} cannot be read: {error}") from error


def rebuild(
    config: RunConfig, label_names: Sequence[str], kind: str, weights: Mapping[str, Tensor]
) -> tuple[nn.Module, Any]:
    """The model of a run's settings with the weights of its `best/` folder.

    Raises:
        UnavailableError: the weights do not fit, or the model to begin with is not here.
    """
    loaded = load_model(
        config.model,
        num_labels=len(label_names) or 1,
        kind=kind,
        seed=config.training.seed,
        label_names=label_names,
    )
    model = loaded.model
    if config.method.changes_architecture:
        attach_for_reading(model, config.method)
    own, weights = model.state_dict(), apart(model, weights)
    # Memory that two names share is stored under one of them.
    filled = {own[name].data_ptr() for name in weights if name in own}
    lacking = [n for n, t in own.items() if n not in weights and t.data_ptr() not in filled]
    unfit = [n for n, t in weights.items() if n not in own or own[n].shape != t.shape]
    if lacking or unfit:
        raise UnavailableError(
            f"the best weights of the run do not fit {config.model.name}: {(lacking + unfit)[0]}",
            "the model changed since the run; train it anew",
        )
    with torch.no_grad():
        for name, tensor in weights.items():
            own[name].copy_(tensor)
    return model.eval(), loaded.tokenizer


def logits_of(
    model: nn.Module,
    tokenizer: Any,
    examples: Examples,
    config: RunConfig,
    device: torch.device,
    progress: Progress | None = None,
    batch_size: int | None = None,
    keep_tokens: bool = True,
) -> Tensor:
    """Logits of shape (answers, classes) in fp32 on the CPU, with a run's input length and
    precision; an answer is that of a row, or of a word.

    Args:
        batch_size: rows of a batch; None takes the run's own.
        keep_tokens: keep the token ids in the cache, for rows that come again.
    """
    data = tokenize(examples, tokenizer, config.task.max_length, keep=keep_tokens)
    order = evaluation_batches(data.lengths(), batch_size or config.training.eval_batch_size)
    # On another device than the run's, bf16 only where there is such hardware.
    wanted = "fp32" if config.training.precision == "fp32" else "auto"
    autocast = autocast_for(device, choose_precision(device, wanted))

    def batches() -> Iterator[tuple[list[int], dict[str, Tensor]]]:
        done = 0
        for rows, batch in evaluation_stream(data, tokenizer, order):
            yield rows, batch
            done += len(rows)
            if progress is not None:
                progress(done, len(data))

    names: Any = getattr(model.config, "id2label", {})
    unseen = None
    if data.words is not None:
        unseen = unseen_logits("token", [str(names[number]) for number in sorted(names)])
    return predict(
        model.to(device),
        batches(),
        data.answers,
        device,
        autocast,
        take=taking(data, tokenizer),
        unseen=unseen,
    ).logits
