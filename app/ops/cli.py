"""The command line: one visible list of the groups under `flask` (people PC)."""

from __future__ import annotations

from importlib import import_module

import click
from flask import Flask
from flask.cli import AppGroup

# Each has a module of this package, with a click command or group called `command`.
COMMANDS: dict[str, str] = {
    "doctor": "doctor",
    "db": "upgrading",
    "import": "importing",
    "replay": "replaying",
    "waitlist": "waitlist",
    "schedules": "schedules",
    "jobs": "jobs",
    "runs": "runs",
    "outbox": "outbox",
    "letters": "letters",
    "users": "users",
    "apikeys": "apikeys",
    "demo": "demo",
}


class Commands(AppGroup):
    """Ours, each imported when it is asked for.

    The web, the scheduler and any one command start without the others.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*COMMANDS, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        command: click.Command = import_module(f"app.ops.{COMMANDS[cmd_name]}").command
        return command


def init_app(app: Flask) -> None:
    """Know every command."""
    app.cli = Commands(app.cli.name, commands=app.cli.commands)
