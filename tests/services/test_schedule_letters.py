"""Who hears how a schedule fares: whoever made it, if they asked and are still there (P5, X5)."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from app.delivery import rendering
from app.delivery.rendering import Letter, Untrue
from app.models import AutomationSchedule, Outbox, RunStatus, User
from app.models.rules import Rules
from app.services import schedule_letters, webhooks
from app.services.actors import staff
from tests.cast import MINUTE, NOON, Cast
from tests.delivery.scenes import SETTINGS
from tests.services.scheduling import Desk
from tests.services.test_webhook_events import end

ASKED = {"notification_settings": {"email": True}}


@pytest.fixture
def desk(cast: Cast) -> Desk:
    desk = Desk(cast)
    desk.session.info["orla"] = cast.user("Orla")
    return desk


def orla(desk: Desk) -> User:
    """Who made the schedule."""
    made: User = desk.session.info["orla"]
    return made


def made(desk: Desk, **options: object) -> AutomationSchedule:
    given = {"user_id": orla(desk).id, "context_data": ASKED, "name": "Greetings"}
    return desk.add(**given | options)


def letters(desk: Desk) -> list[Outbox]:
    desk.session.flush()
    kinds = Outbox.kind.in_(schedule_letters.KINDS)
    return list(desk.session.scalars(sa.select(Outbox).where(kinds).order_by(Outbox.id)))


def test_failures_and_the_first_success_after_are_reported(desk: Desk) -> None:
    row = made(desk)
    for status in (RunStatus.SUCCESS, RunStatus.FAILED, RunStatus.TIMEOUT, RunStatus.SKIPPED,
                   RunStatus.SUCCESS, RunStatus.SUCCESS):  # fmt: skip
        end(desk, row, status)
    told = letters(desk)
    assert {row.kind for row in told} == {"schedule_report"}
    assert [row.payload["outcome"] for row in told] == ["failed", "timeout", "success"]
    assert {row.user_id for row in told} == {orla(desk).id}


@pytest.mark.parametrize("context", [{}, {"notification_settings": {"email": False}}])
def test_who_did_not_ask_is_not_told(desk: Desk, context: dict[str, object]) -> None:
    end(desk, made(desk, context_data=context), RunStatus.FAILED)
    assert letters(desk) == []


def test_what_nobody_made_is_reported_to_nobody(desk: Desk) -> None:
    end(desk, made(desk, user_id=None), RunStatus.FAILED)
    assert letters(desk) == []


def test_who_is_inactive_is_not_told_even_if_it_was_promised_before(desk: Desk) -> None:
    row = made(desk)
    end(desk, row, RunStatus.FAILED)
    orla(desk).active = False
    end(desk, row, RunStatus.FAILED)
    (one,) = letters(desk)
    found = rendering.compose(desk.session, [one], SETTINGS, NOON)[one.id]
    assert isinstance(found, Untrue)
    assert found.reason == "inactive account"


def test_after_so_many_failures_it_stops_and_its_maker_hears_of_it(desk: Desk) -> None:
    desk.session.info["rules"] = Rules(schedule_auto_pause_failures=2)
    row = made(desk, context_data={})
    end(desk, row, RunStatus.FAILED)
    assert letters(desk) == []
    end(desk, row, RunStatus.FAILED)
    (one,) = letters(desk)
    assert (one.kind, row.state) == ("schedule_stopped", "failed")
    letter = rendering.compose(desk.session, [one], SETTINGS, NOON)[one.id]
    assert isinstance(letter, Letter)
    assert letter.subject == "Stopped: Greetings"
    assert "2 times in a row" in letter.text
    assert f"/admin/automationschedule/details/?id={row.id}" in letter.text


@pytest.mark.parametrize(
    ("status", "subject"),
    [
        (RunStatus.FAILED, "A run failed: Greetings"),
        (RunStatus.TIMEOUT, "A run failed: Greetings"),
    ],
)
def test_a_report_says_what_became_of_it(desk: Desk, status: RunStatus, subject: str) -> None:
    end(desk, made(desk), status)
    (one,) = letters(desk)
    letter = rendering.compose(desk.session, [one], SETTINGS, NOON + MINUTE)[one.id]
    assert isinstance(letter, Letter)
    assert (letter.subject, letter.unsubscribe) == (subject, None)


def test_the_owner_of_an_endpoint_that_is_gone_hears_of_it(desk: Desk) -> None:
    actor = staff(orla(desk).id, [desk.cast.practice.id])
    hook = webhooks.create(
        desk.session, "Cash", "https://example.org/", [], actor, NOON,
        practice_id=desk.cast.practice.id,
    )  # fmt: skip
    schedule_letters.webhook_gone(desk.session, hook.id, NOON)
    (one,) = letters(desk)
    letter = rendering.compose(desk.session, [one], SETTINGS, NOON)[one.id]
    assert isinstance(letter, Letter)
    assert "Switched off: Cash" in letter.subject
