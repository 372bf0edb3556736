"""The settings of one run, with the help text that the CLI and the setup screen show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from calisr_engine.calibration.controls import parse_steps
from calisr_engine.config.calibration_section import CalibrationSettings
from calisr_engine.config.training_section import TrainingSettings
from calisr_engine.methods.catalog import MethodSettings
from calisr_engine.methods.fft.settings import FullFineTuning
from calisr_engine.models.component_names import SIX
from calisr_engine.models.settings import ModelSettings
from calisr_engine.regularizers.catalog import RegularizerSettings
from calisr_engine.settings import AnyPath, Broken, Section, Words
from calisr_engine.task_kinds import KINDS
from calisr_engine.tasks.settings import TaskSettings

Tracker = Literal["tensorboard", "wandb", "mlflow", "trackio"]


class ScheduleSettings(Section):
    """A switch at a fixed moment instead of a measured one (the paper's Tables 4 and 5)."""

    switch_at: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of all steps spent in FFT before everything switches: 0 is the plain "
        "light method, 1 never switches. Needs calibration off.",
    )


class DiagnosticsSettings(Section):
    """What else a run measures of itself. It changes nothing in what is trained."""

    generalisation: bool = Field(
        False,
        description="Log at each evaluation the loss on some training examples, the gap to the "
        "validation loss, the total stable rank and the spectral norms of the target matrices. "
        "One exact eigenvalue a matrix: seconds for BERT-base on a GPU, half a minute on a CPU.",
    )
    train_examples: int = Field(
        1000,
        ge=1,
        description="How many training examples that loss is taken over, the same in every run.",
    )


class OutputSettings(Section):
    """What a run leaves behind."""

    dir: AnyPath = Field(Path("runs"), description="Folder in which run directories are made.")
    name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,120}$",
        json_schema_extra={
            "expects": "a name of at most 121 letters, digits, dots, dashes and underscores"
        },
        description="Name of the run directory; none: made from the settings and the time.",
    )
    checkpoint_every_steps: int | None = Field(
        None, ge=1, description="Checkpoint every so many steps; none: at the end of each epoch."
    )
    keep_checkpoints: int = Field(2, ge=1, description="Newest checkpoints that are kept.")
    export: bool = Field(True, description="Export the best model to model/ when the run ends.")
    progress_every_seconds: float = Field(
        0.5, ge=0, description="Least time between two progress events in the log."
    )
    predictions: bool = Field(
        True, description="Write the predictions of the best model to predictions/."
    )
    prediction_texts: bool = Field(
        False, description="Put the texts beside the predictions in those files."
    )
    trackers: tuple[Tracker, ...] = Field(
        (),
        description="Also send the figures to these trackers, which must be installed: "
        "tensorboard, wandb, mlflow, trackio.",
    )
    tracker_project: Words = Field(
        "calisr",
        description="Project (W&B, trackio) or experiment (MLflow) that the runs are put in.",
    )


