"""Letters that the office has sent to accounts it makes."""

from __future__ import annotations

from datetime import datetime

from flask import current_app
from sqlalchemy.orm import Session

from app.admin import office
from app.models import User
from app.services import account_letters, accounts, tickets
from app.services.belonging import require_not_erased


def invite_to_sign_in(session: Session, user: User, now: datetime) -> None:
    """You have an account: choose its password (people PA15). Raises `Erased`."""
    require_not_erased(user)
    session.flush()  # the ticket names the id
    key, until = str(current_app.config["SECRET_KEY"]), now + tickets.INVITED_FOR
    facts = [user.id, accounts.version(user)]
    token = tickets.write(key, tickets.NEW_PASSWORD, facts, until)
    page = tickets.path(tickets.NEW_PASSWORD, token)
    account_letters.invite(session, office.practice_id(), user, page, until, now)
