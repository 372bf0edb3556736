"""Commands that list what there is: presets, methods, tasks, models, doctor."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from calisr_tui.cli import complete
from calisr_tui.cli.options import Json, OutputDir, Sets
from calisr_tui.cli.out import PlainConsole, put, put_json


def add_to(app: typer.Typer) -> None:
    app.command("presets", epilog="Examples: calisr presets · calisr presets demo")(presets)
    app.command("methods", epilog="Examples: calisr methods · calisr methods lora")(methods)
    app.command("regularizers", epilog="Example: calisr regularizers mixout")(regularizers)
    app.command("tasks", epilog="Example: calisr tasks --json")(tasks)
    app.command("models", epilog="Examples: calisr models · calisr models roberta-base")(models)
    app.command("doctor", epilog="Example: calisr doctor")(doctor)


def print_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """A table on stdout. Names stay whole, and in a pipe no line is broken."""
    import sys

    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, expand=False)
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=not number)
    for row in rows:
        table.add_row(*row)
    PlainConsole(width=None if sys.stdout.isatty() else 1000).print(table)


def presets(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Show this preset's settings.", autocompletion=complete.names_of_presets
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the presets, or show one."""
    from calisr_engine.config.load import load
    from calisr_engine.config.preset_files import names
    from calisr_engine.presets import describe

    if name is not None:
        resolved = load(name)
        if as_json:
            put_json(resolved.config.model_dump(mode="json"))
        else:
            put(resolved.to_toml())
        return
    found = [describe(each) for each in names()]
    if as_json:
        put_json([vars(each) if hasattr(each, "__dict__") else each for each in found])
        return
    print_table("Presets (calisr run NAME)", ["name", "what"], [[d.name, d.title] for d in found])


