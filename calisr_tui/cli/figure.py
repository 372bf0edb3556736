"""`calisr figure`: the paper's figures from runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calisr_tui.cli import complete
from calisr_tui.cli.options import Json, OutputDir
from calisr_tui.cli.out import print_figure, put, put_json, say

Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FILE", help="Draw to an .svg or .png file (matplotlib)."),
]
Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        "-t",
        metavar="NAME",
        help="LAYER.component such as 1.value, or a component, or a layer; may be repeated.",
    ),
]


def add_to(app: typer.Typer) -> None:
    app.command("figure", epilog="Example: calisr figure 5b small/figure5 --out figure5b.svg")(
        figure
    )


def figure(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="2a, 2b, 3, 4a to 4d, 5a, 5b; or 2, 4, 5 for all."),
    ],
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[GRID_OR_RUN]...",
            help="Grids, runs, or folders of runs; small/figureN if none is given.",
        ),
    ] = None,
    out: Out = None,
    targets: Targets = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            "-s",
            metavar="KEY=VALUE",
            help="As given to `calisr grid run`.",
            autocompletion=complete.settings,
        ),
    ] = None,
    output_dir: OutputDir = Path("runs"),
    as_json: Json = False,
) -> None:
    """Draw a figure of the paper from complete runs, in the terminal or to a file.

    --target chooses the matrices of Figure 4 (the last layer's `intermediate` if none is given).
    """
    from calisr_engine.figures.catalog import make_figure
    from calisr_engine.figures.picture import check_out, draw

    if out is not None:
        check_out(out)
    made = make_figure(name, sources or (), output_dir, targets or (), tuple(sets or ()))
    if out is not None:
        draw(made, out)
    if as_json:
        put_json(made.to_dict())
    elif out is not None:
        put(out)
        for note in [*made.notes, *(note for panel in made.panels for note in panel.notes)]:
            say(note)
    else:
        print_figure(made)
