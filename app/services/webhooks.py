"""Endpoints of programs that are told what schedules do: made, changed, switched off (people PA12).

An address is https, without user, password and fragment, and leads out into the world: what it says
is judged here, where it leads is judged by whoever resolves it, at saving and at each delivery
(reliability SE14).
"""

from __future__ import annotations

import base64
import logging
import secrets
from collections.abc import Collection
from datetime import datetime
from urllib.parse import SplitResult, urlsplit

from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session

from app.models.text import shown
from app.models.webhook import Webhook
from app.services.actors import Actor
from app.services.refusals import NotFound, Refusal

log = logging.getLogger("app.services.webhooks")

# All that is told (schedules O9).
TYPES = (
    "schedule.run.succeeded",
    "schedule.run.failed",
    "schedule.run.timeout",
    "schedule.run.missed",
    "schedule.run.skipped",
    "schedule.limit_reached",
    "schedule.paused",
)
MOST_URL = 500


class BadWebhookName(Refusal):
    """An endpoint that nobody could tell from another."""

    code, status = "bad_webhook_name", 400
    sentence = _l("Give the endpoint a name of 1 to 100 characters.")


class BadWebhookUrl(Refusal):
    """Where nothing may be sent."""

    code, status = "bad_webhook_url", 400
    sentence = _l(
        "Write a public https address without a user or password, such as"
        " https://example.org/hooks/nextseat."
    )


class BadWebhookTypes(Refusal):
    """Events that nobody knows."""

    code, status = "bad_webhook_types", 400
    sentence = _l("Choose from the events that there are.")


def parts_of(url: str) -> SplitResult:
    """The parts of an address that may be written to. Raises `BadWebhookUrl`."""
    try:
        parts = urlsplit(url)
        port = parts.port
        (parts.hostname or "").encode("idna")  # whoever looks a name up raises for what is none
    except ValueError as error:  # such as a bracket that is never closed, or a part of 64 letters
        raise BadWebhookUrl from error
    plain = url.isascii() and url.isprintable() and not set(url) & set(' <>"\\^`{|}')
    usable = parts.scheme == "https" and parts.hostname and port != 0
    if not plain or not usable or "@" in parts.netloc or "#" in url or len(url) > MOST_URL:
        raise BadWebhookUrl
    return parts


def create(
    session: Session,
    name: str,
    url: str,
    types: Collection[str],
    actor: Actor,
    now: datetime,
    *,
    practice_id: int | None,
) -> Webhook:
    """A new endpoint; `types` empty is told everything, `practice_id` None hears of all practices.

    Raises `BadWebhookName`, `BadWebhookUrl`, `BadWebhookTypes`.
    """
    hook = Webhook(
        practice_id=practice_id,
        user_id=actor.user_id,
        created_by=actor.name,
        created_at=now,
        secret=_a_secret(),
    )
    change(session, hook, name, url, types)
    session.add(hook)
    session.flush()  # whoever made it names it by its id
    log.info("webhook made: id=%s actor=%s", hook.id, actor.name)
    return hook


def change(session: Session, hook: Webhook, name: str, url: str, types: Collection[str]) -> Webhook:
    """What was typed, in the row. Raises as `create` does."""
    name, url = name.strip(), url.strip()
    if not shown(name) or len(name) > 100:
        raise BadWebhookName
    parts_of(url)
    if not set(types) <= set(TYPES):
        raise BadWebhookTypes
    hook.name, hook.url = name, url
    hook.types = [one for one in TYPES if one in types]
    return hook


def switch_off(session: Session, hook: Webhook, actor: Actor, now: datetime) -> None:
    """It is told nothing any more, nor what waits for it. Raises `NotFound` for others' rows."""
    _require_own(hook, actor)
    hook.active, hook.off_because = False, None
    log.info("webhook off: id=%s actor=%s", hook.id, actor.name)


def switch_on(session: Session, hook: Webhook, actor: Actor, now: datetime) -> None:
    """It is told what happens from now on. Raises `NotFound` for others' rows."""
    _require_own(hook, actor)
    hook.active, hook.off_because = True, None
    log.info("webhook on: id=%s actor=%s", hook.id, actor.name)


def renew_secret(session: Session, hook: Webhook, actor: Actor, now: datetime) -> None:
    """Sign with another secret, beginning with the next delivery. Raises `NotFound`."""
    _require_own(hook, actor)
    hook.secret = _a_secret()
    log.info("webhook secret renewed: id=%s actor=%s", hook.id, actor.name)


def _require_own(hook: Webhook, actor: Actor) -> None:
    if actor.practice_ids is not None and hook.practice_id not in actor.practice_ids:
        raise NotFound(what="webhook", id=hook.id)


def _a_secret() -> str:
    """As Standard Webhooks writes it, so that ready-made libraries can check our signatures."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