def methods(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Show this method's settings.", autocompletion=complete.names_of_methods
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Argument(
            help="Show what this tuner of the method can be told (`methods peft loha`)."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the fine-tuning methods, or show one with its settings."""
    from calisr_engine.errors import NotFoundError
    from calisr_engine.methods.catalog import METHODS

    if name is not None and name not in METHODS:
        import difflib

        near = difflib.get_close_matches(name, METHODS, n=1)
        raise NotFoundError(
            f"there is no method {name!r}",
            f"did you mean {near[0]}?" if near else f"methods: {', '.join(METHODS)}",
        )
    chosen = {name: METHODS[name]} if name else METHODS
    if name is not None and kind is not None:
        _show_kind(name, kind, as_json)
        return
    if as_json:
        put_json([_describe_method(each) for each in chosen.values()])
        return
    if name is None:
        rows = [
            [key, each.title, "no" if each.calibration_refused else "D, S, S3", each.summary]
            for key, each in METHODS.items()
        ]
        print_table("Methods", ["name", "title", "calibration", "what it does"], rows)
        return
    described = _describe_method(METHODS[name])
    put(f"{described['title']} ({name})\n{described['summary']}")
    if described["calibration_refused"]:
        put(f"Not calibrated: {described['calibration_refused']}.")
    rows = [[s["key"], str(s["default"]), s["help"]] for s in described["settings"]]
    print_table("\nSettings, in [method]", ["key", "default", "what"], rows)
    for key, found in METHODS[name].choices.items():
        put(f"\n{key} is one of {', '.join(found())}; calisr methods {name} NAME shows its options")
    fits = [
        [each["size"], f"{each['rate']:g}", f"{each['core'] or each['rate']:g}", each["source"]]
        for each in described["rates"]
    ]
    titles = ["encoder", "learning_rate", "lft_learning_rate", "source"]
    print_table("\nRates where you name none, without calibration", titles, fits)


def _show_kind(method: str, kind: str, as_json: bool) -> None:
    """What a setting that stands for several values may hold, once another is chosen."""
    from calisr_engine.config.describe import entries
    from calisr_engine.errors import NotFoundError
    from calisr_engine.methods.catalog import METHODS

    choices = {key: found() for key, found in METHODS[method].choices.items()}
    key = next((key for key, found in choices.items() if kind.lower() in found), None)
    if key is None:
        known = [each for found in choices.values() for each in found]
        raise NotFoundError(
            f"{method} has no {kind!r}",
            f"it has {', '.join(known)}" if known else f"leave it out: calisr methods {method}",
        )
    found = entries(method, {key: kind.lower()})
    if as_json:
        rows = [
            {"key": f.key, "default": f.default, "expects": f.expects, "help": f.help}
            for f in found
        ]
        put_json(rows)
        return
    rows_of = [
        [f.key, "" if f.default is None else str(f.default), f.expects, f.help] for f in found
    ]
    put(f"{key} = {kind.lower()}, of method {method}")
    print_table(
        "\nIts options, as in peft" if rows_of else "",
        ["key", "default", "values", "what"],
        rows_of,
    )


def regularizers(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Show this regularizer's settings.", autocompletion=complete.names_of_regularizers
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the regularizers that combine with the methods, or show one with its settings."""
    from calisr_engine.config.names import nearest
    from calisr_engine.errors import NotFoundError
    from calisr_engine.regularizers.catalog import REGULARIZERS

    if name is not None and name not in REGULARIZERS:
        near = nearest(name, REGULARIZERS)
        raise NotFoundError(
            f"there is no regularizer {name!r}",
            f"did you mean {near}?" if near else f"regularizers: {', '.join(REGULARIZERS)}",
        )
    chosen = {name: REGULARIZERS[name]} if name else REGULARIZERS
    if as_json:
        put_json([{"name": key, **_describe_regularizer(each)} for key, each in chosen.items()])
        return
    if name is None:
        rows = [[key, each.title, each.summary, each.source] for key, each in chosen.items()]
        print_table("Regularizers", ["name", "title", "what it does", "source"], rows)
        return
    described = _describe_regularizer(REGULARIZERS[name])
    put(f"{described['title']} ({name}), {described['source']}\n{described['summary']}")
    rows = [[s["key"], str(s["default"]), s["help"]] for s in described["settings"]]
    print_table("\nSettings, in [regularizer]", ["key", "default", "what"], rows)


def _describe_regularizer(settings: Any) -> dict[str, Any]:
    return {
        "title": settings.title,
        "summary": settings.summary,
        "source": settings.source,
        "settings": _described_settings(settings),
    }


def _described_settings(settings: Any) -> list[dict[str, Any]]:
    return [
        {"key": key, "default": field.default, "help": field.description}
        for key, field in settings.model_fields.items()
        if key != "name"
    ]


def _describe_method(settings: Any) -> dict[str, Any]:
    return {
        "name": settings.model_fields["name"].default,
        "title": settings.title,
        "summary": settings.summary,
        "calibration_refused": settings.calibration_refused,
        "rates": [{"size": size, **each._asdict()} for size, each in settings.rates.items()],
        "settings": _described_settings(settings),
    }


def tasks(as_json: Json = False) -> None:
    """List the tasks."""
    from calisr_engine.tasks import glue

    found = [glue.find(name) for name in glue.known()]
    if as_json:
        rows = [{"name": t.name, "kind": t.kind, "metrics": list(t.metrics)} for t in found]
        demo = {"name": "demo", "kind": "classification", "metrics": ["matthews", "accuracy"]}
        put_json([demo | {"synthetic": True}, *rows])
        return
    table = [["demo", "classification", "matthews, accuracy", "built in, synthetic, offline"]]
    table += [[t.name, t.kind, ", ".join(t.metrics), t.collection] for t in found]
    print_table("Tasks", ["name", "kind", "metrics", "source"], table)


def models(
    name: Annotated[
        str | None,
        typer.Argument(help="Show the components of this model: a name, a hub name or a folder."),
    ] = None,
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """List the catalogue of models, or show where the components of one are.

    Any hub name or folder of an encoder works that transformers builds without remote code.
    """
    from calisr_engine.models import catalog

    if name is not None:
        _show_model(name, sets or [], as_json)
        return
    if as_json:
        put_json([vars(entry) for entry in catalog.CATALOG])
        return
    rows = [
        [e.name, str(e.layers), str(e.hidden), f"{e.parameters:,}", e.source]
        for e in catalog.CATALOG
    ]
    print_table("Models", ["name", "layers", "hidden", "parameters", "source"], rows)


def _show_model(name: str, sets: list[str], as_json: bool) -> None:
    from calisr_engine.config.load import load
    from calisr_engine.forecast.encoder import WHO, look_at

    look = look_at(load(None, sets, {"model.name": name}).config.model)
    if as_json:
        put_json(dataclasses.asdict(look))
        return
    put(f"{look.name}: {look.architecture}, {look.parameters:,} parameters")
    put(f"Its components are {WHO[look.source]}.")
    rows = [
        [c.component, c.place, f"{c.rows} x {c.columns}", str(c.matrices)] for c in look.components
    ]
    print_table("\nComponents", ["component", "where", "rows x columns", "matrices"], rows)
    if look.beside:
        put("\nBeside them, trained in both phases: " + ", ".join(look.beside))
    for method, why in look.refused.items():
        put(f"\nNot with {method}: {why}.")
    put("\nTo name them otherwise, in a file of settings:\n\n[model.components]")
    put("\n".join(f'{c.component} = "{c.place}"' for c in look.components))


def doctor(output_dir: OutputDir = Path("runs"), as_json: Json = False) -> int:
    """Check what this machine offers, and say what is missing."""
    from calisr_engine.doctor import examine

    facts = examine(output_dir)
    if as_json:
        put_json(facts)
        return 1 if facts["problems"] else 0
    for key in ("python", "platform", "demo_model", "hub"):
        put(f"{key.replace('_', ' '):14} {facts[key]}")
    for device in facts["devices"]:
        rest = ", ".join(f"{k} {v}" for k, v in device.items() if k != "name")
        put(f"{'device':14} {device['name']} {rest}")
    put(f"{'packages':14} " + ", ".join(f"{k} {v}" for k, v in facts["packages"].items()))
    put(f"{'output':14} {facts['output_dir']['path']}")
    for problem in facts["problems"]:
        put(f"problem: {problem}")
    if not facts["problems"]:
        put("all is well; try: calisr demo")
    return 1 if facts["problems"] else 0
