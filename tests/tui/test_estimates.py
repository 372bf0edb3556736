"""What the setup screen says beforehand of parameters and memory."""

from __future__ import annotations

import re

import pytest
import torch
import transformers

from calisr_engine.config.load import load
from calisr_tui.charts.summary import summary
from calisr_tui.estimates import counts, entry_of, estimate

OWN_FILE = [
    "task.name=mine",
    "task.train_file=a.csv",
    "task.validation_file=b.csv",
    "task.text_column=text",
    "task.label_column=label",
]


def said(*sets: str, compact: bool = False) -> str:
    return summary(load("demo", sets), False, compact).plain


@pytest.mark.parametrize(
    ("sets", "lines"),
    [
        (["method.name=fft", "calibration.variant=off"], ["trainable in FFT   4,386,178"]),
        (
            ["method.name=mpop", "calibration.variant=S"],
            [
                "trainable in FFT   4,435,906 (the model and 49,728 of the method's own)",
                "trainable in LFT   70,082 (1.60%)",
            ],
        ),
        (
            ["method.name=lora", "calibration.variant=off"],
            ["trainable in LFT   28,546 (0.65%)"],
        ),
        (
            ["method.name=bitfit", "calibration.variant=off", "schedule.switch_at=1"],
            ["trainable in FFT   4,386,178"],
        ),
        (
            ["method.name=child_tuning_d", "calibration.variant=off", "schedule.switch_at=0.5"],
            ["trainable in FFT   4,386,178", "trainable in LFT   about 138,319 (3.15%)"],
        ),
        (
            ["method.name=mpop", "calibration.variant=off", "method.squeeze_gap=0.1"],
            ["trainable in LFT   at most 70,082 (1.60%)"],
        ),
        (
            ["method.name=diff_pruning", "calibration.variant=off"],
            ["trainable unpruned 806,798 (18.39%)", "trainable pruned   22,320 (0.51%)"],
        ),
    ],
)
def test_only_the_phases_that_the_run_comes_to_are_counted(
    sets: list[str], lines: list[str]
) -> None:
    assert [line for line in said(*sets).splitlines() if line.startswith("trainable")] == lines


def test_the_compact_form_says_the_same() -> None:
    plain = said("method.name=diff_pruning", "calibration.variant=off", compact=True)
    assert plain.startswith("trains 806,798 (18.39%) unpruned, 22,320 (0.51%) pruned\n")


def test_why_a_library_gives_no_count_is_said() -> None:
    sets = ["method.name=peft", "method.tuner=vblora", "method.options=vector_length=7"]
    assert counts(load("demo", sets).config, wait=True) is None
    assert re.search(r"trainable +not counted: .*divisible", " ".join(said(*sets).split()))
    assert "trainable not counted: " in said(*sets, compact=True)


def test_labels_that_only_a_file_knows_are_said_to_be_assumed() -> None:
    classes = [*OWN_FILE, "task.kind=classification"]
    assert "labels             2 assumed; your file tells" in said(*classes)
    regression = [*OWN_FILE, "task.kind=regression"]
    assert "assumed" not in said(*regression)
    two, one = (counts(load("demo", sets).config) for sets in (classes, regression))
    assert two is not None
    assert one is not None
    assert two.total - one.total == 128 + 1


@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize("method", ["fft", "bitfit"])
def test_a_choice_has_a_pooler_and_one_output(kind: str, method: str) -> None:
    name = {"bert": "bert-base-uncased", "roberta": "roberta-base"}[kind]
    sets = [f"model.name={name}", f"method.name={method}", "training.batch_size=16"]
    config = load(None, [*sets, "task.name=copa"]).config
    counted, entry = counts(config), entry_of(config)
    assert counted is not None
    assert entry is not None
    sizes = {"vocab_size": entry.vocabulary, "type_vocab_size": entry.types}
    made = transformers.CONFIG_MAPPING[kind](max_position_embeddings=entry.positions, **sizes)
    with torch.device("meta"):
        model = transformers.AutoModelForMultipleChoice.from_config(made)
    named = dict(model.named_parameters())
    assert counted.total == sum(each.numel() for each in named.values())
    trained = [n for n in named if method == "fft" or n.endswith("bias") or n[:10] == "classifier"]
    found = counted.fft if method == "fft" else counted.lft
    assert found == sum(named[name].numel() for name in trained)
    pairs = load(None, [*sets, "task.name=rte"]).config
    once, twice = estimate(pairs), estimate(config)
    assert once is not None
    assert twice is not None
    assert twice.cpu_seconds / twice.steps == pytest.approx(2 * once.cpu_seconds / once.steps, 0.01)


def test_memory_counts_what_trains_and_the_libraries() -> None:
    assert "memory, estimated  781 MB, 600 MB of it libraries" in said()
    light, full = (
        estimate(load("demo", [f"method.name={name}", "calibration.variant=off"]).config)
        for name in ("bitfit", "fft")
    )
    assert light is not None
    assert full is not None
    assert full.memory - light.memory == 12 * (4_386_178 - 3_330)


def test_memory_of_frozen_weights_in_sixteen_bits() -> None:
    sets = ["model.name=bert-base-uncased", "task.name=rte", "method.name=lora"]
    sets.append("training.precision=bf16")
    rounded = "training.frozen_weights=bf16"
    light, narrow, full = (
        estimate(load(None, [*sets, *more]).config)
        for more in ((), (rounded,), (rounded, "calibration.variant=S"))
    )
    assert light is not None
    assert narrow is not None
    assert full is not None
    matrices = 12 * (4 * 768 * 768 + 2 * 768 * 3072)
    assert light.memory - narrow.memory == pytest.approx(2 * matrices, 0.02)
    assert full.memory > light.memory  # all trains first
