"""Links in letters: who holds one may answer without signing in (waitlist WK)."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Model
from app.models.types import UtcDateTime


class LinkToken(Model):
    """What a token stands for. Only the SHA-256 of its bytes is kept, never the token (WK1)."""

    __tablename__ = "link_token"

    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)  # hex
    purpose: Mapped[str] = mapped_column(sa.String(20))
    enrolment_id: Mapped[int] = mapped_column(sa.ForeignKey("training_enroll.id"), index=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("users.id"), index=True)
    invite_no: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)

    def __repr__(self) -> str:
        return f"<LinkToken {self.purpose} {self.enrolment_id}>"
