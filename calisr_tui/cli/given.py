"""What was given on the command line, as words that give it again."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import typer


def given_words(ctx: typer.Context, without: Collection[str] = ()) -> list[str]:
    """The words of a command behind `calisr` that do the same once more.

    Args:
        without: names of parameters that are left out.
    """
    words = [str(ctx.info_name)]
    for each in ctx.command.params:
        name = str(each.name)
        source = ctx.get_parameter_source(name)
        if name not in without and source is not None and source.name == "COMMANDLINE":
            words += _of(each, ctx.params[name])
    return words


def _of(parameter: Any, value: object) -> Iterator[str]:
    if parameter.param_type_name == "argument":
        yield str(value)
        return
    option = max(parameter.opts, key=len)
    if value is True:
        yield option
    elif value is False:
        yield max(parameter.secondary_opts, key=len)
    else:
        for each in value if isinstance(value, list | tuple) else [value]:
            yield from [f"{option}={each}"] if str(each).startswith("-") else [option, str(each)]
