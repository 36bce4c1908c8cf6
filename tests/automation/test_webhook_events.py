"""Runs of event schedules are told to endpoints too, whichever way they went (schedules O9)."""

from __future__ import annotations

from collections import Counter

import pytest
import sqlalchemy as sa

from app.extensions import db
from app.models import Outbox, Webhook
from tests.automation import tasks
from tests.automation.tasks import QUICK, SLOW, Chore, Engine, Paced, raises
from tests.cast import DAY, NOON

apps, engine = tasks.apps, tasks.engine


def told(engine: Engine) -> Counter[str]:
    with engine.app.app_context():
        return Counter(db.session.scalars(sa.select(Outbox.kind)))


@pytest.mark.parametrize("paces", [QUICK, SLOW], ids=["quickly", "carefully"])
def test_each_end_is_told_once_and_another_try_is_none(engine: Engine, paces: Paced) -> None:
    endpoint = {"name": "Cash", "url": "https://example.org/", "secret": "whsec_"}
    engine.sql(sa.insert(Webhook).values(uuid="u", types=[], created_by="x", **endpoint))
    engine.plan("done", "tried again")
    engine.plan("late", due=NOON - 2 * DAY)
    Chore.acts = {"tried again": raises(ValueError("broken broom"))}
    engine.tick(paces=paces)
    assert engine.statuses() == {"done": "success", "tried again": "queued", "late": "missed"}
    assert told(engine) == {"schedule.run.succeeded": 1, "schedule.run.missed": 1}
