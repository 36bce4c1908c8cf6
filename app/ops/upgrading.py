"""`flask db`: Flask-Migrate's commands, ending in our sentences and exit codes (people PC)."""

from __future__ import annotations

from flask.cli import with_appcontext
from flask_migrate.cli import db as command

from app.ops.exits import needs_database

__all__ = ["command"]

for migration in command.commands.values():
    if migration.callback is not None:
        migration.callback = with_appcontext(needs_database(migration.callback))
