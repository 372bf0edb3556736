"""An exported model as an ONNX file, held against the model that it was made from.

Needs the extra `onnx`. The file takes batches and inputs of any size.
"""

from __future__ import annotations

import inspect
import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from calisr_engine.errors import RunFailedError, UnavailableError
from calisr_engine.models.folder import quiet
from calisr_engine.results.best_model import open_exported
from calisr_engine.storage.whole import whole_folder
from calisr_engine.task_kinds import kind_of_model

FOLDER, FILE = "onnx", "model.onnx"
CLOSE = 1e-4
"""Largest difference of a logit that is taken for the same."""

_SIZES = ((2, 3, 9), (1, 2, 3), (3, 2, 5), (5, 4, 31))
"""(rows, alternatives, tokens) of the inputs that both are asked, the first of which the file is
made from; alternatives where there is a choice."""

_OPSET = 18


def check_extra() -> None:
    """Refuse where the libraries are not installed.

    Raises:
        UnavailableError: with what installs them.
    """
    lacking = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if lacking:
        raise UnavailableError(
            f"writing ONNX needs {' and '.join(lacking)}", "pip install 'calisr[onnx]'"
        )


def write_onnx(folder: Path) -> float:
    """Write `onnx/model.onnx` into an exported model's folder; the largest difference of a logit.

    Its inputs are those of the tokenizer (input_ids, attention_mask, and token_type_ids where the
    model has them), int64 of shape (rows, tokens); its output is `logits`, (rows, classes). Of a
    choice they are (rows, alternatives, tokens), any number of these, and (rows, alternatives).

    Raises:
        UnavailableError: the extra is not installed, or `folder` is damaged.
        RunFailedError: the model cannot be written as ONNX, or the file says something else.
        StorageError: the disk is full or the folder cannot be written.
    """
    check_extra()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells of libraries that lack
    with quiet():
        model, tokenizer = open_exported(folder)
        inputs = _Positional(model, _names(model, tokenizer))
        drawn = [_drawn(model, tokenizer, inputs.names, *size) for size in _SIZES]
        with whole_folder(folder / FOLDER, "the ONNX file", "then export again") as part:
            _write(inputs, drawn[0], part / FILE)
            found = _difference(inputs, drawn, part / FILE)
            if not found <= CLOSE:
                raise RunFailedError(
                    f"the ONNX file does not say what the model says: a logit differs by {found:g}",
                    "leave --onnx out; the exported folder itself is right",
                )
    return found


class _Positional(nn.Module):
    """The model with its inputs in a fixed order and its logits as the one output."""

    def __init__(self, model: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.names = model, names
        self.eval()

    def forward(self, *tensors: Tensor) -> Tensor:
        logits: Tensor = self.model(**dict(zip(self.names, tensors, strict=True))).logits
        return logits


def _names(model: nn.Module, tokenizer: Any) -> tuple[str, ...]:
    known = inspect.signature(model.forward).parameters
    return tuple(name for name in tokenizer.model_input_names if name in known)


def _drawn(
    model: nn.Module, tokenizer: Any, names: tuple[str, ...], rows: int, choices: int, tokens: int
) -> tuple[Tensor, ...]:
    """Inputs of any token ids, each after the first with less of it padded away."""
    config: Any = model.config
    drawn = torch.Generator().manual_seed(rows * 1000 + tokens)
    shape: tuple[int, ...] = (rows, tokens)
    if kind_of_model(model).chooses:
        shape, rows = (rows, choices, tokens), rows * choices
    ids = torch.randint(0, config.vocab_size, (rows, tokens), generator=drawn)
    padding = tokenizer.pad_token_id or 0
    ids[ids == padding] = (padding + 1) % config.vocab_size
    mask = torch.ones_like(ids)
    for row in range(1, rows):
        mask[row, max(1, tokens - row) :] = 0
    ids[mask == 0] = padding
    kinds = torch.zeros_like(ids)
    kinds[:, tokens // 2 :] = min(1, getattr(config, "type_vocab_size", 1) - 1)
    made = {"input_ids": ids, "attention_mask": mask, "token_type_ids": kinds * mask}
    return tuple(made[name].view(shape) for name in names)


def _write(inputs: _Positional, sample: tuple[Tensor, ...], path: Path) -> None:
    names = ("rows", "tokens") if sample[0].dim() == 2 else ("rows", "alternatives", "tokens")
    sizes = {place: torch.export.Dim(name) for place, name in enumerate(names)}
    try:
        program: Any = torch.onnx.export(
            inputs,
            sample,
            dynamo=True,
            input_names=list(inputs.names),
            output_names=["logits"],
            dynamic_shapes=((sizes,) * len(sample),),
            opset_version=_OPSET,
            verbose=False,
        )
    except Exception as error:  # the exporter has no common base class of its errors
        first = (str(error).strip().splitlines() or [""])[0]
        raise RunFailedError(
            f"the model cannot be written as ONNX: {type(error).__name__}: {first[:200]}",
            "leave --onnx out; the exported folder itself is right",
        ) from error
    program.save(path)


def _difference(inputs: _Positional, drawn: list[tuple[Tensor, ...]], path: Path) -> float:
    """The largest difference of a logit over these inputs."""
    from onnxruntime import InferenceSession

    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    taken = {each.name for each in session.get_inputs()}
    worst = 0.0
    for tensors in drawn:
        named = dict(zip(inputs.names, tensors, strict=True))
        with torch.no_grad():
            own = inputs(*tensors)
        (said,) = session.run(None, {n: t.numpy() for n, t in named.items() if n in taken})
        worst = max(worst, float((own - torch.from_numpy(said)).abs().max()))
    return worst
