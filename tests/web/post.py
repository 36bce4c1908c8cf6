"""The letters that pages promise, as their readers get them."""

from __future__ import annotations

import sqlalchemy as sa
from flask_security import hash_password
from sqlalchemy.orm import Session

from app.models import Outbox, Student, User
from tests.cast import Cast
from tests.web.browsing import Client

PASSWORD = "correct horse battery staple"
NEW = "four quiet otters swim"


def letters(stage: Session, kind: str | None = None) -> list[Outbox]:
    """What was promised, the first first."""
    stage.rollback()
    stage.expire_all()
    rows = stage.scalars(sa.select(Outbox).order_by(Outbox.id)).all()
    return [row for row in rows if kind in (None, row.kind)]


def link(stage: Session, kind: str) -> str:
    """Where the newest letter of that kind leads."""
    return str(letters(stage, kind)[-1].payload["page"])


def someone(client: Client, cast: Cast, name: str = "Ada", password: str = PASSWORD) -> User:
    """A student with a password."""
    user = cast.student(name).user
    with client.application.app_context():
        user.password = hash_password(password)
    cast.session.commit()
    return user


def there(stage: Session, email: str) -> User | None:
    """The account of an address, as it is now."""
    stage.rollback()
    stage.expire_all()
    return stage.scalars(sa.select(User).where(User.email == email)).one_or_none()


def student_of(stage: Session, user: User) -> Student:
    """What they are to the practice."""
    return stage.scalars(sa.select(Student).where(Student.user_id == user.id)).one()
