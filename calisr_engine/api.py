"""Train, watch and use runs from Python.

    import calisr_engine as calisr

    run = calisr.train("demo", method="lora", settings={"training.epochs": 2})
    run.best.value, run.predict(["A fine day."])[0].probabilities

Settings, layers, guesses and errors are those of `calisr run`; a run is the same directory, which
every command reads.
"""

from __future__ import annotations

import atexit
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict, Unpack

from calisr_engine.config.keywords import KEYS, as_sets, by_keyword, keyword_options
from calisr_engine.config.load import from_resolved
from calisr_engine.config.own_data import resolve
from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import EXIT_STOPPED, ConfigError, RunFailedError
from calisr_engine.events.decode import decode_block
from calisr_engine.events.log import EventReader
from calisr_engine.events.types import Event
from calisr_engine.events.view import RunView
from calisr_engine.forecast.before_resume import go_on
from calisr_engine.forecast.before_start import require
from calisr_engine.process.thread import EngineThread
from calisr_engine.runs import load_view, store
from calisr_engine.runs.ask import Answer, Asking
from calisr_engine.runs.create import create_run
from calisr_engine.runs.layout import RunPaths
from calisr_engine.tasks.frames import told_by_keyword, write_rows

if TYPE_CHECKING:
    from calisr_engine.results.predictor import Prediction, Predictor, Text
    from calisr_engine.tasks.data import TaskData

Callback = Callable[[int, Event], object]
"""Called with the optimizer steps done and an event of `calisr_engine.events.types`, as logged."""

POLL_SECONDS = 0.1

_ROWS = ("train", "validation", "test")


class Given(TypedDict, total=False):
    """Keywords of `train` and `start`; those not given are guessed or defaults.

    Attributes:
        settings: any settings, by dotted key or by section, such as {"training.epochs": 2}.
        train, validation, test: a path, or rows: a pandas DataFrame, a `datasets.Dataset`, a dict
            of columns or a list of dicts. The run keeps rows as Parquet files in its data/.
        dataset: a data set of the Hugging Face hub in place of `train`.
        text, text_pair, label: columns; labels: several columns of 0 and 1, one a label; choices:
            those of the alternatives.
    """

    settings: Mapping[str, Any]
    model: str
    task: str
    method: str
    calibration: str
    delta: float
    seed: int
    data_dir: str | Path
    output_dir: str | Path
    train: Any
    validation: Any
    test: Any
    dataset: str
    train_split: str
    validation_split: str
    test_split: str
    validation_share: float
    text: str
    text_pair: str
    label: str
    labels: Sequence[str]
    label_separator: str
    choices: Sequence[str]
    kind: str
    metric: str
    encoding: str
    header: bool


class Best(NamedTuple):
    """The best model of a run so far.

    Attributes:
        metric: what was measured on the validation data; value: of this model.
        step: optimizer steps after which it stood.
    """

    metric: str
    value: float
    step: int


def train(
    base: str | Path | None = None,
    *,
    callbacks: Iterable[Callback] = (),
    **given: Unpack[Given],
) -> Run:
    """Train a run to its end, in this process.

    Ctrl-C, or an error of a callback, stops the run after a step, saves it and is raised; the run
    can be resumed.

    Args:
        base: a preset's name or a TOML file; None for the defaults.
        callbacks: called in this thread with each event.

    Returns:
        The run, completed, or stopped by someone else (`run.view.state`).

    Raises:
        CalisrError: settings, data or model that cannot be used, before there is a run directory;
            later, why the run failed.
    """
    called = _checked(callbacks)
    run, data = _new(base, given)
    return run._train(called, data, is_new=True)


def start(
    base: str | Path | None = None,
    *,
    callbacks: Iterable[Callback] = (),
    **given: Unpack[Given],
) -> Run:
    """As `train`, but in the background: returns once training begins; `Run.wait` waits.

    The callbacks are called in a thread of their own. Training ends with this process.
    """
    called = _checked(callbacks)
    run, data = _new(base, given)
    return run._start(called, data, is_new=True)


