"""The command line: one visible list of the groups under `flask` (people PC)."""

from __future__ import annotations

from importlib import import_module

from flask import Flask

# A module of this package each, with a click command or group called `command`.
COMMANDS: tuple[str, ...] = (
    "doctor",
    "upgrading",
    "importing",
    "replaying",
    "waitlist",
    "schedules",
    "jobs",
    "runs",
    "outbox",
    "letters",
    "users",
    "apikeys",
    "demo",
)


def init_app(app: Flask) -> None:
    """Register every command."""
    for name in COMMANDS:
        app.cli.add_command(import_module(f"app.ops.{name}").command)
