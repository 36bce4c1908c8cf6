"""Whether the database has the tables that this code expects."""

from __future__ import annotations

from pathlib import Path

import alembic.config
import alembic.script
from alembic.runtime.migration import MigrationContext
from flask import Flask

from app.extensions import db
from app.ops.exits import REFUSED, Ended

MIGRATIONS = Path(__file__).parent.parent.parent / "migrations"


def require_migrated(app: Flask) -> None:
    """Raises `Ended` with the command that cures it; needs an app context."""
    with db.engine.connect() as connection:
        found = set(MigrationContext.configure(connection).get_current_heads())
    wanted = set(alembic.script.ScriptDirectory(str(MIGRATIONS)).get_heads())
    if found != wanted:
        has = ", ".join(sorted(found)) or "no tables"
        raise Ended(
            f"The database has {has}, this version of Nextseat needs {', '.join(sorted(wanted))}:"
            " run flask --app run_web db upgrade.",
            REFUSED,
        )
