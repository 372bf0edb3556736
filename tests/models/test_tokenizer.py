"""The tokenizer is whole, and gives a model nothing that it has no row for."""

from __future__ import annotations

import importlib.util
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from calisr_engine.errors import EXIT_STOPPED, CalisrError, ConfigError, UnavailableError
from calisr_engine.models.folder import TOKENIZER_FILES
from calisr_engine.models.tokenizer import position_limit
from calisr_engine.process.execute import execute
from calisr_engine.results.best_model import open_exported
from tests.models.folders import (
    TYPELESS,
    every_architecture,
    every_encoder,
    load,
    save,
    set_config,
    with_a_table_of_positions,
)
from tests.slow import quick_where
from tests.training.interrupt import stop_at
from tests.training.tiny_run import LETTERS, SPECIAL, events, make_run, tokenizer

SHORT = ("training.epochs=1", "training.warmup_ratio=0", "method.name=fft")


def without_tokenizer(folder: Path) -> Path:
    for pattern in TOKENIZER_FILES:
        for file in folder.glob(pattern):
            file.unlink()
    return folder


def with_types(folder: Path) -> Path:
    """The tokenizer of letters, which gives token types too."""
    set_config(
        folder,
        "tokenizer_config.json",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
    return folder


def own_data(folder: Path, train: list[str], validation: list[str], test: list[str]) -> list[str]:
    """Settings of own files with these texts, in two classes in turn."""
    sets = ["task.name=own", "task.text_column=text"]
    for split, texts in (("train", train), ("validation", validation), ("test", test)):
        rows = [{"text": text, "label": "ab"[i % 2]} for i, text in enumerate(texts)]
        if split == "test":
            rows = [{"text": row["text"]} for row in rows]
        file = folder / f"{split}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        sets.append(f"task.{split}_file={file}")
    return [*sets, "task.label_column=label", "task.kind=classification"]


@pytest.mark.parametrize("keep_settings", [False, True])
@every_architecture
def test_a_folder_without_a_tokenizer_is_refused(
    kind: str, keep_settings: bool, tmp_path: Path
) -> None:
    folder = save(kind, tmp_path / "model")
    settings = (folder / "tokenizer_config.json").read_text()
    without_tokenizer(folder)
    if keep_settings:
        (folder / "tokenizer_config.json").write_text(settings)
    with pytest.raises(UnavailableError, match=r"no tokenizer \(one of tokenizer\.json"):
        load(folder)


@every_architecture
def test_files_of_another_kind_of_tokenizer_are_no_tokenizer(kind: str, tmp_path: Path) -> None:
    """transformers makes up an empty one where its choice of class finds none of its files."""
    folder = without_tokenizer(save(kind, tmp_path / "model"))
    words = [*SPECIAL, *LETTERS]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    if kind in ("bert", "electra", "distilbert", "nomic_bert"):
        loaded = load(folder)
        assert len(loaded.tokenizer) == len(words)
        assert not any("added behind" in note for note in loaded.notes)
        return
    if kind == "mpnet":  # reads vocab.txt too, with other special tokens
        assert any("<s>, </s>, <pad>, <mask> are not in" in note for note in load(folder).notes)
        return
    with pytest.raises(
        UnavailableError, match=r"lacks files of a|cannot be loaded|no words beside"
    ):
        load(folder)


@pytest.mark.parametrize("vocabulary", [[], SPECIAL])
def test_a_vocabulary_of_special_tokens_alone_is_refused(
    vocabulary: list[str], tmp_path: Path
) -> None:
    folder = without_tokenizer(save("bert", tmp_path / "model"))
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    with pytest.raises(UnavailableError, match="tokenizer in"):
        load(folder)


def test_a_run_without_a_tokenizer_ends_before_it_begins(tmp_path: Path) -> None:
    folder = without_tokenizer(save("bert", tmp_path / "model"))
    run = make_run(folder, tmp_path, "run", *SHORT)
    assert execute(run) == UnavailableError.exit_code
    assert "holds no tokenizer" in events(run, "failed")[0]["message"]
    assert not events(run, "run_started")


@every_encoder
def test_ids_beyond_the_table_of_words_are_refused(kind: str, tmp_path: Path) -> None:
    """Also of a vocabulary that is small but has gaps."""
    folder = save(kind, tmp_path / "model")
    inner = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "word": 80}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(folder)
    with pytest.raises(ConfigError, match="ids up to 80, the model's table of words only 80 rows"):
        load(folder)