class RunConfig(Section):
    """All settings of one run."""

    model: ModelSettings = Field(default_factory=ModelSettings)
    task: TaskSettings = Field(default_factory=TaskSettings)
    method: MethodSettings = Field(default_factory=FullFineTuning)
    calibration: CalibrationSettings = Field(default_factory=CalibrationSettings)
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings)
    regularizer: RegularizerSettings = Field(default_factory=RegularizerSettings)
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    diagnostics: DiagnosticsSettings = Field(default_factory=DiagnosticsSettings)
    output: OutputSettings = Field(default_factory=OutputSettings)
    notes: str = Field("", description="Free text kept with the run.")

    @property
    def is_calibrated(self) -> bool:
        """Whether there is a full phase before the light one, by measure or at a fixed moment."""
        return self.calibration.variant != "off" or self.schedule.switch_at is not None

    @property
    def has_full_phase(self) -> bool:
        """Whether any component is fully fine-tuned, in the whole run or before a switch."""
        method, switch_at = self.method, self.schedule.switch_at
        if not method.has_light_phase or self.calibration.variant != "off":
            return True
        if switch_at is not None and switch_at > 0:
            return True
        covered = () if method.changes_architecture else method.covered(self.is_calibrated)
        return method.elsewhere == "fft" and not set(covered) >= set(SIX)

    @property
    def control_seed(self) -> int:
        """Seed of a shuffled control's deal and of a coin's flips."""
        own = self.calibration.control_seed
        return self.training.seed if own is None else own

    def broken_rules(self) -> Iterator[Broken]:
        method, switch_at = self.method, self.schedule.switch_at
        calibrated = self.calibration.variant != "off"
        if calibrated and method.calibration_refused:
            yield Broken(
                f"{method.name} cannot be calibrated: {method.calibration_refused}",
                'set calibration.variant = "off"',
                ("calibration.variant", "method.name"),
            )
        reading = self.calibration.reading
        refused = method.reading_refused(reading) if self.calibration.measures else ""
        if refused:
            yield Broken(
                f"{method.name} cannot be read as {reading}: {refused}",
                'set calibration.reading = "step"',
                ("calibration.reading", "method.name"),
            )
        if calibrated and switch_at is not None:
            yield Broken(
                "a fixed switch and calibration exclude each other",
                'set calibration.variant = "off" or remove switch_at',
                ("schedule.switch_at", "calibration.variant"),
            )
        if self.training.compile and reading == "branches" and self.calibration.measures:
            yield Broken(
                "a branch is trained uncompiled, so its rounding would differ from the run's",
                "set training.compile = false, or another reading",
                ("training.compile", "calibration.reading"),
            )
        if switch_at not in (None, 0.0) and method.calibration_refused:
            yield Broken(
                f"{method.name} has no full phase to switch from: {method.calibration_refused}",
                "remove switch_at",
                ("schedule.switch_at", "method.name"),
            )
        if self.training.frozen_weights == "bf16" and method.rounding_refused:
            yield Broken(
                f"{method.name} cannot keep frozen weights in bf16: {method.rounding_refused}",
                'set training.frozen_weights = "fp32"',
                ("training.frozen_weights", "method.name"),
            )
        if self.training.packing and method.packing_refused:
            yield Broken(
                f"{method.name} takes no packed texts: {method.packing_refused}",
                "set training.packing = false",
                ("training.packing", "method.name"),
            )
        for key, chosen in (
            ("training.compile", self.training.compile),
            ("training.last_layer", self.training.last_layer == "first_token"),
        ):
            if self.training.packing and chosen:
                yield Broken(
                    f"{key} counts on texts in rows of their own, which are packed here",
                    f"set training.packing = false, or leave {key} out",
                    ("training.packing", key),
                )
        kind = self.task.data_kind
        if self.training.last_layer == "first_token":
            mend = 'set training.last_layer = "full"'
            if kind is not None and KINDS[kind].per_word:
                why = "where each word has a tag the head reads every token, not the first alone"
                yield Broken(why, mend, ("training.last_layer", "task.kind"))
            if method.reads_all_tokens:
                why = f"{method.title} reads every token of the last layer, not the first alone"
                yield Broken(why, mend, ("training.last_layer", "method.name"))
        if calibrated:
            yield from self._broken_groups()
        yield from self.regularizer.broken_beside(
            method,
            self.has_full_phase,
            self.calibration.measures,
            self.training.precision,
            self.training.compile,
            kind,
        )

    def _broken_groups(self) -> Iterator[Broken]:
        """What is wrong with groups, and with steps for them, whatever the model."""
        calibration, grouping = self.calibration, self.calibration.grouping
        covered = self.method.covered(calibrated=True)
        if calibration.variant == "own":
            wrong = grouping.odd_in_any_model(covered) if calibration.groups else None
            if wrong is not None:
                yield Broken(*wrong, ("calibration.groups",))
            if wrong is not None or not calibration.groups:
                return
        if not calibration.follows_steps or calibration.switch_steps is None:
            return
        try:
            groups = list(parse_steps(calibration.switch_steps))
        except ValueError:
            return  # which is told
        lacking = grouping.lacking(groups, covered)
        odd = [group for group in groups if not grouping.could_be(group)]
        if lacking or odd:
            yield Broken(
                f"the groups of variant {calibration.variant} are {grouping.shown(covered)}, but "
                f"the steps {'name' if odd else 'lack'} {', '.join(odd or lacking)}",
                "give each group its step, or never",
                ("calibration.switch_steps", "calibration.variant"),
            )

    def all_broken_rules(self) -> list[Broken]:
        """The broken rules of every section and of the run, with dotted keys."""
        own = [
            replace(each, keys=tuple(f"{name}.{key}" for key in each.keys))
            for name, section in self
            if isinstance(section, Section)
            for each in section.broken_rules()
        ]
        return [*own, *self.broken_rules()]
