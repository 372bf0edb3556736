"""`calisr errors`: where the best model of a run is wrong."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calisr_engine.plain_words import counted
from calisr_tui.cli.options import Json, OutputDir, RunArgument, find_run, quiet_libraries
from calisr_tui.cli.out import PlainConsole, put, put_json, say

if TYPE_CHECKING:
    from calisr_engine.analysis.error_report import ErrorReport, Mistake

EXAMPLE = "Example: calisr errors runs/my-run --label good --predicted bad --out wrong.csv"


def add_to(app: typer.Typer) -> None:
    app.command("errors", epilog=EXAMPLE)(errors)


def errors(
    name: RunArgument,
    label: Annotated[
        str | None, typer.Option("--label", metavar="CLASS", help="Mistakes on this true class.")
    ] = None,
    predicted: Annotated[
        str | None, typer.Option("--predicted", metavar="CLASS", help="Taken for this class.")
    ] = None,
    rows: Annotated[
        int, typer.Option("--rows", "-n", min=0, help="The worst rows that are shown.")
    ] = 20,
    on: Annotated[
        str | None,
        typer.Option("--on", metavar="SET", help="Validation set, such as mismatched of MNLI."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Write all of them to a .csv, .tsv, .jsonl or .parquet file.",
        ),
    ] = None,
    output_dir: OutputDir = Path("runs"),
    as_json: Json = False,
) -> None:
    """Tell where the best model of a run is wrong, also of one that stopped or still trains.

    Scores of each class, what is confused, whether its confidence can be trusted, lengths, and the
    most confident mistakes; of a regression the residuals and the largest errors.
    """
    from calisr_engine.analysis import mistakes as analysis
    from calisr_engine.results import prediction_files
    from calisr_engine.results.answers import evaluated

    if out is not None:
        prediction_files.check_out(out)
    run_dir = find_run(name, output_dir)
    quiet_libraries()
    found = evaluated(run_dir, on)
    report = analysis.report(found.answers)
    wrong = analysis.mistakes(found.answers, label, predicted)
    for note in found.notes:
        say(note)
    if out is not None:
        count = prediction_files.write_mistakes(out, wrong)
        say(f"{counted(count, 'row')} written")
    if as_json:
        facts = {"run": run_dir.name, "set": found.name, "step": found.step}
        shown = [asdict(each) for each in wrong[:rows]]
        put_json({**facts, **report.to_dict(), "mistakes": shown})
    elif out is not None:
        put(out)
    else:
        say(f"{run_dir.name}, {found.name}, step {found.step}: {found.source}")
        _show(report, wrong, rows)


def _show(report: ErrorReport, wrong: list[Mistake], rows: int) -> None:
    from calisr_tui.charts import errors as charts

    width = min(120, shutil.get_terminal_size((100, 24)).columns)
    console = PlainConsole(width=width)
    console.print(charts.summary(report) + "\n")
    if report.wrong is None:
        console.print(charts.residual_bars(report, width))
    else:
        console.print(charts.classes_table(report, width), "")
        if report.confusion is not None:
            console.print(charts.confusion_table(report, width), "")
        if report.calibration is not None:
            console.print(charts.calibration_curve(report, width))
    console.print(charts.lengths_table(report))
    if wrong[:rows]:
        of = f"{min(rows, len(wrong)):,} of {len(wrong):,}"
        what = "mistakes, the most confident" if report.wrong is not None else "rows, the worst"
        if report.kind == "token":
            what = "entities that are missed or made up, the most confident"
        console.print(f"\n{of} {what} first")
        console.print(charts.mistakes_table(report, wrong[:rows], width))
