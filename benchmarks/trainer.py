"""Full fine-tuning with transformers' Trainer, beside ours with the same settings and seeds.

    python benchmarks/trainer.py --data-dir GLUE --model models/minilm-l6 --task CoLA \\
        --rate 2e-4 --precision bf16 --seeds 1 2 3 --out trainer-cola.json

Trainer is used as its users use it: its own order of batches, its own loader and its own
evaluation after each epoch. So a seed gives other batches here than there, and only means over
seeds compare. What is the same: model, tokenizer, data, batch size, rate, schedule, warm-up, weight
decay, clipping, epochs, precision and the metric of the best epoch.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from machine import describe

from calisr_engine.config.load import load
from calisr_engine.tasks.data import load_task
from calisr_engine.tasks.metrics import compute

EPOCHS, BATCH, LENGTH = 3, 32, 128


def best_score(arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    """The best epoch's value of the task's metric, and the seconds it took."""
    from datasets import Dataset
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    sets = [f"task.name={arguments.task}", f"task.data_dir={arguments.data_dir}"]
    data = load_task(load(None, sets).config.task)
    assert data.label_names is not None
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model, local_files_only=True)
    model = AutoModelForSequenceClassification.from_pretrained(
        arguments.model, num_labels=len(data.label_names), local_files_only=True
    )

    def prepared(split: Any) -> Dataset:
        texts = [list(split.text), *([list(split.text_pair)] if split.text_pair else [])]
        coded = tokenizer(*texts, truncation=True, max_length=LENGTH)
        return Dataset.from_dict({**coded, "labels": list(split.label)})

    def measure(prediction: Any) -> dict[str, float]:
        name = data.metrics[0]
        return {
            "value": compute([name], prediction.predictions.argmax(-1), prediction.label_ids)[name]
        }

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                num_train_epochs=EPOCHS,
                per_device_train_batch_size=BATCH,
                per_device_eval_batch_size=64,
                learning_rate=arguments.rate,
                weight_decay=0.01,
                warmup_steps=0.06,  # below 1 it is a share
                lr_scheduler_type="linear",
                max_grad_norm=1.0,
                eval_strategy="epoch",
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                use_cpu=True,
                bf16=arguments.precision == "bf16",
                seed=seed,
            ),
            train_dataset=prepared(data.train),
            eval_dataset=prepared(data.validation["validation"]),
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=measure,
        )
        began = time.monotonic()
        trainer.train()
    found = [each["eval_value"] for each in trainer.state.log_history if "eval_value" in each]
    return {"seed": seed, "epochs": found, "best": max(found), "seconds": time.monotonic() - began}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--task", default="CoLA")
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--precision", choices=["fp32", "bf16"], required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    content: dict[str, Any] = {
        **describe(1, arguments.seeds),
        "model": Path(arguments.model).name,
        "task": arguments.task,
        "rate": arguments.rate,
        "precision": arguments.precision,
        "runs": [],
    }
    for seed in arguments.seeds:
        content["runs"].append(best_score(arguments, seed))
        print(content["runs"][-1], flush=True)
        arguments.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
