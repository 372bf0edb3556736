"""Which methods there are, found by their folders; no torch.

Whoever lists, labels, counts or validates methods asks here, so that a new folder is all that a new
method needs.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Field

from calisr_engine import methods
from calisr_engine.errors import ConfigError
from calisr_engine.methods.settings import MethodBase


def only_class(module: ModuleType, base: type) -> Any:
    """The one subclass of `base` that `module` defines.

    Raises:
        TypeError: there is none, several, or it lacks a method that `base` leaves open.
    """
    own: list[Any] = [each for each in vars(module).values() if inspect.isclass(each)]
    found = [each for each in own if issubclass(each, base) and each.__module__ == module.__name__]
    if len(found) != 1:
        raise TypeError(f"{module.__name__} defines {len(found)} subclasses of {base.__name__}")
    if inspect.isabstract(found[0]):
        lacking = ", ".join(sorted(found[0].__abstractmethods__))
        raise TypeError(f"{found[0].__name__} does not define {lacking}")
    return found[0]


def find_methods() -> dict[str, type[MethodBase]]:
    """The settings of each method by its name, in the order of lists and forms.

    Raises:
        ConfigError: a folder named in CALISR_METHODS is missing, or what it holds is no method.
    """
    found: dict[str, type[MethodBase]] = {}
    for home in methods.HOMES:
        if not Path(home).is_dir():
            raise ConfigError(f"CALISR_METHODS names {home}, which is no folder", "correct it")
    for home in methods.__path__:
        for name in [each.name for each in pkgutil.iter_modules([home]) if each.ispkg]:
            try:
                if name in found:
                    raise TypeError(f"there is another method {name}")
                module = importlib.import_module(f"{methods.__name__}.{name}.settings")
                found[name] = _checked(only_class(module, MethodBase), name)
            except (ImportError, TypeError, SyntaxError) as error:
                raise ConfigError(
                    f"the method in {Path(home) / name} cannot be used: {error}",
                    "mend it, or take its folder out of CALISR_METHODS",
                ) from error
    return dict(sorted(found.items(), key=lambda item: (item[1].order, item[0])))


def _checked(settings: type[MethodBase], name: str) -> type[MethodBase]:
    if settings.model_fields["name"].default != name:
        raise TypeError(f'{settings.__name__} does not say name: Literal["{name}"] = "{name}"')
    lacking = [each for each in ("title", "label", "summary") if not hasattr(settings, each)]
    if lacking:
        raise TypeError(f"{settings.__name__} does not define {', '.join(lacking)}")
    return settings


METHODS = find_methods()
"""The settings of each method, by the name that `method.name` takes."""

if TYPE_CHECKING:
    MethodSettings = MethodBase
else:
    MethodSettings = Annotated[Union[tuple(METHODS.values())], Field(discriminator="name")]  # noqa: UP007


def label(name: str) -> str:
    """A method's short name in tables; a name that is not known here (an old log's) stays."""
    return METHODS[name].label if name in METHODS else name


def has_light_phase(name: str) -> bool:
    """Whether a run of this method is ever light; so for names that are not known here."""
    return name not in METHODS or METHODS[name].has_light_phase
