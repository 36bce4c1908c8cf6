"""How a command ends: one clear sentence on stderr, and the exit code of people PC."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import click
import sqlalchemy.exc
from flask import current_app

from app.models.engine import BadDatabaseUrl, is_busy
from app.services.refusals import Refusal
from config import BadSettings

P = ParamSpec("P")
R = TypeVar("R")

WITH_FAULTS, REFUSED, NOT_FOUND, CONFLICT, UNREACHABLE = 1, 2, 3, 4, 5


class Ended(click.ClickException):
    """Ends a command with a sentence and an exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance


def explained(command: Callable[P, R]) -> Callable[P, R]:
    """Turn what a command raises into its sentence and exit code; a bug keeps its traceback."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except Exception as error:
            raise ended(error) from error

    return run


def ended(error: Exception) -> Exception:
    """The way to end because of `error`; itself if nobody foresaw it."""
    if isinstance(error, (BadDatabaseUrl, BadSettings)):
        return Ended(str(error), REFUSED)
    if isinstance(error, Refusal):
        return Ended(
            str(error.sentence), {404: NOT_FOUND, 409: CONFLICT}.get(error.status, REFUSED)
        )
    if is_busy(error):
        return Ended("The database is busy; try again in a few seconds.", UNREACHABLE)
    if isinstance(error, sqlalchemy.exc.OperationalError):
        return Ended(f"The database cannot be reached: {_first_line(error.orig)}", UNREACHABLE)
    if isinstance(error, sqlalchemy.exc.ProgrammingError) and "does not exist" in str(error.orig):
        return Ended("The database has no tables yet: run flask --app run_web db upgrade.", REFUSED)
    return error


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
    return str(error).strip().splitlines()[0]
