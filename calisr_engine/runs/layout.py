"""Where things are in a run directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunPaths:
    """Paths below the run directory `root`."""

    root: Path

    @property
    def config(self) -> Path:
        """The resolved settings, with where each came from."""
        return self.root / "config.toml"

    @property
    def environment(self) -> Path:
        """Versions, device and data fingerprint."""
        return self.root / "environment.json"

    @property
    def events(self) -> Path:
        return self.root / "events.jsonl"

    @property
    def about(self) -> Path:
        """Name, notes, tags and pin that somebody gave the run."""
        return self.root / "about.json"

    @property
    def data(self) -> Path:
        """Rows that a Python program gave, as Parquet files."""
        return self.root / "data"

    @property
    def control(self) -> Path:
        """Requests to the training process, one file each."""
        return self.root / "control"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    def checkpoint(self, step: int) -> Path:
        return self.checkpoints / f"step-{step}"

    @property
    def best(self) -> Path:
        """Weights of the best model, one folder for its step."""
        return self.root / "best"

    @property
    def samples(self) -> Path:
        """Measured weights, where calibration.keep_samples asked for them."""
        return self.root / "samples"

    @property
    def predictions(self) -> Path:
        return self.root / "predictions"

    @property
    def model(self) -> Path:
        """The exported model, a plain transformers folder."""
        return self.root / "model"

    @property
    def log(self) -> Path:
        """Output of a detached process."""
        return self.root / "log.txt"

    @property
    def trackers(self) -> Path:
        """What trackers keep: the id of the run at each, and W&B's own files."""
        return self.root / "trackers"

    @property
    def tensorboard(self) -> Path:
        return self.root / "tensorboard"

    @property
    def lock(self) -> Path:
        return self.root / "lock"
