"""Why light methods can lie far below full fine-tuning on STS-B: rates, and where the bias starts.

    python benchmarks/glue_rates.py --data-dir GLUE --work runs-rates --out rates.md

Each method on 2,000 examples of STS-B (4 epochs, one seed) with one low rate for biases, LayerNorm
and head and with a high one, and with the output's bias started at zero and at the mean label. Then
other rates that were tried. A second call goes on where the first one ended.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

from glue_table import CORE_KEY, IMPORTED, METHODS, PROCESSES, RATES, train
from machine import describe, heading

from calisr_engine.config.load import load
from calisr_engine.runs import load_view
from calisr_engine.runs.create import create_run

LOW: dict[str, tuple[float, float | None]] = {
    "fft": (3e-4, None),
    "lora": (3e-4, 2e-3),
    "mpop": (3e-4, 3e-4),
    "child_tuning_d": (3e-4, None),
    "child_tuning_f": (3e-4, None),
    "mask_bert": (3e-4, 2e-3),
    "bitfit": (2e-3, None),
    "adapter": (3e-4, 2e-3),
    "prefix": (3e-4, 1e-2),
    "diff_pruning": (3e-4, None),
}
HIGH = RATES["two-layers"] | {"fft": (1e-3, None)}
OTHERS: dict[str, list[tuple[float, float | None]]] = {
    "lora": [(3e-3, 2e-3), (1e-2, 5e-3)],
    "bitfit": [(2e-2, None)],
    "adapter": [(1e-3, None), (3e-3, 2e-3)],
    "prefix": [(3e-3, 1e-2), (3e-3, 3e-2)],
    "diff_pruning": [(3e-3, None), (3e-3, 1e-3)],
}
Point = tuple[str, float, float | None, str]
"""Method, rate beside the core, rate of the core (None: the same), start of the bias."""


def name_of(point: Point) -> str:
    method, beside, core, start = point
    return f"{method}-{beside:g}-{'same' if core is None else f'{core:g}'}-{start}"


def value(point: Point, arguments: argparse.Namespace) -> float | None:
    """Best Pearson correlation; trains where there is no finished run yet."""
    method, beside, core, start = point
    name = name_of(point)
    folder = arguments.work / name
    if not (folder / "peak_memory").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        sets = [
            "model.name=demo-bert",
            "task.name=STS-B",
            f"task.data_dir={arguments.data_dir}",
            "task.max_train_examples=2000",
            f"method.name={method}",
            "calibration.variant=off",
            "training.epochs=4",
            "training.seed=42",
            "training.threads=1",
            "training.batch_size=32",
            "training.warmup_ratio=0.06",
            "training.device=cpu",
            f"training.learning_rate={beside}",
            f"training.regression_start={start}",
            "output.export=false",
            "output.checkpoint_every_steps=100000",
            f"output.name={name}",
        ]
        if core is not None:
            sets.append(f"{CORE_KEY.get(method, 'training.lft_learning_rate')}={core}")
        create_run(load(None, sets, {"output.dir": arguments.work}))
        process = PROCESSES.Process(target=train, args=(folder,))
        process.start()
        process.join()
        for heavy in ("best", "checkpoints"):
            shutil.rmtree(folder / heavy, ignore_errors=True)
    summary: dict[str, Any] = load_view(folder).summary or {}
    print(name, summary.get("best"), flush=True)
    return summary.get("best")


def words(rates: tuple[float, float | None]) -> str:
    beside, core = rates
    return f"{beside:g}" if core is None else f"{beside:g} / {core:g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("CALISR_GLUE_DIR"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--reading", type=Path, help="Text that follows the tables.")
    arguments = parser.parse_args()
    if arguments.data_dir is None:
        parser.error("give --data-dir or set CALISR_GLUE_DIR")
    arguments.data_dir = Path(arguments.data_dir).resolve()
    arguments.work = arguments.work.resolve()
    arguments.work.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    PROCESSES.set_forkserver_preload(IMPORTED)

    def shown(point: Point) -> str:
        found = value(point, arguments)
        return "failed" if found is None else f"{found:.4f}"

    rows = []
    for method in METHODS:
        low, high = LOW[method], HIGH[method]
        cells = [
            shown((method, *rates, start)) for rates in (low, high) for start in ("zero", "mean")
        ]
        rows.append(f"| {method} | {words(low)} | {words(high)} | " + " | ".join(cells) + " |")
    others = [
        f"| {method} | {words(rates)} | {shown((method, *rates, 'mean'))} |"
        for method, tried in OTHERS.items()
        for rates in tried
    ]
    text = (
        heading("STS-B: rates, and where the output's bias starts", describe(1, [42]))
        + "\nThe packaged BERT (demo-bert), 2,000 training examples, 4 epochs, batch 32, full "
        "validation set; best Pearson correlation. Rates: of what a method trains beside its core "
        "(biases, LayerNorm, head) / of its core; one number where they are the same.\n\n"
        "| method | low rates | high rates | low, start zero | low, start mean | "
        "high, start zero | high, start mean |\n|---|---|---|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n\nOther rates that were tried, start mean:\n\n"
        "| method | rates | best |\n|---|---|---|\n" + "\n".join(others) + "\n"
    )
    if arguments.reading is not None:
        text += "\n" + arguments.reading.read_text()
    arguments.out.write_text(text)


if __name__ == "__main__":
    main()
