"""What the forms of a method keep beside parameters, as one table of tensors."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from calisr_engine.methods.base import Attachment

Tensors = dict[str, Tensor]


def form_tensors(attachment: Attachment) -> Tensors:
    """Masks and the like of every target, and the method's own, under `TARGET::NAME`."""
    result = {
        f"{name}::{key}": value
        for name, form in attachment.forms.items()
        for key, value in form.state().items()
    }
    if attachment.extra_state is not None:
        result |= {f"::{key}": value for key, value in attachment.extra_state().items()}
    return result


def load_forms(attachment: Attachment, tensors: Mapping[str, Tensor]) -> None:
    """Take back what `form_tensors` gave."""
    by_form: dict[str, Tensors] = {}
    for full, value in tensors.items():
        name, key = full.split("::", 1)
        by_form.setdefault(name, {})[key] = value
    for name, state in by_form.items():
        if name == "":
            if attachment.load_extra_state is not None:
                attachment.load_extra_state(state)
        elif name in attachment.forms:
            attachment.forms[name].load_state(state)
