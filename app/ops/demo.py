"""`flask demo`: the data with which one tries Nextseat out (people PF3, PC).

Told by the services that everyone calls, from forty days ago until now; the letters of that time
go out as they would have, into files. What is to happen next is left to the scheduler.
"""

from __future__ import annotations

import os
import random
import secrets
import smtplib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import click
import sqlalchemy as sa
from flask import current_app
from flask.cli import with_appcontext
from flask_security import hash_password

from app.delivery import outbox
from app.delivery.message import Envelope
from app.delivery.rendering import base_url
from app.delivery.transports import ToFiles
from app.extensions import db, utcnow, write
from app.models import (
    Practice,
    SchedulerEpoch,
    SystemDuty,
    Trainer,
    Training,
    TrainingEvent,
    TrainingType,
)
from app.ops import demo_data
from app.ops.demo_data.courses import QUICK
from app.ops.demo_data.people import UNREACHABLE
from app.ops.exits import REFUSED, Ended, needs_database
from app.services import digests
from config import INSTANCE, Settings

LOADED, OPENED = "demo:loaded", "demo:opened"  # when that was, beside the scheduler's duties
TOGETHER = timedelta(minutes=10)  # letters of what happened within this time go out together
LEAFLET = "demo.txt"
SOUNDS = ("bdfgklmnprstvz", "aeiou")


@click.group("demo")
def command() -> None:
    """The data of the demo."""


@command.command("load")
@click.option("--reset", is_flag=True, help="Remove what is there, and make it anew.")
@click.option("--seed", default=1, show_default=True, help="Another seed, other data.")
@with_appcontext
@needs_database
def load_(reset: bool, seed: int) -> None:
    """Fill a database: 24 trainings, 120 students, their lines, letters and accounts."""
    settings: Settings = current_app.extensions["settings"]
    if not settings.demo:
        raise Ended("Made-up people belong into a demo: set DEMO=1 if this is one.", REFUSED)
    if reset:
        empty(settings)
    elif is_there():
        raise Ended("This database has data: add --reset to remove them.", REFUSED)
    password = kept_password(INSTANCE) or a_password()
    load(password, seed, utcnow())
    open_invitations(utcnow())
    click.echo(keep_leaflet(INSTANCE, settings, password), nl=False)


def load(password: str, seed: int, now: datetime) -> None:
    """Write all but the last invitations; needs an empty database (people PF3)."""
    chance, session = random.Random(seed), db.session  # noqa: S311  made-up people, no secret
    with write(session):
        scene = demo_data.Scene.set_up(session(), chance, hash_password(password), now)
        acts = demo_data.Story(scene, chance, now).acts()
    with _at_once():
        for together in _occasions(acts):
            with write(session):
                for at, do in together:
                    do(session(), at)
            _post(together[-1].at)
    with write(session):
        for user_id in session.scalars(sa.select(Trainer.user_id)):
            digests.begin(session(), user_id)  # tonight's tells of today
        session.add(SystemDuty(name=LOADED, last_run_at=now))


def _occasions(acts: Sequence[demo_data.Act]) -> Iterator[list[demo_data.Act]]:
    """Acts that follow each other so closely that their letters go out together."""
    together: list[demo_data.Act] = []
    for act in acts:
        if together and act.at - together[0].at > TOGETHER:
            yield together
            together = []
        together.append(act)
    if together:
        yield together


def open_invitations(now: datetime) -> None:
    """Invitations that soon run out, once; for when the scheduler is ready (rulings RD4)."""
    with write(db.session):
        if _since(LOADED) is not None and _since(OPENED) is None:
            demo_data.opening(db.session(), now)
            db.session.add(SystemDuty(name=OPENED, last_run_at=now))


def empty(settings: Settings) -> None:
    """Remove everything but the scheduler's number. Raises `Ended` if it is more than a demo."""
    known = sa.select(Practice.shortname).where(Practice.shortname != demo_data.PRACTICE[1])
    if (others := db.session.scalars(known.limit(1)).first()) is not None:
        raise Ended(f"The practice {others} is not the demo's: nothing was removed.", REFUSED)
    with write(db.session):
        for table in reversed(db.metadata.sorted_tables):
            if table.name != SchedulerEpoch.__tablename__:
                db.session.execute(sa.delete(table))
    db.session.expunge_all()  # what was loaded of them
    for letter in Path(settings.mail_folder).glob("*.eml"):
        letter.unlink()


def made_at(now: datetime) -> datetime | None:
    """When the data were made that can still be used; None: there are none, or half, or too old."""
    made, over = _since(LOADED), sa.func.min(TrainingEvent.start_time)
    quick = sa.select(over).join(Training).join(TrainingType).where(TrainingType.name == QUICK)
    first = db.session.scalar(quick)
    return made if made and first and first > now else None


def is_there() -> bool:
    """Whether anything was made here before, whole or not."""
    return db.session.scalar(sa.select(Practice.id).limit(1)) is not None


def _since(mark: str) -> datetime | None:
    row = db.session.get(SystemDuty, mark)
    return row.last_run_at if row else None


# --- letters of the past -------------------------------------------------------------------------


class Post(ToFiles):
    """Takes every letter but those to nobody: one address of the demo does not exist."""

    def send(self, envelope: Envelope) -> None:
        """Write the file, or refuse as mail servers do."""
        if envelope.to.startswith(f"{UNREACHABLE}@"):
            refused = (550, b"5.1.1 There is nobody of this name here")
            raise smtplib.SMTPRecipientsRefused({envelope.to: refused})
        super().send(envelope)


def _post(at: datetime) -> None:
    """Send what is due at that instant of the past."""
    settings: Settings = current_app.extensions["settings"]
    outbox.drain(clock=lambda: at, transport=Post(Path(settings.mail_folder)))


@contextmanager
def _at_once() -> Iterator[None]:
    """The rate of letters is one of real time: that of the past is over at once."""
    settings: Settings = current_app.extensions["settings"]
    current_app.extensions["settings"] = settings.model_copy(update={"mail_rate": 0.0})
    try:
        yield
    finally:
        current_app.extensions["settings"] = settings


# --- what people need to know --------------------------------------------------------------------


def kept_password(folder: Path) -> str | None:
    """The password that the leaflet names."""
    path = folder / LEAFLET
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.split()[1] for line in lines if line.startswith("Password ")), None)


def a_password() -> str:
    """A random one that is easy to type, such as `bado-kemi-luna-tofi`: 2^49 of them."""
    pairs = ["".join(secrets.choice(sounds) for sounds in SOUNDS) for _ in range(8)]
    return "-".join(map("".join, zip(pairs[::2], pairs[1::2], strict=True)))


def keep_leaflet(folder: Path, settings: Settings, password: str) -> str:
    """What to open and how to sign in, as `make demo` prints it last (people PF2)."""
    address = base_url(settings)
    names = " ".join(f"{account.address}@" for account in demo_data.ACCOUNTS)
    text = (
        f"Nextseat demo  {address}        Ctrl-C stops it\n"
        f"Letters        {address}/dev/outbox   open the newest, press Accept\n"
        f"Password       {password}\n"
        f"{names}{demo_data.DOMAIN}\n"
        "No codes: TOTP is off in the demo\n"
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LEAFLET
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    return text
