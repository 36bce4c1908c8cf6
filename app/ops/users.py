"""`flask users`: who has an account, in which roles; the first administrator (people PC)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import click
import sqlalchemy as sa
from flask import current_app
from flask.cli import with_appcontext
from flask_security import hash_password
from sqlalchemy.orm import selectinload

from app.delivery.rendering import base_url
from app.extensions import db, unit, utcnow
from app.models import Student, Trainer, User
from app.models.person import PersonStatus
from app.ops.exits import NOT_FOUND, REFUSED, Ended, needs_database
from app.ops.terminal import (
    TEXT,
    json_option,
    limit_option,
    note,
    practice_option,
    print_count,
    print_json,
    print_table,
    printable,
    the_practice,
)
from app.services import accounts, people, tickets
from app.services.actors import CONSOLE
from app.services.passwords import a_password
from app.services.refusals import a_reason
from config import Settings

email_argument = click.argument("email", metavar="EMAIL", type=TEXT)
role_type = click.Choice(accounts.ROLES)


@click.group("users")
def command() -> None:
    """Accounts: who signs in, and in which roles."""


# --- look ----------------------------------------------------------------------------------------


@command.command("list")
@click.option("--role", type=role_type, help="Only who acts in this role.")
@limit_option
@json_option
@with_appcontext
@needs_database
def list_(role: str | None, limit: int, as_json: bool) -> None:
    """All accounts by address, with their roles and whether they sign in with codes."""
    rows = [row for row in _everyone() if role is None or role in row["roles"]]
    shown = rows[:limit]
    if as_json:
        print_json(shown)
    else:
        print_table(
            ("email", "name", "roles", "active", "password", "codes"),
            [
                (
                    row["email"],
                    row["name"],
                    ", ".join(row["roles"]),
                    *("yes" if row[fact] else "no" for fact in ("active", "password", "codes")),
                )
                for row in shown
            ],
        )
    print_count(len(shown), len(rows), "accounts")


def _everyone() -> list[dict[str, Any]]:
    """Four statements, however many there are."""
    learn = set(db.session.scalars(_active(Student)))
    teach = set(db.session.scalars(_active(Trainer)))
    users = db.session.scalars(
        sa.select(User)
        .where(User.erased_at.is_(None))
        .options(selectinload(User.roles))
        .order_by(sa.func.lower(User.email))
    )
    return [
        {
            "id": user.id,
            "email": user.email,
            "name": user.fullname,
            "roles": [
                *sorted(held.name for held in user.roles),
                *(["trainer"] if user.id in teach else []),
                *(["student"] if user.id in learn else []),
            ],
            "active": user.active,
            "password": bool(user.password),
            "codes": bool(user.tf_totp_secret),
        }
        for user in users
    ]


def _active(model: Any) -> Any:
    return sa.select(model.user_id).where(model.status == PersonStatus.ACTIVE)


# --- act -----------------------------------------------------------------------------------------


@command.command("create")
@email_argument
@click.option("--role", "roles", type=role_type, multiple=True, help="May be given several times.")
@click.option("--first-name", type=TEXT, default="", help="Their first name.")
@click.option("--last-name", type=TEXT, default="", help="Their last name.")
@practice_option
@click.option("--password-stdin", is_flag=True, help="Read the password from stdin, one line.")
@with_appcontext
@needs_database
def create(
    email: str,
    roles: Sequence[str],
    first_name: str,
    last_name: str,
    practice: str | None,
    password_stdin: bool,
) -> None:
    """Make an account. Prints a link with which its owner chooses a password, once, in 7 days."""
    _needs_secrets()
    typed = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
    password = hash_password(a_password(typed, email)) if typed is not None else None

    def act() -> User:
        user = accounts.create(db.session(), email, the_practice(practice), roles)
        user.first_name, user.last_name, user.password = first_name, last_name, password
        return user

    user = unit(db.session, act)
    note(f"made {printable(user.email)}: {', '.join(roles) or 'no role'}")
    if password is None:
        click.echo(_link(user))


def _link(user: User) -> str:
    until = utcnow() + tickets.INVITED_FOR
    facts = [user.id, accounts.version(user)]
    key = str(current_app.config["SECRET_KEY"])
    token = tickets.write(key, tickets.NEW_PASSWORD, facts, until)
    settings: Settings = current_app.extensions["settings"]
    return base_url(settings).rstrip("/") + tickets.path(tickets.NEW_PASSWORD, token)


def _needs_secrets() -> None:
    """What is hashed or signed with secrets of this process alone would open nothing."""
    settings: Settings = current_app.extensions["settings"]
    makes_its_own = settings.demo or settings.environment == "DEVELOPMENT"
    if not makes_its_own and not (settings.secret_key and settings.security_password_salt):
        raise Ended("SECRET_KEY and SECURITY_PASSWORD_SALT are not set: see .env.example.", REFUSED)


@command.command("roles")
@email_argument
@click.option("--add", "added", type=role_type, multiple=True, help="A role to give.")
@click.option("--remove", "removed", type=role_type, multiple=True, help="A role to take away.")
@practice_option
@with_appcontext
@needs_database
def roles(email: str, added: Sequence[str], removed: Sequence[str], practice: str | None) -> None:
    """Give and take roles. A practice keeps its last administrator."""
    if not added and not removed:
        raise Ended("Say which role to --add or to --remove.", REFUSED)
    now = utcnow()

    def act(user: User) -> None:
        where = the_practice(practice)
        for role in added:
            accounts.give_role(db.session(), user, role, where, CONSOLE, now)
        db.session.flush()  # who is an administrator is counted in the database
        for role in removed:
            accounts.take_role(db.session(), user, role, where, CONSOLE, now)

    _change(email, act)
    held = next(row["roles"] for row in _everyone() if row["email"].lower() == email.lower())
    click.echo(f"{printable(email)}: {', '.join(held) or 'no role'}")


@command.command("activate")
@email_argument
@with_appcontext
@needs_database
def activate(email: str) -> None:
    """Let somebody sign in and book again."""
    now = utcnow()
    _change(email, lambda user: accounts.activate(db.session(), user, CONSOLE, now))
    click.echo(f"{printable(email)}: active")


@command.command("deactivate")
@email_argument
@with_appcontext
@needs_database
def deactivate(email: str) -> None:
    """Sign somebody out everywhere, for good; they are passed over while they wait."""
    now = utcnow()
    _change(email, lambda user: accounts.deactivate(db.session(), user, CONSOLE, now))
    click.echo(f"{printable(email)}: not active")


@command.command("reset-totp")
@email_argument
@click.option("--reason", type=TEXT, required=True, help="5 to 500 characters; they are told.")
@with_appcontext
@needs_database
def reset_totp(email: str, reason: str) -> None:
    """Forget somebody's authenticator app and recovery codes, and write to them."""
    now, said = utcnow(), a_reason(reason)

    def act(user: User) -> None:
        practice = people.standing(db.session(), user.id).practice
        accounts.reset_codes(db.session(), user, said, practice.id if practice else None, now)

    _change(email, act)
    click.echo(f"{printable(email)}: set up an app anew at the next sign-in")


def _change(email: str, act: Callable[[User], None]) -> None:
    """One unit about one account. Raises `Ended`."""

    def run() -> None:
        user = accounts.find(db.session(), email)
        if user is None:
            raise Ended(f"There is no account {printable(email)}.", NOT_FOUND)
        act(user)

    unit(db.session, run)