def test_a_table_that_is_far_larger_than_the_vocabulary_is_noted(tmp_path: Path) -> None:
    folder = save("bert", tmp_path / "model", vocab_size=1000)
    assert any("of the 1000 rows" in note for note in load(folder).notes)


def test_another_padding_token_than_the_models_is_noted(tmp_path: Path) -> None:
    folder = save("roberta", tmp_path / "model", pad_token_id=1)
    assert any("pads with id 0" in note for note in load(folder).notes)


def test_a_tokenizer_without_padding_is_refused(tmp_path: Path) -> None:
    folder = save("bert", tmp_path / "model")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("pad_token")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="no padding token"):
        load(folder)


@pytest.mark.parametrize("padding", [0, 1, 3])
@with_a_table_of_positions
def test_the_longest_input_is_the_last_that_the_model_takes(
    kind: str, padding: int, tmp_path: Path
) -> None:
    folder = save(kind, tmp_path / "model", pad_token_id=padding)
    loaded = load(folder)
    limit = position_limit(loaded.model)
    assert limit is not None
    assert loaded.tokenizer.model_max_length == limit
    ids = torch.full((1, limit + 1), 9)
    with torch.no_grad():
        assert torch.isfinite(loaded.model.eval()(input_ids=ids[:, :-1]).logits).all()
        with pytest.raises((IndexError, RuntimeError)):
            loaded.model(input_ids=ids)


def test_a_model_of_relative_positions_has_no_limit_of_its_own(tmp_path: Path) -> None:
    folder = save("deberta-v2", tmp_path / "model", position_biased_input=False)
    loaded = load(folder)
    assert position_limit(loaded.model) is None
    assert loaded.tokenizer.model_max_length == 64
    with torch.no_grad():
        loaded.model.eval()(input_ids=torch.full((1, 200), 9))


@pytest.mark.parametrize("claimed", quick_where([10**30, 64, 12], lambda claimed: claimed != 64))
@with_a_table_of_positions
def test_texts_longer_than_the_table_are_cut_in_every_split(
    kind: str, claimed: int, tmp_path: Path
) -> None:
    """Whatever the tokenizer claims. The longest texts are where an error would come last."""
    folder = save(kind, tmp_path / "model")
    set_config(folder, "tokenizer_config.json", model_max_length=claimed)
    short, long = ["ab cd", "ef gh"] * 8, ["abcdefgh " * 40, "ijklmnop " * 40]
    sets = own_data(tmp_path, short, [*short[:2], *long], long)
    run = make_run(folder, tmp_path, "run", *SHORT, *sets, "task.max_length=512")
    assert execute(run, raise_errors=True) == 0
    said = [event["message"] for event in events(run, "warning")]
    limit = min(claimed, 38 if kind == "mpnet" else 39 if "bert" in kind and "ro" in kind else 40)
    limit = 39 if kind in ("camembert", "longformer") and claimed > 39 else limit
    assert any(f"at most {limit} tokens" in message for message in said)


def test_a_model_that_has_no_room_for_a_text_is_refused(tmp_path: Path) -> None:
    folder = save("bert", tmp_path / "model", max_position_embeddings=2)
    run = make_run(folder, tmp_path, "run", *SHORT)
    assert execute(run) == ConfigError.exit_code
    assert "nothing of a text is left" in events(run, "failed")[0]["message"]


@every_architecture
def test_token_types_that_the_model_does_not_know_are_left_out(kind: str, tmp_path: Path) -> None:
    """A RoBERTa with a BERT tokenizer: trained and exported, opened and used as a pair."""
    one_type = {} if kind in TYPELESS else {"type_vocab_size": 1}
    folder = with_types(save(kind, tmp_path / "model", **one_type))
    run = make_run(folder, tmp_path, "run", *SHORT)
    assert execute(run, raise_errors=True) == 0
    assert any("token types are left out" in e["message"] for e in events(run, "warning"))
    model, opened = open_exported(run / "model")
    coded = opened("ab", "cd", return_tensors="pt")
    assert "token_type_ids" not in coded
    model(**coded)