class Run:
    """A run directory: one of this process, of another, or of long ago.

    Attributes:
        path: the directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine: EngineThread | None = None
        self._followed: threading.Event | None = None
        self._error: BaseException | None = None
        self._predictor: tuple[Any, Predictor] | None = None

    @classmethod
    def open(cls, name: str | Path, output_dir: str | Path = "runs") -> Run:
        """The run of a directory, an id in `output_dir`, or the unique start of one.

        Raises:
            NotFoundError: there is none.
        """
        return cls(store.find(str(name), Path(output_dir)))

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def view(self) -> RunView:
        """All that the run's log says now: state, curves, scores, switches.

        Raises:
            NotFoundError, DamagedError: as `load_view`.
        """
        return load_view(self.path)

    @property
    def config(self) -> RunConfig:
        """The settings."""
        return from_resolved(RunPaths(self.path).config)

    @property
    def best(self) -> Best | None:
        """The best model so far; None before the first evaluation."""
        view = self.view
        if view.best is None or view.best_step is None:
            return None
        return Best(str(view.metric), view.best, view.best_step)

    @property
    def running(self) -> bool:
        """Whether this process trains it now."""
        return self._engine is not None and self._engine.running

    def predict(
        self, texts: Iterable[Text], device: str = "auto", batch_size: int | None = None
    ) -> list[Prediction]:
        """What the best model says of each text, in their order.

        The model stays open for the next call. For endless texts take `Predictor` itself.

        Args:
            texts: texts, or pairs as the run's task has them.
            device: "auto", "cpu", "mps", "cuda" or "cuda:N".
            batch_size: texts of a batch; None takes the run's own.

        Raises:
            CalisrError: as `Predictor`.
        """
        from calisr_engine.results.predictor import Predictor

        view = self.view
        opened = (view.best_step, view.state == "completed", device, batch_size)
        if self._predictor is None or self._predictor[0] != opened:
            self._predictor = opened, Predictor(self.path, device, batch_size)
        return list(self._predictor[1].predict([texts] if isinstance(texts, str) else texts))

    def export(self, folder: str | Path, adapter_only: bool = False) -> Path:
        """Write the best model to a new folder, as `calisr export` does; the folder.

        Raises:
            CalisrError: as `calisr_engine.results.export_run.export_run`.
        """
        from calisr_engine.results.export_run import export_run

        export_run(self.path, Path(folder), adapter_only)
        return Path(folder)

    def resume(
        self,
        settings: Mapping[str, Any] | None = None,
        callbacks: Iterable[Callback] = (),
        background: bool = False,
    ) -> Run:
        """Go on from the newest good checkpoint, as `train` or (in the background) `start`.

        Args:
            settings: what may change, by dotted key or by section, such as
                {"training.epochs": 5}.

        Raises:
            ConfigError: the run is complete and shall not train longer, or a setting is fixed.
            LockedError: a process trains it.
            RunFailedError: why it failed.
        """
        called = _checked(callbacks)
        _, checked = go_on(self.path, as_sets(settings))
        data = checked.data if checked else None
        return self._start(called, data) if background else self._train(called, data)

    def stop(self, save: bool = True, timeout: float = 60.0) -> Answer:
        """Ask whoever trains the run to stop after a step, and wait for that.

        Args:
            save: write a checkpoint first, so that nothing is lost.
            timeout: seconds to wait at most.

        Returns:
            What came of it: `outcome` is "done", or says why not.
        """
        asking = Asking(self.path, "stop_and_save" if save else "stop")
        end = time.monotonic() + timeout
        while (answer := asking.look()) is None and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
        return answer or asking.give_up()

    def wait(self, timeout: float | None = None) -> Run:
        """Wait for the end of a run that `start` began, `timeout` seconds at most.

        Raises:
            CalisrError: why the run failed.
            BaseException: what a callback raised; the run was stopped and saved.
        """
        if self._followed is not None and not self._followed.wait(timeout):
            return self
        if self._error is not None:
            raise self._error
        engine = self._engine
        if engine is None or engine.status in (0, EXIT_STOPPED):
            return self
        if engine.error is not None:
            raise engine.error
        failure, status = self.view.failure, engine.status or 1
        raise failure.error(status) if failure else RunFailedError(f"{self.path} did not end")

    def _train(
        self, callbacks: Sequence[Callback], data: TaskData | None = None, is_new: bool = False
    ) -> Run:
        self._begin(callbacks, data, is_new)()
        return self.wait()

    def _start(
        self, callbacks: Sequence[Callback], data: TaskData | None = None, is_new: bool = False
    ) -> Run:
        import sklearn.metrics  # noqa: F401  a program that ends, and saves its run, imports no more

        follow = self._begin(callbacks, data, is_new)
        followed = self._followed = threading.Event()

        def work() -> None:
            try:
                follow()
            finally:
                followed.set()

        threading.Thread(target=work, name="calisr-events", daemon=True).start()
        return self

    def _begin(
        self, callbacks: Sequence[Callback], data: TaskData | None, is_new: bool
    ) -> Callable[[], None]:
        """Begin to train; gives what hands its events on until it ends."""
        if self.running:
            raise ConfigError(f"{self.path.name} is being trained by this process", "wait for it")
        reader = EventReader(RunPaths(self.path).events)
        if not is_new:
            for _ in reader.blocks():
                pass  # what happened before was told then
        engine = self._engine = EngineThread(self.path, data)
        self._followed = self._error = None
        engine.start()

        def save() -> None:
            engine.stop_and_save()
            engine.join()

        atexit.register(save)

        def hand_on() -> None:
            for block in reader.blocks():
                for line in decode_block(block)[0]:
                    for callback in callbacks:
                        callback(line.step, line.event)

        def follow() -> None:
            try:
                while engine.running:
                    hand_on()
                    engine.join(POLL_SECONDS)
                hand_on()
            except BaseException as error:  # a callback's, or Ctrl-C: nothing of the run is lost
                save()
                self._error = error
            finally:
                atexit.unregister(save)

        return follow


def _new(base: str | Path | None, given: Given) -> tuple[Run, TaskData | None]:
    """A run directory for these settings after all checks, and what was read for them."""
    if not isinstance(base, str | Path | None):
        raise ConfigError(
            f"the first argument is a {type(base).__name__}, not a preset's name or a TOML file",
            "settings stand in settings={...}, rows in train=...",
        )
    options = keyword_options(given)
    with tempfile.TemporaryDirectory(prefix="calisr-data-") as folder:
        files: dict[str, Path] = {}
        for name in _ROWS:
            key = KEYS[name]
            if key in options and not isinstance(options[key], str | Path):
                files[key] = Path(folder) / f"{name}.parquet"
                write_rows(options[key], files[key])
                options[key] = files[key]
        if KEYS["train"] in files:
            options.setdefault("task.name", "own")
        with told_by_keyword({file: file.stem for file in files.values()}, by_keyword):
            resolved, _ = resolve(base, [], options)
            checked = require(resolved.config)
        run = Run(create_run(resolved, own_files=files))
    return run, None if files else checked.data  # notes of it name the file that was read


def _checked(callbacks: Iterable[Callback]) -> tuple[Callback, ...]:
    """The callbacks, before there is a run that they could keep from beginning.

    Raises:
        ConfigError: they are no list of what can be called.
    """
    if not isinstance(callbacks, Iterable):
        raise ConfigError(
            f"callbacks are a {type(callbacks).__name__}, not a list", "write callbacks=[...]"
        )
    called = tuple(callbacks)
    for each in called:
        if not callable(each):
            raise ConfigError(
                f"a callback is a {type(each).__name__}, which cannot be called",
                "give functions of a step and an event",
            )
    return called
