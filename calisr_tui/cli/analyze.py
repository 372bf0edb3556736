"""`calisr analyze`: looking at trained weights, and at the scores of runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from calisr_engine.errors import ConfigError
from calisr_tui.cli.figure import Out, Targets
from calisr_tui.cli.options import Json, OutputDir
from calisr_tui.cli.out import check_one_form, print_figure, print_whole, put, put_json, say

if TYPE_CHECKING:
    from calisr_engine.analysis.score import GroupScore
    from calisr_engine.analysis.spectrum import Comparison
    from calisr_engine.figures.generalisation import Study
    from calisr_engine.figures.scores import ScoreRow

EXAMPLE = "Example: calisr analyze spectrum demo-bert runs/my-run --target 1.value"

analyze_app = typer.Typer(
    help="Look at trained weights (singular values, stable rank) and at the scores of runs.",
    no_args_is_help=True,
    epilog=EXAMPLE,
)


def add_to(app: typer.Typer) -> None:
    analyze_app.command("spectrum", epilog=EXAMPLE)(spectrum)
    analyze_app.command("score", epilog="Example: calisr analyze score runs/my-run")(score)
    example = "Example: calisr analyze generalisation my-grid.toml"
    analyze_app.command("generalisation", epilog=example)(generalisation)
    app.add_typer(analyze_app, name="analyze")


Source = "A run, a checkpoint (RUN/checkpoints/step-N), an exported folder, or a known model."


def spectrum(
    one: Annotated[str, typer.Argument(metavar="A", help=Source)],
    two: Annotated[str, typer.Argument(metavar="B", help=Source)],
    targets: Targets = None,
    tolerance: Annotated[
        float,
        typer.Option(
            help="Gap of singular values, relative to the largest, up to which they count as equal."
        ),
    ] = 1e-3,
    out: Out = None,
    output_dir: OutputDir = Path("runs"),
    as_json: Json = False,
) -> None:
    """Compare the matrices of B with those of A: singular values, stable rank, singular vectors.

    ρ is Equation (3) of the paper, s_1 / sqrt(s_2² + s_3² + ...); it grows where the stable rank
    (SR) falls. max |Δs| is the largest change of a singular value. |cos| is the mean over left
    singular vectors, without those that nearly equal singular values leave open (column open).
    """
    if not 0 <= tolerance < 1:
        raise ConfigError(f"--tolerance: expected a number from 0 to below 1, found {tolerance:g}")
    from calisr_engine.figures.picture import check_out, draw

    if out is not None:
        check_out(out)
    from calisr_engine.analysis.spectrum import compare
    from calisr_engine.analysis.weights import read_weights, same_targets
    from calisr_engine.figures.spectra import spectrum_figure

    before, after = read_weights(one, output_dir), read_weights(two, output_dir)
    chosen = before.choose(targets or ())
    same_targets(before, after)
    found = [
        compare(name, before.matrices[name], after.matrices[name], tolerance) for name in chosen
    ]
    title = f"A: {before.label}, B: {after.label}"
    made = spectrum_figure(title, found)
    if out is not None:
        draw(made, out)
    if as_json:
        said: dict[str, Any] = {"a": before.label, "b": after.label, "tolerance": tolerance}
        put_json({**said, "targets": [each.to_dict() for each in found]})
        return
    _print_table(title, found)
    if out is not None:
        put(out)
    else:
        put()
        print_figure(made)


def score(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Runs, folders of runs, or grids by name or file."),
    ],
    output_dir: OutputDir = Path("runs"),
    as_json: Json = False,
) -> None:
    """Say how much the stable rank scores of calibrated runs can tell, group by group.

    Rate: hits / samples. Flips: samples that say other than the one before; independent fair ones
    would in half of the pairs. r: lag-one autocorrelation of the hits. Worth: independent samples
    that those of a window are worth, n (1 - r) / (1 + r). Coin: probability that fair coin flips
    had switched the group by then, for these n and delta. Where matrices vote, flips, coin and
    agree have no meaning and are left out. Several runs of one row and task are
    taken together; --json has each run, too.

    With calibration.log_parts: agree is the share of samples in which "a hit" and "the full part's
    step alone raises the stable rank" are both true or both false; light and full are the
    correlations of SR light - SR full with what each part's step alone does to the stable rank.
    """
    from calisr_engine.figures.scores import score_rows, score_views

    views, problems = score_views(sources, output_dir)
    for name, problem in problems.items():
        say(f"{name} is left out: {problem}")
    found = score_rows(views)
    if as_json:
        alone = [row for name, view in views.items() for row in score_rows({name: view})]
        said = {"rows": found, "runs": alone}
        put_json({key: [row.to_dict() for row in rows] for key, rows in said.items()})
        return
    _print_scores(found)


def generalisation(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Runs, folders of runs, or grids by name or file."),
    ],
    out: Out = None,
    output_dir: OutputDir = Path("runs"),
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Every measurement of every run as a line.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say whether a lower stable rank goes with a smaller gap of validation and training loss.

    Needs complete runs with diagnostics.generalisation = true. SR is the sum of the stable ranks of
    all target matrices, ln bound the logarithm of that times the product of their squared spectral
    norms (Section 3.2 of the paper). Last evaluations are taken, and compared only within a task
    and a seed; p is that of permuting whole rows, the same for all seeds.
    """
    from calisr_engine.figures.generalisation import curves, study
    from calisr_engine.figures.picture import check_out, draw

    check_one_form(as_csv, as_json)
    if out is not None:
        check_out(out)
    found = study(sources, output_dir)
    made = curves(found)
    if out is not None:
        draw(made, out)
    if as_json:
        put_json(found.to_dict())
    elif as_csv:
        put(found.to_csv().removesuffix("\n"))
    else:
        _print_study(found)
        if out is None:
            put()
            print_figure(made)
        else:
            put(found.sentence)
            put(out)
    for run, why in found.left_out.items():
        say(f"left out: {run}: {why}")


