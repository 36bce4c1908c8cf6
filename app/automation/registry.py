"""Which task classes there are (waitlist WA1). Registering only records; `load` imports."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from app.models.text import named

if TYPE_CHECKING:
    from app.automation.automation_base import BaseAutomationTask

BUILT_IN = "app.automation.automation_tasks"

# A class that was renamed: its schedules and jobs go on under the new name (reliability JX6).
RENAMED: dict[str, str] = {}

Task = TypeVar("Task", bound="type[BaseAutomationTask]")

_registered: dict[str, Registration] = {}


class BadAutomationModule(Exception):
    """A module that `AUTOMATION_MODULES` names cannot be used; the message says which and why."""


@dataclass(frozen=True)
class Registration:
    """A task class as it was registered: `record.cls`, and `record["class"]` as documented."""

    cls: type[BaseAutomationTask]
    name: str
    description: str
    enabled: bool
    module: str
    qualified_name: str

    def __getitem__(self, key: str) -> Any:
        if key in self.keys():
            return getattr(self, "cls" if key == "class" else key)
        raise KeyError(key)

    def keys(self) -> tuple[str, ...]:
        """The documented keys, so that `dict(record)` works."""
        return ("class", *(field.name for field in fields(self) if field.name != "cls"))

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())


def register_automation(
    name: str | None = None, description: str | None = None, enabled: bool = True
) -> Callable[[Task], Task]:
    """Record a task class, by default under its own name. Raises ValueError for a name taken."""

    def record(cls: Task) -> Task:
        called = name or cls.__name__
        if called in _registered:
            known = _registered[called].qualified_name
            raise ValueError(f"the automation {called!r} is registered already, by {known}")
        module = _public(cls.__module__)
        _registered[called] = Registration(
            cls, called, description or "", enabled, module, f"{module}.{cls.__qualname__}"
        )
        return cls

    return record


def _public(module: str) -> str:
    """Where people import it from: the built-in tasks have a file each, and one address."""
    return BUILT_IN if module.startswith(f"{BUILT_IN}.") else module


def get_registered_automation_classes() -> dict[str, Registration]:
    """Name -> record of all task classes, the built-in ones included; a copy."""
    load()
    return dict(_registered)


def get_automation_class(name: str) -> Registration | None:
    """The record of a task class, also under a name it had before; None if there is none."""
    load()
    return _registered.get(name) or _registered.get(RENAMED.get(name, ""))


def known_classes() -> list[str]:
    """The names, old ones included, under which there is a task class."""
    load()
    return sorted({*_registered, *(old for old, new in RENAMED.items() if new in _registered)})


def registration_of(cls: type[BaseAutomationTask]) -> Registration | None:
    """The record of a class, whatever name it was given."""
    load()
    return next((record for record in _registered.values() if record.cls is cls), None)


def load(modules: Sequence[str] = ()) -> None:
    """Import the built-in tasks, then `modules`; twice is harmless. Raises BadAutomationModule."""
    importlib.import_module(BUILT_IN)
    for module in modules:
        try:
            importlib.import_module(module)
        # Theirs: it may fail in any way, and must be told in a sentence.
        except (Exception, SystemExit) as error:
            why = f"sys.exit({error.code!r})" if isinstance(error, SystemExit) else named(error)
            raise BadAutomationModule(
                f"AUTOMATION_MODULES names {module}, which cannot be imported:"
                f" {why}. Mend the module or take it off the list."
            ) from error
