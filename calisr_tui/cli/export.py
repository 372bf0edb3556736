"""`calisr export`: the best model of a run as a folder, as ONNX, and on the hub."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from calisr_engine.errors import ConfigError
from calisr_tui.cli.options import OutputDir, RunArgument, find_run, quiet_libraries
from calisr_tui.cli.out import put, say


def add_to(app: typer.Typer) -> None:
    app.command("export", epilog="Example: calisr export runs/my-run ./my-model --onnx")(export)


def export(
    name: RunArgument,
    folder: Annotated[
        Path | None,
        typer.Argument(help="Folder to write; it must not exist. Not needed with --push."),
    ] = None,
    adapter_only: Annotated[
        bool, typer.Option("--adapter-only", help="Only the light part (plain LoRA runs).")
    ] = False,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Also as onnx/model.onnx, checked against the model.")
    ] = False,
    push: Annotated[
        str | None,
        typer.Option("--push", metavar="NAME", help="Upload it to the Hugging Face hub, private."),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="With --push: for everybody to see.")
    ] = False,
    output_dir: OutputDir = Path("runs"),
) -> None:
    """Write the best model of a run, also a stopped or failed one, as a transformers folder."""
    if folder is None and push is None:
        raise ConfigError("there is nowhere to export to", "name a folder, or --push NAME")
    if public and push is None:
        raise ConfigError("--public is for --push, and there is none", "add --push NAME")
    if adapter_only and onnx:
        raise ConfigError("--onnx is of the whole model", "leave --adapter-only out")
    run_dir = find_run(name, output_dir)
    quiet_libraries()
    from calisr_engine.results import push as hub
    from calisr_engine.results.export_run import export_run

    client = None
    if push is not None:
        hub.check_name(push)
        client = hub.hub()
    if onnx:
        from calisr_engine.results.onnx_export import check_extra

        check_extra()
    with tempfile.TemporaryDirectory(prefix="calisr-export-") as passing:
        there = folder or Path(passing) / "model"
        export_run(run_dir, there, adapter_only=adapter_only)
        if onnx:
            from calisr_engine.results.onnx_export import write_onnx

            difference = write_onnx(there)
            say(f"onnx/model.onnx: no logit differs from the model by more than {difference:.1e}")
        if folder is not None:
            put(folder)
        if push is not None:
            put(hub.push(there, push, client, public))
