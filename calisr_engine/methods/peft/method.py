"""Any tuner of peft whose layers merge into a weight, as the light method.

What it trains: what the tuner adds to each covered matrix. Which tuners can be used is not written
down here: each is tried on linear layers of the model's shapes (`probe.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from calisr_engine.errors import ConfigError, UnavailableError, is_out_of_memory
from calisr_engine.methods.base import (
    AttachContext,
    Attachment,
    Method,
    ParameterRule,
    Phase,
    Switched,
    TargetForm,
    dense_matrices,
)
from calisr_engine.methods.peft import layers, tuners
from calisr_engine.methods.peft.options import as_pairs, installed
from calisr_engine.methods.peft.probe import Found, Shapes, Skeleton, try_out
from calisr_engine.methods.peft.settings import Peft
from calisr_engine.models.blocks import joined
from calisr_engine.models.components import Target

NOTABLE = 1e-4
"""Change of a weight by attaching, relative to its norm, that the user is told of."""


class PeftForm(TargetForm):
    """A base weight in a layer of peft: both train in FFT, what the tuner added alone in LFT."""

    def __init__(
        self, target: Target, layer: nn.Module, core: list[nn.Parameter], counted: int
    ) -> None:
        super().__init__(target)
        self.layer, self._core, self._counted = layer, core, counted

    def core(self) -> list[nn.Parameter]:
        return self._core

    def extra(self) -> list[nn.Parameter]:
        return [self.weight]

    def trainable_count(self, phase: Phase) -> int:
        """What several layers share counts in the first of them."""
        return self._counted + (self.weight.numel() if phase == "fft" else 0)

    def remember(self) -> None:
        self._before = self.weight.detach().clone()

    def pair(self) -> tuple[Tensor, Tensor]:
        assert self._before is not None
        lft, _ = layers.merged(self.layer, self._before)
        self._before = None
        return lft, self.effective()

    def effective(self) -> Tensor:
        return layers.merged(self.layer)[0]

    def switch(self) -> Switched:
        return Switched(frozen=(self.weight,))


class PeftAttachment(Attachment):
    tuner: nn.Module
    """Holds what its layers share."""

    def merged_state_dict(self) -> dict[str, Tensor]:
        """Merged in float64, weights and biases, and rounded once."""
        merged: dict[str, Tensor] = {}
        for name, value in self.model.state_dict().items():
            place, base, kind = name.partition(".base_layer.")
            if base and place in self.forms:
                merged[f"{place}.{kind}"] = value
            elif not _places(name, self.forms):
                merged[name] = value
        for name, form in self.forms.items():
            assert isinstance(form, PeftForm)
            weight, bias = layers.merged(form.layer)
            merged[f"{name}.weight"] = weight.to(form.weight.dtype).contiguous()
            if bias is not None:
                merged[f"{name}.bias"] = bias.to(form.weight.dtype).contiguous()
        return joined(self.model, merged)


def _places(name: str, among: Mapping[str, Any]) -> list[str]:
    """The modules above a parameter that are in `among`."""
    parts = name.split(".")
    above = (".".join(parts[:end]) for end in range(1, len(parts)))
    return [each for each in above if each in among]


def tried(targets: Sequence[Target], settings: Peft, calibrated: bool) -> Found:
    """What the tuner can do with the matrices of a layer.

    Raises:
        ConfigError: it cannot be a light method here, or not a calibrated one.
    """
    shapes: dict[str, tuple[int, int]] = {}
    for target in targets:
        rows, columns = target.weight.shape
        shapes[target.component] = (rows, columns)
    found = try_out(settings.tuner, as_pairs(settings.given), tuple(shapes.items()))
    if found.refused:
        raise refused(settings, found.refused)
    if calibrated and found.not_calibrated:
        raise ConfigError(
            f"method.tuner: {settings.tuner} cannot be calibrated: {found.not_calibrated}",
            "train it alone: remove calibration.variant and schedule.switch_at",
        )
    return found


def refused(settings: Peft, why: str) -> ConfigError:
    """Why a tuner with its options cannot be used here."""
    given = f" with {settings.options}" if settings.options else ""
    keys = "method.options, method.tuner" if given else "method.tuner, method.options"
    return ConfigError(
        f"{keys}: {settings.tuner}{given} cannot be used here: {why}",
        "set its options under [method.options], take other components, or another tuner "
        "(`calisr methods peft`)",
    )


class PeftMethod(Method):
    def check_targets(self, targets: Sequence[Target], settings: Peft, calibrated: bool) -> None:
        tried(targets, settings, calibrated)

    def attach(
        self, model: nn.Module, targets: list[Target], settings: Peft, context: AttachContext
    ) -> Attachment:
        found = tried(targets, settings, context.calibrated)
        names = [target.name for target in targets]
        seed = context.generator(f"peft/{settings.tuner}").initial_seed()
        try:
            tuner = layers.inject(model, names, settings.tuner, settings.given, seed)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise refused(settings, f"peft refuses it: {layers.in_short(error)}") from error
        forms: dict[str, TargetForm] = {}
        never: dict[nn.Parameter, None] = {}
        rules: dict[nn.Parameter, ParameterRule] = {}
        seen: set[nn.Parameter] = set()
        for target in targets:
            layer = model.get_submodule(target.name)
            if found.through_data:
                layers.pass_through_data(layer)
            added = list(dict.fromkeys(layers.adapter_parameters(layer).values()))
            core = [parameter for parameter in added if parameter.requires_grad]
            never.update((p, None) for p in added if not p.requires_grad)
            counted = sum(p.numel() for p in core if p not in seen)
            seen.update(core)
            forms[target.name] = PeftForm(target, layer, core, counted)
            if context.lft_learning_rate is not None:
                rules |= {p: ParameterRule(learning_rate=context.lft_learning_rate) for p in core}
        attachment = PeftAttachment(model, forms, rules=rules, never_trained=list(never))
        attachment.tuner = tuner
        idle = [name for name in settings.given if name in tuners.IDLE]
        if idle:
            attachment.notes.append(
                f"method.options: {', '.join(idle)} {'have' if len(idle) > 1 else 'has'} no effect "
                "here: peft reads it for its own files, quantised layers, convolutions or tied "
                "embeddings alone"
            )
        if found.moves_start > NOTABLE:
            attachment.notes.append(
                f"{settings.tuner} does not begin at the pretrained weights: as peft starts it, it "
                f"changes a matrix by up to {found.moves_start:.1%} of its norm"
            )
        if found.partial and context.calibrated:
            attachment.facts.append(
                f"{settings.tuner}: in the full phase the gradient of a base is peft's, which "
                "holds a part of what the layer computes constant (the norm, in DoRA)"
            )
        if settings.reference:
            attachment.keep_at_last(p for form in forms.values() for p in form.core())
        return attachment

    def dense_matrices(self, tensors: Mapping[str, Tensor], settings: Peft) -> dict[str, Tensor]:
        """Merged in float64, from layers made anew around the stored base weights.

        Raises:
            UnavailableError: the layers of the installed peft hold other tensors.
        """
        base = ".base_layer.weight"
        shapes: Shapes = tuple(
            (name.removesuffix(base), (value.shape[0], value.shape[1]))
            for name, value in tensors.items()
            if name.endswith(base)
        )
        places = dict.fromkeys(name for name, _ in shapes)
        plain = {n: t for n, t in tensors.items() if not _places(n, places)}
        skeleton = Skeleton(shapes)
        layers.inject(skeleton, list(places), settings.tuner, settings.given, seed=0)
        result = dense_matrices(plain)
        tensors = _with_shared(skeleton, tensors)
        for name in places:
            own = {n.removeprefix(f"{name}."): t for n, t in tensors.items() if _under(n, name)}
            try:
                layers.restore(skeleton.get_submodule(name), own)
            except KeyError as error:
                raise UnavailableError(
                    f"the layers that peft {installed()} makes for {settings.tuner} are not those "
                    f"of these weights: they differ in {name}.{error.args[0]}",
                    "install the version that the run was trained with; its environment.json says "
                    "which",
                ) from error
        return result | {n: layers.merged(skeleton.get_submodule(n))[0] for n in places}


def _with_shared(skeleton: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A tensor that layers share is stored under one of its names; here it has all of them."""
    names: dict[int, list[str]] = {}
    for name, value in skeleton.state_dict(keep_vars=True).items():
        names.setdefault(id(value), []).append(name)
    found = dict(tensors)
    for alike in names.values():
        for stored in [name for name in alike if name in tensors][:1]:
            found |= {name: tensors.get(name, tensors[stored]) for name in alike}
    return found


def _under(name: str, place: str) -> bool:
    return name.startswith(f"{place}.")
