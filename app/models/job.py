"""The plan: alarms for coming occurrences, in the table that APScheduler reads (DB8)."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Model
from app.models.types import UtcDateTime


class Job(Model):
    """One coming occurrence. `due` is when it should run; `next_run_time` may be a lease's end.

    `job_state` is UTF-8 JSON, never a pickle: who can write this table must not run code.
    """

    __tablename__ = "apscheduler_jobs"

    id: Mapped[str] = mapped_column(sa.String(300), primary_key=True)
    next_run_time: Mapped[float | None] = mapped_column(sa.Double, index=True)  # Unix seconds
    job_state: Mapped[bytes] = mapped_column(sa.LargeBinary)
    due: Mapped[datetime | None] = mapped_column(UtcDateTime)
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    claim: Mapped[str | None] = mapped_column(sa.String(36))
    last_error: Mapped[str | None] = mapped_column(sa.Text)

    def __repr__(self) -> str:
        return f"<Job {self.id}>"
