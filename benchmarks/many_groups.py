"""Few and many groups on the live screen: key to screen, and what taking in a new sample costs.

    python benchmarks/many_groups.py --out results/many-groups.md
    python benchmarks/many_groups.py --make FOLDER    # a tiny 12-layer BERT and its settings

Runs of 6, 72 and 144 groups are written as logs and shown in a pseudo-terminal; an arrow key moves
over the groups, in turns. Then each view is given to the pane with one more sample.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from app_latency import Terminal
from machine import describe, heading

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.tui.example import make_app
from tests.tui.many_groups import a_view, names, write_run

SIX = ("query", "key", "value", "attention_output", "intermediate", "output")
CASES = {"6 groups, a table": SIX, "72, a map": names(12), "144, a map": names(24)}


def make(folder: Path) -> None:
    """A random BERT of 12 small layers with its tokenizer, and a file to train it by."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from tests.training.tiny_run import tokenizer

    words = tokenizer()
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=64,
        num_hidden_layers=12,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=64,
    )
    BertForSequenceClassification(config).save_pretrained(folder / "bert-12")
    words.save_pretrained(folder / "bert-12")
    (folder / "groups.toml").write_text(
        f'[model]\nname = "{(folder / "bert-12").absolute()}"\n[task]\nname = "demo"\n'
        'max_length = 64\n[method]\nname = "lora"\n'
        '[calibration]\nvariant = "LC"\nkeep_samples = true\n'
        "[training]\nepochs = 4\nlearning_rate = 1e-3\nthreads = 1\n"
    )
    print(folder / "groups.toml")


def key_to_screen(run: Path, keys: int) -> list[float]:
    """Seconds from an arrow key to the first byte of the new screen."""
    terminal = Terminal(["replay", str(run)])
    terminal.settle(1.5)
    terminal.press("\x1b[F")  # to the end of the recording
    terminal.settle(1.0)
    found = []
    for number in range(keys):
        terminal.settle(0.5, 5)
        began = time.monotonic()
        terminal.press("\x1b[B" if number % 8 < 4 else "\x1b[A")
        if terminal.read(2.0):
            found.append(time.monotonic() - began)
    terminal.close()
    return found


async def updates(folder: Path, groups: tuple[str, ...], count: int) -> tuple[float, float]:
    """Median seconds of processor time that the pane takes for a view with another sample, and for
    one without news."""
    from calisr_tui.widgets.score_pane import ScorePane

    views = [a_view(groups, taken=taken) for taken in (2, 3)]
    app = make_app(folder, replay=folder / str(len(groups)))
    found: list[float] = []
    same: list[float] = []
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.5)
        pane = app.screen.query_one(ScorePane)
        for number in range(count):
            began = time.process_time()
            pane.show(views[number % 2])
            found.append(time.process_time() - began)
            began = time.process_time()
            pane.show(views[number % 2])
            same.append(time.process_time() - began)
    return statistics.median(found), statistics.median(same)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=40)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--make", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.make:
        arguments.make.mkdir(parents=True, exist_ok=True)
        return make(arguments.make)
    latencies: dict[str, list[float]] = {name: [] for name in CASES}
    taken: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for groups in CASES.values():
            write_run(folder / str(len(groups)), groups)
        for _ in range(arguments.turns):
            for name, groups in CASES.items():
                latencies[name] += key_to_screen(folder / str(len(groups)), arguments.keys)
        for name, groups in CASES.items():
            taken[name] = asyncio.run(updates(folder, groups, 60))
    rows = "".join(
        f"| {name} | {statistics.median(latencies[name]) * 1000:.0f} ms | "
        f"{sorted(latencies[name])[int(0.95 * len(latencies[name]))] * 1000:.0f} ms | "
        f"{taken[name][0] * 1000:.1f} ms | {taken[name][1] * 1000:.2f} ms |\n"
        for name in CASES
    )
    text = (
        heading("Few and many groups on the live screen", describe(1, [1]))
        + f"\nTerminal 120 x 40, {arguments.keys * arguments.turns} arrow keys each, in turns.\n\n"
        "| | key to changed screen, median | 95th percentile | processor time of the pane for "
        "a new sample, median | without news |\n|---|---|---|---|---|\n" + rows
    )
    if arguments.out:
        arguments.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