def _print_study(found: Study) -> None:
    from calisr_engine.figures.generalisation import in_words

    rows = []
    digits = {"train_loss": 4, "validation_loss": 4, "gap": 4, "stable_rank": 3, "log_bound": 4}
    for row in found.rows:
        known = ((row.means[name], places) for name, places in digits.items())
        cells = ["-" if value is None else f"{value:.{places}f}" for value, places in known]
        rows.append((f"{row.task} {row.row}", str(len(row.seeds)), *cells))
    print_whole(("task and row", "seeds", "train", "valid.", "gap", "SR", "ln bound"), rows)
    put()
    named = {"stable_rank": "SR", "log_norms": "ln norms", "log_bound": "ln bound"}
    for term, words in named.items():
        put(f"{words} and gap: {in_words(found.correlations[term])}")


def _print_scores(found: Sequence[ScoreRow]) -> None:
    for row in dict.fromkeys(each.row for each in found):
        own = [each.score for each in found if each.row == row]
        parts = any(score.parts for score in own)
        put(row)
        columns = ("group", "runs", "samples", "rate", "flips", "r", "worth", "switched", "coin")
        print_whole(
            (*columns, *(("agree", "light", "full") if parts else ())),
            [(each.group, *_cells(each), *(_of_parts(each) if parts else ())) for each in own],
        )


def _cells(score: GroupScore) -> list[str]:
    return [
        str(score.runs),
        str(score.samples),
        f"{score.rate:.2f}",
        "-" if score.flips is None else f"{score.flips}/{score.pairs}",
        "-" if score.r is None else f"{score.r:.2f}±{score.r_error:.2f}",
        "-" if score.effective is None else f"{score.effective:.1f} of {score.per_window}",
        str(score.switched),
        _figure(score.coin),
    ]


def _of_parts(score: GroupScore) -> list[str]:
    agreeing = None
    if score.parts and score.agreeing is not None:
        agreeing = score.agreeing / score.parts
    return [_figure(agreeing), _figure(score.light), _figure(score.extra)]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _print_table(title: str, found: Sequence[Comparison]) -> None:
    put(title)
    rows = []
    for each in found:
        mean = each.mean_alignment
        cells = (
            each.name,
            f"{each.shape[0]}x{each.shape[1]}",
            f"{each.stable_rank_before:.4f}",
            f"{each.stable_rank_after:.4f}",
            f"{each.ratio_before:.4f}",
            f"{each.ratio_after:.4f}",
            f"{max(map(abs, each.change)):.3g}",
            "-" if mean is None else f"{mean:.3f}",
            f"{sum(each.degenerate)}/{len(each.change)}",
        )
        rows.append(cells)
    columns = ("shape", "SR(A)", "SR(B)", "ρ(A)", "ρ(B)", "max |Δs|", "|cos|", "open")
    print_whole(("target", *columns), rows)
