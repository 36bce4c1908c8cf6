"""Accounts: who signs in, in which roles, and how they want to be told."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from flask_security.models import fsqla, fsqla_v3
from flask_security.proxies import _datastore
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.extensions import Model, db
from app.models.types import UtcDateTime, enum_type

# Tables named in the plural: `user` is a reserved word (libraries S1).
fsqla.FsModels.set_db_info(  # type: ignore[no-untyped-call]
    db, user_table_name="users", role_table_name="roles", webauthn_table_name="webauthn"
)


class TrainerLetters(StrEnum):
    """How a trainer hears of what happens in their trainings (waitlist WM2)."""

    EACH = "each"
    DIGEST = "digest"
    CENTRE = "centre"


# Flask-Security's table has no key: nobody holds a role twice.
roles_users: Any = fsqla.FsModels.roles_users
roles_users.append_constraint(sa.PrimaryKeyConstraint("user_id", "role_id"))


class Role(Model, fsqla_v3.FsRoleMixin):
    """`student`, `trainer`, `organiser`, `venue-owner` or `admin` (people PG1)."""

    __tablename__ = "roles"


class User(Model, fsqla_v3.FsUserMixin):
    """A person with an account; what they are to a practice is a `Student` or a `Trainer`."""

    __tablename__ = "users"

    if TYPE_CHECKING:  # Flask-Security's columns that we use, as SQLAlchemy's typing reads them
        id: Mapped[int]  # type: ignore[assignment]
        email: Mapped[str]  # type: ignore[assignment]
        active: Mapped[bool]
        fs_uniquifier: Mapped[str]  # type: ignore[assignment]
        password: Mapped[str | None]  # type: ignore[assignment]
        roles: Mapped[list[Any]]
        tf_primary_method: Mapped[str | None]  # type: ignore[assignment]
        tf_totp_secret: Mapped[str | None]  # type: ignore[assignment]
        mf_recovery_codes: Mapped[list[str] | None]  # type: ignore[assignment]

    # An administrator is part of this practice's office.
    practice_id: Mapped[int | None] = mapped_column(sa.ForeignKey("practice.id"), index=True)
    first_name: Mapped[str] = mapped_column(sa.String(100), default="", server_default="")
    last_name: Mapped[str] = mapped_column(sa.String(100), default="", server_default="")
    phone: Mapped[str | None] = mapped_column(sa.String(16))  # E.164
    birthday: Mapped[date | None]
    street: Mapped[str | None] = mapped_column(sa.String(200))
    house_number: Mapped[str | None] = mapped_column(sa.String(20))
    postal_code: Mapped[str | None] = mapped_column(sa.String(20))
    city: Mapped[str | None] = mapped_column(sa.String(100))
    emergency_contact: Mapped[str | None] = mapped_column(sa.String(200))
    # A hard bounce: no letter goes there until the address changes (reliability OB10).
    undeliverable_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    erased_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # The half minute of the last code they signed in with: none works twice (reliability SE4).
    totp_counter: Mapped[int | None]

    settings: Mapped[UserSettings | None] = relationship(back_populates="user", uselist=False)

    @property
    def fullname(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()

    @property
    def profile_complete(self) -> bool:
        """First and last name are there (rulings RD1)."""
        return bool(self.first_name and self.last_name)

    def check_tf_required(
        self, tf_setup_methods: list[tuple[str, str]], tf_fresh: bool
    ) -> tuple[bool, list[tuple[str, str]]]:
        """Whoever has set up codes, or acts in one of `TOTP_ROLES`, needs one (libraries S2)."""
        needed = self.check_tf_required_setup() or bool(tf_setup_methods)
        return needed, tf_setup_methods

    def check_tf_required_setup(self) -> bool:
        """Whether they cannot do without codes."""
        people: Any = _datastore  # who knows the settings: `People` of the web
        return bool(people.must_use_code(self))

    def __repr__(self) -> str:
        return f"<User {self.id}>"  # no name in a log line (waitlist WS22)

    __str__ = __repr__


class WebAuthn(Model, fsqla_v3.FsWebAuthnMixin):
    """Passkeys; Flask-Security's mapper wants the table."""

    __tablename__ = "webauthn"


class UserSettings(Model):
    """How someone wants to be told. **A missing row means these defaults** (waitlist WD1)."""

    __tablename__ = "user_settings"

    user_id: Mapped[int] = mapped_column(sa.ForeignKey("users.id"), primary_key=True)
    msg_transactional_emails: Mapped[bool] = mapped_column(default=True, server_default=sa.true())
    msg_reminders: Mapped[bool] = mapped_column(default=True, server_default=sa.true())
    msg_last_min_spots: Mapped[bool] = mapped_column(default=True, server_default=sa.true())
    msg_greetings: Mapped[bool] = mapped_column(default=True, server_default=sa.true())
    # When they ticked "you may congratulate me"; null: never (schedules B1).
    congratulate_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    msg_sms: Mapped[bool] = mapped_column(default=True, server_default=sa.true())
    msg_push: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    trainer_letters: Mapped[TrainerLetters] = mapped_column(
        enum_type(TrainerLetters, "trainer_letters"),
        default=TrainerLetters.EACH,
        server_default=TrainerLetters.EACH,
    )
    language: Mapped[str | None] = mapped_column(sa.String(10))

    user: Mapped[User] = relationship(back_populates="settings")
