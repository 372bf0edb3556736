"""Every tuner of the installed peft, with options where its defaults do not fit tiny matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from calisr_engine.methods.peft import tuners

SMALLER: dict[str, dict[str, Any]] = {
    "c3a": {"block_size": 16},
    "miss": {"r": 8},
    "road": {"group_size": 16},
    "shira": {"r": 4},
    "vblora": {"vector_length": 8, "num_vectors": 20},
    "waveft": {"n_frequency": 50},
}
"""Sizes of their own: peft would refuse its defaults for matrices of 32 x 32 and 48 x 32."""

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "DoRA": ("lora", {"use_dora": True}),
    "rsLoRA": ("lora", {"use_rslora": True}),
    "PiSSA": ("lora", {"init_lora_weights": "pissa"}),
    "OLoRA": ("lora", {"init_lora_weights": "olora"}),
    "orthogonal start": ("lora", {"init_lora_weights": "orthogonal"}),
    "LoKr, decomposed": ("lokr", {"r": 4, "decompose_both": True}),
    "OFT, constrained": ("oft", {"coft": True}),
    "MiSS, bat": ("miss", {"r": 8, "init_weights": "bat"}),
}
"""Starts and forms that are options of a tuner, by the name they are known by."""


@dataclass(frozen=True)
class Case:
    """A tuner with options, under the name that tables have."""

    name: str
    tuner: str
    options: dict[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        return {"tuner": self.tuner, "options": self.options}


CASES = {
    **{name: Case(name, name, SMALLER.get(name, {})) for name in tuners.registered()},
    **{name: Case(name, *found) for name, found in VARIANTS.items()},
}
