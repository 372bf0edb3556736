"""Where the six components are in each supported architecture. No torch."""

from __future__ import annotations

_BERT = {
    "query": r"\.encoder\.layer\.(\d+)\.attention\.self\.query",
    "key": r"\.encoder\.layer\.(\d+)\.attention\.self\.key",
    "value": r"\.encoder\.layer\.(\d+)\.attention\.self\.value",
    "attention_output": r"\.encoder\.layer\.(\d+)\.attention\.output\.dense",
    "intermediate": r"\.encoder\.layer\.(\d+)\.intermediate\.dense",
    "output": r"\.encoder\.layer\.(\d+)\.output\.dense",
}
_DISTILBERT = {
    "query": r"\.transformer\.layer\.(\d+)\.attention\.q_lin",
    "key": r"\.transformer\.layer\.(\d+)\.attention\.k_lin",
    "value": r"\.transformer\.layer\.(\d+)\.attention\.v_lin",
    "attention_output": r"\.transformer\.layer\.(\d+)\.attention\.out_lin",
    "intermediate": r"\.transformer\.layer\.(\d+)\.ffn\.lin1",
    "output": r"\.transformer\.layer\.(\d+)\.ffn\.lin2",
}
_DEBERTA_V2 = _BERT | {
    name: rf"\.encoder\.layer\.(\d+)\.attention\.self\.{name}_proj"
    for name in ("query", "key", "value")
}
_MPNET = _BERT | {
    "query": r"\.encoder\.layer\.(\d+)\.attention\.attn\.q",
    "key": r"\.encoder\.layer\.(\d+)\.attention\.attn\.k",
    "value": r"\.encoder\.layer\.(\d+)\.attention\.attn\.v",
    "attention_output": r"\.encoder\.layer\.(\d+)\.attention\.attn\.o",
}
_ALBERT_LAYER = r"\.encoder\.albert_layer_groups\.(\d+)\.albert_layers\.\d+\."
_ALBERT = {
    "query": _ALBERT_LAYER + r"attention\.query",
    "key": _ALBERT_LAYER + r"attention\.key",
    "value": _ALBERT_LAYER + r"attention\.value",
    "attention_output": _ALBERT_LAYER + r"attention\.dense",
    "intermediate": _ALBERT_LAYER + "ffn",
    "output": _ALBERT_LAYER + "ffn_output",
}

ARCHITECTURES: dict[str, dict[str, str]] = {
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "camembert": _BERT,
    "electra": _BERT,
    "distilbert": _DISTILBERT,
    "deberta-v2": _DEBERTA_V2,
    "mpnet": _MPNET,
    "albert": _ALBERT,
}
"""transformers' `model_type` -> component -> pattern of the module's name; group 1 is the layer."""

SHARED_LAYERS = frozenset({"albert"})
"""Architectures whose layers share one set of weights: their six targets stand for all layers."""
