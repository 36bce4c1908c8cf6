"""Rules of a practice as data: how much one may book, until when one cancels (waitlist WP)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.extensions import Model
from app.models.training import TrainingType
from app.models.types import JsonObject, enum_type

policy_types = sa.Table(
    "policy_type",
    Model.metadata,
    sa.Column("policy_id", sa.ForeignKey("policy.id"), primary_key=True),
    sa.Column("training_type_id", sa.ForeignKey("training_type.id"), primary_key=True, index=True),
)


class PolicyKind(StrEnum):
    """What a policy is about; code knows kinds, never names (WP1)."""

    BOOKING_LIMIT = "booking_limit"
    CANCELLATION_WINDOW = "cancellation_window"


class Policy(Model):
    """A rule that holds for the types it names, and for no other training.

    What `parameters` may be, `services/policies.py` says for each kind.
    """

    __tablename__ = "policy"
    __table_args__ = (sa.UniqueConstraint("practice_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    practice_id: Mapped[int] = mapped_column(sa.ForeignKey("practice.id"))
    name: Mapped[str] = mapped_column(sa.String(80))
    kind: Mapped[PolicyKind] = mapped_column(enum_type(PolicyKind, "kind"))
    parameters: Mapped[dict[str, Any]] = mapped_column(JsonObject, default=dict)
    text_en: Mapped[str] = mapped_column(sa.Text)
    text_nl: Mapped[str] = mapped_column(sa.Text, default="", server_default="")  # else in English
    active: Mapped[bool] = mapped_column(default=True, server_default=sa.true())
    version: Mapped[int] = mapped_column(default=1, server_default="1")

    training_types: Mapped[list[TrainingType]] = relationship(secondary=policy_types)

    @property
    def texts(self) -> dict[str, str]:
        """Language -> what students read; a language without a text is left out."""
        both = {"en": self.text_en, "nl": self.text_nl}
        return {language: text for language, text in both.items() if text}

    def __repr__(self) -> str:
        return f"<Policy {self.id}>"
