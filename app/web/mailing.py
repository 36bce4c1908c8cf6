"""What Flask-Security would mail goes the way of all our letters: through the outbox (S3)."""

from __future__ import annotations

from typing import Any

from flask_security import MailUtil

from app.extensions import db, utcnow
from app.services import account_letters, people

# Its templates, and what they tell of.
TELLS_OF = {"change_notice": "password", "reset_notice": "password"}


class OutboxMail(MailUtil):
    """Promises the letter instead of mailing it: written with the change that it tells of."""

    def send_mail(
        self,
        template: str,
        subject: str,
        recipient: Any,
        sender: Any,
        body: str | None,
        html: str | None,
        **context: Any,
    ) -> None:
        """Put our own letter into the outbox; a template that has none is a bug, seen at once."""
        user, session = context["user"], db.session()
        practice = people.standing(session, user.id).practice
        where = practice.id if practice else None
        what = TELLS_OF[template.rpartition("/")[2]]
        account_letters.changed(session, where, user, what, utcnow())
