"""`calisr analyze`: looking at trained weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from calisr_engine.errors import ConfigError
from calisr_tui.cli.figure import Out, Targets
from calisr_tui.cli.options import Json, OutputDir
from calisr_tui.cli.out import PlainConsole, print_figure, put, put_json

if TYPE_CHECKING:
    from calisr_engine.analysis.spectrum import Comparison

EXAMPLE = "Example: calisr analyze spectrum demo-bert runs/my-run --target 1.value"

analyze_app = typer.Typer(
    help="Look at trained weights: singular values, stable rank, alignment of singular vectors.",
    no_args_is_help=True,
    epilog=EXAMPLE,
)


@analyze_app.callback()
def _family() -> None:
    """Keeps `spectrum` a command of its own."""


def add_to(app: typer.Typer) -> None:
    analyze_app.command("spectrum", epilog=EXAMPLE)(spectrum)
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


def _print_table(title: str, found: Sequence[Comparison]) -> None:
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("target", no_wrap=True)
    for column in ("shape", "SR(A)", "SR(B)", "ρ(A)", "ρ(B)", "max |Δs|", "|cos|", "open"):
        table.add_column(column, justify="right", no_wrap=True)
    for each in found:
        mean = each.mean_alignment
        table.add_row(
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
    PlainConsole().print(table)
