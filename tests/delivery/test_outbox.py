"""The delivery loop: claim, send, mark, whatever happens in between (reliability OB, F28–F33)."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from datetime import timedelta
from pathlib import Path
from smtplib import SMTPRecipientsRefused
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from app.delivery import outbox, rendering
from app.delivery.outbox import LEASE, RETRY, Retry
from app.delivery.rendering import Unrenderable, Untrue
from app.delivery.transports import MEMORY, ToFiles
from app.extensions import db, unit, utcnow, write
from app.models import Outbox, OutboxState, Practice, TrainingEnroll, User
from app.services import enrolments
from app.services.actors import LINK
from tests import forks
from tests.cast import DAY, HOUR, MINUTE, NOON, SECOND
from tests.delivery.post_office import (
    Clock,
    an_app,
    channel,
    count,
    drain,
    plain_letter,
    promise,
    row,
    states,
)
from tests.races.runners import committed
from tests.statements import count_statements


class Broken:
    """A transport on which `says(envelope)` decides; None: it is sent."""

    alive = True

    def __init__(self, says: Any) -> None:
        self.says, self.sent, self.opened = says, [], 0

    def open(self) -> Any:
        self.opened += 1
        return self

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def send(self, envelope: Any) -> None:
        error = self.says(envelope)
        if error is not None:
            raise error
        self.sent.append(envelope.id)


pytestmark = pytest.mark.usefixtures("app")


# --- the usual way --------------------------------------------------------------------------------


@pytest.mark.usefixtures("plainly")
def test_what_is_due_is_sent_once_in_the_order_of_promises(clock: Clock) -> None:
    ids = promise(45)
    posted = drain(clock)
    assert (posted.sent, posted.total) == (45, 45)
    assert [envelope.id for envelope in MEMORY.sent] == ids
    assert set(states(*ids)) == {"sent"}
    one = row(ids[0])
    assert (one.ended_at, one.claim, one.attempts, one.last_error) == (NOON, None, 1, None)
    assert drain(clock).total == 0


@pytest.mark.usefixtures("plainly")
def test_what_is_not_due_or_of_another_channel_stays(clock: Clock) -> None:
    later, other = promise(due_at=NOON + SECOND), promise(channel="sms")
    assert drain(clock).total == 0
    assert states(*later, *other) == ["pending", "pending"]
    clock.ahead(SECOND)
    assert drain(clock).sent == 1
    assert states(*later, *other) == ["sent", "pending"]


@pytest.mark.usefixtures("plainly")
def test_a_limit_and_a_stop_are_kept(clock: Clock) -> None:
    ids = promise(30)
    assert drain(clock, limit=25).sent == 25
    stop = threading.Event()
    stop.set()
    assert drain(clock, stop=stop).total == 0
    assert states(*ids[24:26]) == ["sent", "pending"]


@pytest.mark.usefixtures("plainly")
def test_who_is_stopped_in_a_batch_gives_the_rest_back_untouched(clock: Clock) -> None:
    ids, stop = promise(5), threading.Event()
    transport = Broken(lambda envelope: stop.set() if envelope.id == ids[1] else None)
    assert drain(clock, transport, stop=stop).sent == 2
    assert states(*ids) == ["sent", "sent", "pending", "pending", "pending"]
    assert (row(ids[2]).attempts, row(ids[2]).claim, row(ids[2]).due_at) == (0, None, NOON)


@pytest.mark.usefixtures("plainly")
def test_with_little_of_the_lease_left_no_letter_is_begun(clock: Clock) -> None:
    ids = promise(3)
    slow = Broken(lambda _envelope: clock.ahead(91 * SECOND))
    drain(clock, slow, limit=3)
    assert slow.sent == ids  # one at a time, each under a lease of its own
    assert slow.opened == 3
    assert row(ids[2]).attempts == 1


@pytest.mark.usefixtures("plainly")
def test_an_idle_drain_locks_nothing_and_asks_little(clock: Clock) -> None:
    promise(due_at=NOON + DAY)
    with count_statements(db.session()) as sent:
        drain(clock)
    assert len(sent) == 1
    assert sent[0].startswith("SELECT")


@pytest.mark.usefixtures("plainly")
def test_a_batch_takes_few_statements_beside_one_mark_per_letter(clock: Clock) -> None:
    promise(20)
    drain(clock, limit=1)
    with count_statements(db.session()) as sent:
        drain(clock, limit=19)
    assert len(sent) <= 8 + 19


# --- what is not sent -----------------------------------------------------------------------------


def test_what_is_no_longer_true_is_skipped_with_the_reason(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = promise(3)
    verdicts = {ids[0]: Untrue("answered"), ids[1]: Unrenderable("nothing left of it")}

    def compose(_session: Any, rows: Any, _settings: Any, _now: Any) -> Any:
        return {r.id: verdicts.get(r.id) or plain_letter(r) for r in rows}

    monkeypatch.setattr(rendering, "compose", compose)
    posted = drain(clock)
    assert (posted.sent, posted.skipped, posted.dead) == (1, 1, 1)
    assert states(*ids) == ["skipped", "dead", "sent"]
    assert row(ids[0]).last_error == "answered"
    assert "nothing left of it" in str(row(ids[1]).last_error)


@pytest.mark.parametrize(
    "broken",
    [
        {"subject": "Hello\r\nBcc: all@example.org"},
        {"to_name": "Ada\nBcc: all@example.org"},
        {"sender_name": "Clay\r\n"},
        {"subject": "  "},
        {"to": "a@example.org, b@example.org"},
        {"to": "nobody"},
        {"to": "ada@example.org\r\nRCPT TO:<b@example.org>"},
        {"to": '"quoted"@example.org'},
        {"text": "half a pair: \ud800"},
        {"unsubscribe": "https://example.org/>\r\nX: y"},
    ],
)
def test_a_broken_letter_in_the_middle_is_dead_and_the_batch_goes_on(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, broken: dict[str, Any]
) -> None:
    ids = promise(3)

    def compose(_session: Any, rows: Any, _settings: Any, _now: Any) -> Any:
        return {r.id: plain_letter(r, **broken if r.id == ids[1] else {}) for r in rows}

    monkeypatch.setattr(rendering, "compose", compose)
    posted = drain(clock)
    assert (posted.sent, posted.dead) == (2, 1)
    assert states(*ids) == ["sent", "dead", "sent"]
    assert not any(b"Bcc: all" in envelope.content for envelope in MEMORY.sent)
    assert "@" not in str(row(ids[1]).last_error)


def test_a_row_on_which_rendering_itself_fails_is_alone_to_blame(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = promise(4)

    def compose(_session: Any, rows: Any, _settings: Any, _now: Any) -> Any:
        if ids[1] in [r.id for r in rows]:
            raise RuntimeError("a fault of ours")
        return {r.id: plain_letter(r) for r in rows}

    monkeypatch.setattr(rendering, "compose", compose)
    posted = drain(clock)
    assert (posted.sent, posted.retried) == (3, 1)
    poor = row(ids[1])
    assert (poor.state, poor.attempts, poor.first_tried_at) == (OutboxState.PENDING, 1, NOON)
    assert poor.due_at > NOON
    assert poor.last_error == "RuntimeError"


def test_nothing_leaves_about_what_was_rolled_back(app: Flask, clock: Clock) -> None:
    with committed(app) as cast:
        training, ada = cast.pottery.id, cast.student("Ada").id

    class NoCommit(Exception):
        pass

    def enrol() -> None:
        enrolments.enrol(db.session(), training, ada, LINK, NOON, terms=True)
        db.session.flush()
        assert count_open() == 2  # hers and Tess's, seen from within
        raise NoCommit

    def count_open() -> int:
        return db.session.scalar(sa.select(sa.func.count()).select_from(Outbox)) or 0

    with pytest.raises(NoCommit):
        unit(db.session, enrol)
    assert drain(clock).total == 0
    assert not MEMORY.sent


# --- trying again ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("plainly")
def test_a_failing_letter_holds_back_its_own_aggregate_only(clock: Clock) -> None:
    first, second = promise(2, aggregate="ada"), promise(2, aggregate="ben")
    transport = Broken(lambda e: TimeoutError("slow") if e.id == first[0] else None)
    posted = drain(clock, transport)
    assert (posted.sent, posted.retried) == (2, 1)
    assert transport.sent == second
    assert states(*first) == ["pending", "pending"]
    transport.says = lambda _envelope: None
    clock.ahead(HOUR)
    drain(clock, transport)
    assert transport.sent == [*second, *first]  # in order within the aggregate


@pytest.mark.usefixtures("plainly")
def test_after_twelve_tries_a_letter_is_given_up_with_an_alert(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    (id_,) = promise()
    transport = Broken(lambda _envelope: TimeoutError("slow"))
    tries = 0
    while states(id_) == ["pending"]:
        clock.now = max(clock.now, row(id_).due_at)
        drain(clock, transport)
        tries += 1
    assert (tries, transport.opened) == (12, 12)
    assert clock.now - NOON <= DAY
    assert states(id_) == ["dead"]
    assert f"letter given up: outbox={id_}" in caplog.text


@pytest.mark.usefixtures("plainly")
def test_a_day_after_the_first_try_that_counted_it_is_over(clock: Clock) -> None:
    (id_,) = promise()
    transport = Broken(lambda _envelope: TimeoutError("slow"))
    drain(clock, transport)
    assert row(id_).first_tried_at == NOON
    clock.ahead(DAY)
    drain(clock, transport)
    assert (states(id_), row(id_).attempts) == (["dead"], 2)


@pytest.mark.parametrize("tries", range(1, 12))
def test_a_retry_comes_at_random_within_a_doubling_time(tries: int) -> None:
    limit = min(30 * SECOND * 2**tries, 6 * HOUR)
    waits = [RETRY.next_try(tries, NOON, NOON) for _ in range(200)]
    assert all(at is not None and NOON + 5 * SECOND <= at <= NOON + limit for at in waits)
    assert len(set(waits)) > 100
    assert Retry(tries=tries).next_try(tries, NOON, NOON) is None


# --- leases ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("plainly")
def test_whose_lease_has_ended_marks_nothing_any_more(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    (id_,) = promise()

    def taken_over(_envelope: Any) -> None:
        with write(db.session):
            db.session.execute(sa.update(Outbox).values(claim="another worker"))

    posted = drain(clock, Broken(taken_over))
    assert posted.sent == 0
    assert (states(id_), row(id_).claim) == (["sending"], "another worker")
    assert f"lease lost: outbox=[{id_}]" in caplog.text


@pytest.mark.usefixtures("plainly")
def test_a_row_left_behind_is_sent_when_its_lease_ends(clock: Clock) -> None:
    (id_,) = promise(state="sending", claim="dead worker", due_at=NOON + LEASE, attempts=1)
    assert drain(clock).total == 0
    clock.ahead(LEASE)
    assert drain(clock).sent == 1
    assert (states(id_), row(id_).attempts) == (["sent"], 2)


@pytest.mark.usefixtures("plainly")
@pytest.mark.parametrize("rate", [0, 400])
def test_workers_at_once_send_no_row_twice_and_keep_every_order(url: str, rate: int) -> None:
    app = an_app(url, mail_rate=rate, mail_burst=50)
    ids = promise(60) + [id_ for n in range(20) for id_ in promise(3, aggregate=f"reader/{n}")]
    sent: list[int] = []
    transport = Broken(lambda envelope: sent.append(envelope.id))
    start, faults = threading.Barrier(4), []

    def work() -> None:
        with app.app_context():
            start.wait()
            try:
                outbox.drain(transport=transport)
            except Exception as error:
                faults.append(error)
            db.session.remove()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    with app.app_context():
        drain(Clock(utcnow()), transport)  # what was behind a head at the end
        db.session.remove()
        db.engine.dispose()
    assert faults == []
    assert Counter(sent) == Counter(ids)
    for n in range(20):
        mine = ids[60 + 3 * n : 63 + 3 * n]
        assert [id_ for id_ in sent if id_ in mine] == mine
    assert set(states(*ids)) == {"sent"}


@pytest.mark.usefixtures("plainly")
def test_the_control_without_a_claim_sends_twice(url: str) -> None:
    """What the claim is for: two who only look, and mark afterwards, both send."""
    ids, sent = promise(5), []
    app, both_looked = an_app(url), threading.Barrier(2)

    def work() -> None:
        with app.app_context():
            open_ = sa.select(Outbox.id).where(Outbox.state == "pending")
            found = db.session.scalars(open_).all()
            both_looked.wait()
            sent.extend(found)
            db.session.remove()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    with app.app_context():
        db.engine.dispose()
    assert Counter(sent) == Counter(ids * 2)


# --- the rate (OB8) -------------------------------------------------------------------------------


@pytest.mark.usefixtures("plainly")
def test_a_burst_goes_at_once_and_the_rest_at_the_rate(url: str) -> None:
    app, clock = an_app(url, mail_rate=2, mail_burst=10), Clock()
    promise(30)
    with app.app_context():
        assert drain(clock).sent == 10  # a clock that stands still brings no token
        clock.ahead(2 * SECOND)
        assert drain(clock).sent == 4
        clock.ahead(HOUR)
        assert drain(clock).sent == 10  # never more than a burst
        clock.ahead(-DAY)
        assert drain(clock).sent == 0  # a clock put back brings nothing, …
        clock.ahead(3 * SECOND)
        promise(6, due_at=NOON - 2 * DAY)
        assert drain(clock).sent == 0
        clock.ahead(2 * DAY)
        assert drain(clock).sent == 10
        db.session.remove()
        db.engine.dispose()


@pytest.mark.usefixtures("plainly")
def test_a_drain_waits_for_tokens(url: str) -> None:
    app = an_app(url, mail_rate=20, mail_burst=1)
    promise(6)
    began = utcnow()
    with app.app_context():
        assert outbox.drain().sent == 6
        db.session.remove()
        db.engine.dispose()
    assert utcnow() - began >= timedelta(seconds=0.2)


# --- indexes --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("plainly")
@pytest.mark.parametrize("analysed", [True, False])
def test_beside_many_sent_rows_claims_use_the_indexes_of_open_ones(
    kind: str, clock: Clock, analysed: bool
) -> None:
    if kind == "postgresql":  # a lent table has indexes as large as what was in it
        with write(db.session):
            db.session.execute(sa.text("TRUNCATE outbox CASCADE"))
    _many_sent(20_000)
    ids = promise(30) + promise(2, aggregate="ada")
    if analysed:
        with write(db.session):
            db.session.execute(sa.text("ANALYZE"))
    told = _explained(kind)
    assert "ix_outbox_channel" in told
    assert "ix_outbox_aggregate" in told
    assert "Seq Scan on outbox" not in told
    assert "SCAN outbox" not in told
    assert drain(clock).sent == 32
    assert count("sent") == 20_000 + len(ids)


def _many_sent(number: int) -> None:
    """The database counts them itself: one statement."""
    numbers = sa.select(sa.literal(0).label("n")).cte(recursive=True)
    numbers = numbers.union_all(sa.select(numbers.c.n + 1).where(numbers.c.n < number - 1))
    n, before = numbers.c.n, sa.literal(NOON - DAY, Outbox.due_at.type)
    sent = {
        Outbox.uuid: "00000000-0000-0000-0000-0" + sa.cast(10**10 + n, sa.String),
        Outbox.key: "old:" + sa.cast(n, sa.String),
        Outbox.channel: sa.literal("email"),
        Outbox.aggregate: "old/" + sa.cast(n % 500, sa.String),
        Outbox.kind: sa.literal("enrolled"),
        Outbox.payload: sa.literal({}, Outbox.payload.type),
        Outbox.state: sa.literal("sent"),
        Outbox.due_at: before,
        Outbox.created_at: before,
        Outbox.ended_at: before,
    }
    with write(db.session):
        rows = sa.select(*sent.values())
        db.session.execute(sa.insert(Outbox).from_select([c.key for c in sent], rows))


def _explained(kind: str) -> str:
    """How the database goes about a claim."""
    statement = outbox._claiming(kind)
    values = {"over": "email", "now": NOON, "room": 20, "token": "t", "until": NOON}
    compiled = statement.compile(db.engine, compile_kwargs={"render_postcompile": True})
    explain = "EXPLAIN " if kind == "postgresql" else "EXPLAIN QUERY PLAN "
    given = compiled.construct_params(values)
    processors = compiled._bind_processors
    bound = {k: processors[k](v) if k in processors else v for k, v in given.items()}
    with db.engine.connect() as connection:
        text = explain + str(compiled)
        if kind == "sqlite":
            ordered = tuple(bound[name] for name in compiled.positiontup or [])
            lines = connection.exec_driver_sql(text, ordered).all()
        else:
            lines = connection.exec_driver_sql(text, bound).all()
        connection.rollback()
    return "\n".join(str(line) for line in lines)


# --- real letters ---------------------------------------------------------------------------------


def test_an_invitation_is_written_sent_and_true(app: Flask, clock: Clock) -> None:
    with committed(app) as cast:
        cast.offer("Ben")
    posted = drain(clock)
    assert posted.dead == posted.retried == 0
    kinds = [envelope.kind for envelope in MEMORY.sent]
    assert "invited" in kinds
    assert len(kinds) == posted.sent


# --- kill -9 (F19, RP5) ---------------------------------------------------------------------------

WORKER = """
import os, sys
from app.delivery import outbox
from app.delivery.transports import ToFiles
from tests.delivery.post_office import an_app
from pathlib import Path

