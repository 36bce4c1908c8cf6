"""How a command ends: one clear sentence on stderr, and the exit code of people PC."""

from __future__ import annotations

import functools
import sys
import traceback
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import click
import sqlalchemy.exc
from flask import current_app

from app.automation.registry import BadAutomationModule
from app.models.engine import BadDatabaseUrl, is_busy
from app.services.refusals import Refusal
from config import BadSettings

P = ParamSpec("P")
R = TypeVar("R")

WITH_FAULTS, REFUSED, NOT_FOUND, CONFLICT, UNREACHABLE = 1, 2, 3, 4, 5
INTERNAL, INTERRUPTED = 70, 130


class Ended(click.ClickException):
    """Ends a command with a sentence and an exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance


def explained(command: Callable[P, R]) -> Callable[P, R]:
    """Turn what a command raises into its sentence and exit code; a bug shows its traceback."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            raise Ended("Interrupted; what was not finished is undone.", INTERRUPTED) from None
        except (click.ClickException, click.exceptions.Exit):
            raise
        except Exception as error:
            raise ended(error) from error

    return run


def ended(error: Exception) -> click.ClickException:
    """The way to end because of `error`; what nobody foresaw is shown whole."""
    if isinstance(error, (BadAutomationModule, BadDatabaseUrl, BadSettings)):
        return Ended(str(error), REFUSED)
    if isinstance(error, Refusal):
        return Ended(
            str(error.sentence), {404: NOT_FOUND, 409: CONFLICT}.get(error.status, REFUSED)
        )
    if is_busy(error):
        return Ended("The database is busy; try again in a few seconds.", UNREACHABLE)
    if isinstance(error, sqlalchemy.exc.DBAPIError):
        return _ended_by_database(error)
    return _unforeseen(error)


def _ended_by_database(error: sqlalchemy.exc.DBAPIError) -> click.ClickException:
    said = _first_line(error.orig)
    if _lacks_tables(error, said):
        return Ended(
            "The database lacks tables or columns: run flask --app run_web db upgrade.", REFUSED
        )
    if isinstance(error, sqlalchemy.exc.IntegrityError):
        return Ended(
            "Somebody changed the same rows meanwhile, so nothing was written; try again.", CONFLICT
        )
    if isinstance(error, sqlalchemy.exc.OperationalError) or "not a database" in said:
        return Ended(f"The database cannot be reached: {said}", UNREACHABLE)
    return _unforeseen(error)


def _lacks_tables(error: sqlalchemy.exc.DBAPIError, said: str) -> bool:
    if isinstance(error, sqlalchemy.exc.OperationalError):  # so SQLite calls it
        return "no such table" in said or "no such column" in said or "has no column" in said
    # PostgreSQL says the same words of a missing database, but calls that operational.
    return isinstance(error, sqlalchemy.exc.ProgrammingError) and "does not exist" in said


def _unforeseen(error: Exception) -> click.ClickException:
    traceback.print_exception(error, file=sys.stderr)
    return Ended("That is a fault of Nextseat; the lines above tell where.", INTERNAL)


def needs_database(command: Callable[P, R]) -> Callable[P, R]:
    """For commands that work on the database of this installation."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if "sqlalchemy" not in current_app.extensions:
            raise Ended(
                "SQLALCHEMY_DATABASE_URI is not set: put it into .env (see .env.example).", REFUSED
            )
        return command(*args, **kwargs)

    return explained(run)


def _first_line(error: Any) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
