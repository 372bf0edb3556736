"""What a GPU has to show, in one command; a dated page of results.

    python benchmarks/gpu.py --out results/gpu.md
    python benchmarks/gpu.py --self-test           # on a CPU, tiny: whether this script works

Needs no network, no data and no weights of a hub: models are drawn, texts are made of words of the
packaged vocabulary, as long as those of MRPC and SST-2. Each part is written to the page when it is
done; one that fails says so there and the next begins. After `--minutes` no part begins any more,
and those that are missing are named; how long all of them take on a GPU nobody has measured.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from gpu_bench import FULL, TINY, Bench
from gpu_correctness import decisions, killed, waiting
from gpu_cost import app, around_a_switch, less_work, samples, speed
from machine import describe, heading

PARTS: dict[str, Callable[[Bench], str]] = {
    "Decisions on the CPU and on the device": decisions,
    "Killed and resumed": killed,
    "Waiting in ordinary steps": waiting,
    "Training speed": speed,
    "Before and after a switch": around_a_switch,
    "What samples cost": samples,
    "The app beside it": app,
    "Less work, or less memory": less_work,
}


def results(bench: Bench, titles: list[str], minutes: float) -> Iterator[str]:
    """Each of these parts of the page when it is done."""
    began = time.monotonic()
    for title in titles:
        if time.monotonic() - began > 60 * minutes:
            yield f"\n## {title}\n\nNot measured: the {minutes:g} minutes were over.\n"
            continue
        since = time.monotonic()
        try:
            found = PARTS[title](bench)
        except Exception as error:
            traceback.print_exc()
            found = f"FAILED: {type(error).__name__}: {str(error).strip()[:500]}\n"
        yield f"\n## {title}\n\n{found}\nTook {time.monotonic() - since:.0f} s.\n"


def gpu_words(bench: Bench) -> str:
    if not bench.on_gpu:
        return "on the CPU, tiny: this page shows that the script works, and no more"
    found = torch.cuda.get_device_properties(bench.device)
    driver = subprocess.run(
        ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split("\n")[0]
    return (
        f"{found.name}, {found.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}, driver "
        f"{driver or 'unknown'}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--self-test", action="store_true", help="tiny, on the CPU")
    parser.add_argument("--minutes", type=float, default=20, help="begin no part after so many")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this one; repeatable")
    parser.add_argument("--out", type=Path, default=Path("gpu.md"))
    arguments = parser.parse_args()
    device, size = ("cpu", TINY) if arguments.self_test else (arguments.device, FULL)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(device, size, Path(folder))
        title = heading("On a GPU" if bench.on_gpu else "The GPU's page on a CPU", describe(1, []))
        page = [f"{title}\nDevice: {gpu_words(bench)}.\n"]
        for part in results(bench, arguments.part or list(PARTS), arguments.minutes):
            page.append(part)
            arguments.out.write_text("".join(page))
            print(part, flush=True)
    return int(any("\nFAILED" in part for part in page))


if __name__ == "__main__":
    sys.exit(main())