class Dies:
    '''Writes each letter to a folder; dies after the third, before it is marked.'''
    alive = True
    def __init__(self, folder): self.files, self.count = ToFiles(Path(folder)), 0
    def open(self): return self
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def send(self, envelope):
        with self.files.open() as files: files.send(envelope)
        self.count += 1
        if self.count == 3: os.kill(os.getpid(), 9)

with an_app(sys.argv[1]).app_context():
    outbox.drain(transport=Dies(sys.argv[2]))
"""


def test_a_worker_killed_between_sending_and_marking_costs_one_copy(
    app: Flask, url: str, tmp_path: Path
) -> None:
    with committed(app) as cast:
        cast.enrol_all("Ada", "Ben", "Cleo")
    db.session.remove()
    first, second = tmp_path / "first", tmp_path / "second"
    died = forks.run(["-c", WORKER, url, first], env=dict(os.environ))
    assert died.returncode == -signal.SIGKILL
    assert (count("sent"), count("sending")) == (2, 4)
    posted = drain(Clock(utcnow() + LEASE + MINUTE), ToFiles(second))
    assert (posted.sent, count("sent")) == (4, 6)
    before, after = _message_ids(first), _message_ids(second)
    assert len(before & after) == 1  # the one that was sent and not marked, under the same id
    assert len(before | after) == 6


def _message_ids(folder: Path) -> set[str]:
    lines = [line for f in folder.glob("*.eml") for line in f.read_bytes().splitlines()]
    return {line.decode() for line in lines if line.startswith(b"Message-ID:")}


# --- late letters (OB9, WI8) ----------------------------------------------------------------------


def test_a_late_invitation_gives_its_time_before_it_is_written(app: Flask) -> None:
    with committed(app) as cast:
        ben = cast.offer("Ben")[0].id
    clock, told = Clock(NOON + 3 * HOUR), []
    transport = Broken(lambda e: told.append(e.content) if e.kind == "invited" else None)
    drain(clock, transport)
    deadline = db.session.get_one(TrainingEnroll, ben).invite_expires_at
    assert deadline == NOON + 51 * HOUR
    assert len(told) == 1
    practice = db.session.scalars(sa.select(Practice)).one()
    assert practice.timezone == "Europe/Amsterdam"
    assert b"16:00" in told[0]  # the deadline in the reader's zone: 15:00 UTC in March


def test_a_letter_in_time_changes_no_deadline(app: Flask) -> None:
    with committed(app) as cast:
        ben = cast.offer("Ben")[0].id
    drain(Clock(NOON + 15 * MINUTE))
    assert db.session.get_one(TrainingEnroll, ben).invite_expires_at == NOON + 48 * HOUR


def test_an_invitation_that_nobody_takes_is_marked_and_told_to_trainers(app: Flask) -> None:
    with committed(app) as cast:
        ben = cast.offer("Ben")[0].id
    invited = db.session.scalars(sa.select(Outbox.id).where(Outbox.kind == "invited")).one()
    no_such_user = SMTPRecipientsRefused({"x": (550, b"5.1.1 no such user")})
    transport = Broken(lambda e: no_such_user if e.id == invited else None)
    drain(Clock(), transport)
    assert states(invited) == ["dead"]
    assert row(invited).last_error == "550 5.1.1 no such user"
    assert db.session.get_one(TrainingEnroll, ben).invite_undelivered_at == NOON
    told = sa.select(User.first_name).join(Outbox, Outbox.user_id == User.id)
    assert db.session.scalars(told.where(Outbox.kind == "undelivered_trainer")).all() == ["Tess"]
    assert channel() is None or channel().failures == 0
