"""What a decoder needs to classify texts: the token that is read must be found.

transformers reads the last token of each text that is not the padding token of the model's
config.json, so that tokenizer and config must agree on which one pads. Many decoders have none.
"""

from __future__ import annotations

from typing import Any

from calisr_engine.errors import ConfigError


def fit_padding(tokenizer: Any, config: Any) -> list[str]:
    """Give `tokenizer` and `config` one padding token, on the right; notes on what was done.

    Args:
        config: transformers' config of the model, before it is built.

    Raises:
        ConfigError: no token can pad.
    """
    notes = []
    if tokenizer.pad_token_id is None:
        own = getattr(config, "pad_token_id", None)
        known = own is not None and 0 <= own < len(tokenizer)
        token = tokenizer.convert_ids_to_tokens(own) if known else tokenizer.eos_token
        if token is None:
            raise ConfigError(
                "model.name: the tokenizer has no padding token, and none that ends a text to take "
                "its place",
                "name one as pad_token in tokenizer_config.json",
            )
        tokenizer.pad_token = token
        notes.append(f"the tokenizer has no padding token; {token} pads")
    config.pad_token_id = tokenizer.pad_token_id
    config.use_cache = False
    tokenizer.padding_side = "right"
    limit = getattr(config, "max_position_embeddings", None)
    if limit is not None and isinstance(tokenizer.model_max_length, int | float):
        tokenizer.model_max_length = min(tokenizer.model_max_length, limit)
    if hasattr(tokenizer, "backend_tokenizer") and not _separates(tokenizer):
        notes.append(
            "the tokenizer puts nothing between the two texts of a pair: end the first one with a "
            "sign of your own if that matters"
        )
    return notes


def _separates(tokenizer: Any) -> bool:
    """Whether a pair of texts is more than the tokens of the one and of the other."""
    backend = tokenizer.backend_tokenizer
    one, two = (backend.encode(text, add_special_tokens=False).ids for text in ("a", "b"))
    pair, run = backend.encode("a", "b").ids, [*one, *two]
    return all(pair[at : at + len(run)] != run for at in range(len(pair)))
