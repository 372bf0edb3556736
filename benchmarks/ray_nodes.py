"""One grid on one Ray node and on two, each with one core: how much time two workers save.

    python benchmarks/ray_nodes.py --out benchmarks/results/ray-nodes.md

Both nodes are on this machine, so it needs two free cores; what else runs is stated. A run of the
grid is pinned to one thread. Turns on one node and on two alternate. The time is that of
`train_grid`: from the first task to the last run's end, with the start of each run's process, and
without the start of the cluster.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import ray
from machine import describe, heading
from ray.cluster_utils import Cluster

from calisr_engine.grid import expand_grid
from calisr_engine.grid.ray_nodes import RayExecutor
from calisr_engine.grid.train import train_grid


def measure(file: Path, output: Path, nodes: int) -> float:
    """Seconds that the grid takes on so many nodes."""
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    for _ in range(nodes):
        cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    grid = expand_grid(file, output)
    executor = RayExecutor(cluster.address, grid.folder)
    began = time.monotonic()
    status = train_grid(grid, executor)
    seconds = time.monotonic() - began
    executor.close()
    ray.shutdown()
    cluster.shutdown()
    assert status == 0, status
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--beside", default="nothing known", help="what else ran, for the result")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    seeds = list(range(arguments.runs))
    with tempfile.TemporaryDirectory() as folder:
        grid = Path(folder) / "grid.toml"
        grid.write_text(
            '[grid]\nname = "nodes"\nextends = "demo"\n[settings]\n'
            f'"training.epochs" = {arguments.epochs}\n"training.device" = "cpu"\n'
            f'"training.threads" = 1\n[axes]\n"training.seed" = {seeds}\n'
        )
        turns = []
        for turn in range(arguments.turns):
            load = os.getloadavg()[0]
            one = measure(grid, Path(folder) / f"one-{turn}", 1)
            two = measure(grid, Path(folder) / f"two-{turn}", 2)
            turns.append((load, one, two))
            print(f"turn {turn + 1}: {one:.1f} s, {two:.1f} s", file=sys.stderr)
    ones, twos = [one for _, one, _ in turns], [two for _, _, two in turns]
    shares = [two / one for _, one, two in turns]
    lines = [
        f"| {number} | {load:.2f} | {one:.1f} | {two:.1f} | {two / one:.2f} |\n"
        for number, (load, one, two) in enumerate(turns, 1)
    ]
    text = (
        heading("Two Ray nodes against one", describe(1, seeds))
        + f"\nRay {importlib.metadata.version('ray')}; {arguments.runs} runs of the demo preset, "
        f"{arguments.epochs} epochs each, one thread each, one run a node at a time, both nodes on "
        f"this machine. The load average was read before each turn; after the first it counts the "
        f"turn before, too. Beside it ran: {arguments.beside}."
        "\n\n| turn | load average | one node, s | two nodes, s | share of one |\n"
        "|---|---|---|---|---|\n" + "".join(lines) + f"| median | | {statistics.median(ones):.1f} "
        f"| {statistics.median(twos):.1f} | {statistics.median(shares):.2f} |\n"
    )
    if arguments.out:
        arguments.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