@every_architecture
def test_token_types_that_the_model_knows_are_given(kind: str, tmp_path: Path) -> None:
    folder = with_types(save(kind, tmp_path / "model"))
    given = "token_type_ids" in load(folder).tokenizer("ab", "cd")
    assert given == (kind not in TYPELESS | {"gte"})  # a GTE has one type by default


@pytest.mark.parametrize(("strange", "says"), [(0.02, None), (0.3, "note"), (0.8, "refused")])
def test_texts_of_unknown_words_are_noted_or_refused(
    strange: float, says: str | None, tmp_path: Path
) -> None:
    folder = save("bert", tmp_path / "model")
    words = ["я"] * round(100 * strange) + ["a"] * round(100 * (1 - strange))
    texts = [" ".join(words[i::20]) for i in range(20)]
    sets = own_data(tmp_path, texts, texts[:4], texts[:2])
    run = make_run(folder, tmp_path, "run", *SHORT, *sets)
    status = execute(run)
    if says == "refused":
        assert status == ConfigError.exit_code
        assert "80% of the training tokens are [UNK]" in events(run, "failed")[0]["message"]
        return
    assert status == 0
    said = [e["message"] for e in events(run, "warning")]
    assert any("30% of the training tokens" in each for each in said) == (says == "note")


@pytest.mark.parametrize(
    ("kind", "state"),
    quick_where(
        itertools.product(["bert", "roberta", "mpnet"], ["none", "padding", "truncation"]),
        lambda case: case[0] == "bert" or case[1] == "truncation",
    ),
)
def test_the_exported_tokenizer_does_not_depend_on_a_cache(
    kind: str, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALISR_CACHE_DIR", str(tmp_path / "cache"))
    folder = save(kind, tmp_path / "model")
    fast = tokenizer()
    if state == "padding":
        fast.backend_tokenizer.enable_padding(length=30)
    if state == "truncation":
        fast.backend_tokenizer.enable_truncation(20, stride=2)
    fast.save_pretrained(folder)
    files: list[dict[str, bytes]] = []
    for name in ("first", "second"):
        run = make_run(folder, tmp_path, name, *SHORT)
        assert execute(run, raise_errors=True) == 0
        files.append({p.name: p.read_bytes() for p in (run / "model").glob("tokenizer*")})
    assert files[0] == files[1]
    assert files[0]["tokenizer.json"] == (folder / "tokenizer.json").read_bytes()


@every_architecture
def test_pieces_alone_name_the_package_that_reads_them(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = without_tokenizer(save(kind, tmp_path / "model"))
    (folder / "spm.model").write_bytes(b"pieces")
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "sentencepiece" else found(name)
    )
    with pytest.raises(UnavailableError, match=r"spm\.model, which only the package sentencepiece"):
        load(folder)


def spoil_json(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{")


def spoil_version(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"version": "9.0", "model": {"type": "Wonder"}}')


def spoil_settings(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text("[1")


@pytest.mark.parametrize("spoil", [spoil_json, spoil_version, spoil_settings])
@every_architecture
def test_a_damaged_tokenizer_is_named(kind: str, spoil: Any, tmp_path: Path) -> None:
    folder = save(kind, tmp_path / "model")
    spoil(folder)
    with pytest.raises(CalisrError, match="tokenizer in"):
        load(folder)


@pytest.mark.parametrize(
    ("part", "name", "values"),
    [
        ("tokenizer", "tokenizer_config.json", {"padding_side": "left"}),
        ("tokenizer", "tokenizer_config.json", {"model_max_length": 20}),
        ("config.json of the model", "config.json", {"layer_norm_eps": 1e-5}),
    ],
)
def test_a_run_does_not_go_on_with_another_model(
    part: str, name: str, values: dict[str, Any], tmp_path: Path
) -> None:
    folder = save("bert", tmp_path / "model")
    run = make_run(folder, tmp_path, "run", "method.name=fft", "output.checkpoint_every_steps=2")
    assert stop_at(run, 4) == EXIT_STOPPED
    before = (folder / name).read_text()
    set_config(folder, name, **values)
    with pytest.raises(ConfigError, match=rf"^the {part} changed since"):
        execute(run, raise_errors=True)
    (folder / name).write_text(before)
    assert execute(run, raise_errors=True) == 0
