"""Lists: what they cost, how they escape, filter and export; what no view may do (T5-T12, PG6)."""

from __future__ import annotations

import hashlib
import inspect
import re
from pathlib import Path
from typing import Any

import flask_admin
import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from app.admin.frame import SecureView
from app.extensions import utcnow
from app.models import (
    AutomationRun,
    AutomationSchedule,
    Location,
    Outbox,
    OutboxState,
    Practice,
    RunStatus,
    Training,
    TrainingType,
)
from app.models.types import new_uuid
from tests.admin.desk import Desk
from tests.cast import HOUR, NOON, Cast
from tests.statements import count_statements

NASTY = ("<script>alert(1)</script>", "{{7*7}}", '=HYPERLINK("//evil")')
LISTS = (
    "training", "trainingenroll", "trainingtype", "location", "enrolmenthistory", "student",
    "trainer", "user", "role", "practice", "outbox",
)  # fmt: skip


def views(app: Flask) -> list[SecureView]:
    return [v for v in app.extensions["admin"][0]._views if isinstance(v, SecureView)]


# --- what no view may do -------------------------------------------------------------------------


def test_no_view_lets_what_services_keep_be_typed(web_app: Flask) -> None:
    kept = {"status", "queue_position", "invite_expires_at", "seats_taken", "password", "state"}
    for view in views(web_app):
        fields = {name for name in dir(view._create_form_class) if not name.startswith("_")}
        assert not kept & fields, view
        assert set(view.form_columns or ()) <= fields, view  # none was dropped silently
        assert not view.column_editable_list
        for columns in (view.column_list, view.column_export_list, view.form_columns):
            assert columns is not None, view


def test_no_view_shows_a_secret(web_app: Flask) -> None:
    secret = ("password", "fs_uniquifier", "tf_totp_secret", "mf_recovery_codes", "digest", "claim")
    for view in views(web_app):
        shown = {*view.column_list, *(view.column_details_list or ()), *view.column_export_list}
        shown |= set(view.column_searchable_list or ())
        assert not shown & set(secret), view


def test_no_column_bears_a_name_that_breaks_forms(web_app: Flask) -> None:
    taken = {"meta", "process", "populate_obj", "validate", "metadata", "query"}
    for view in views(web_app):
        assert not taken & set(sa.inspect(view.model).attrs.keys()), view


def test_nothing_that_a_form_carries_along_bears_the_name_of_a_field(
    web_app: Flask, desk: Desk
) -> None:
    forms = 0
    for view in views(web_app):
        if not view.can_create:
            continue
        page = desk.client.get(f"{view.url}/new/").text
        form = re.search(r'<form method="post" class="edit".*?</form>', page, re.S)
        assert form, view
        fields = re.findall(r"<(?:input|select|textarea)\b[^>]*>", form[0])
        named = [(re.search(r'\bname="([^"]+)"', tag), 'type="hidden"' in tag) for tag in fields]
        carried = {name[1] for name, hidden in named if name and hidden}
        typed = {name[1] for name, hidden in named if name and not hidden}
        assert not carried & typed, view  # a browser sends both, and the first one counts
        forms += 1
    assert forms > 5


def test_the_templates_that_ours_replace_are_those_we_read() -> None:
    folder = Path(inspect.getfile(flask_admin)).parent / "templates/bootstrap4/admin"
    replaced = ("base", "model/list", "model/edit", "model/create", "model/details")
    text = "".join((folder / f"{name}.html").read_text() for name in replaced)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == READ, "merge, then write the new one"


READ = "d407ec57e03cab3f"


# --- what they cost ------------------------------------------------------------------------------


def crowd(cast: Cast, count: int) -> None:
    training = cast.several(count)
    cast.enrol_all(
        *(f"P{n}" for n in range(count // 5)),
        now=NOON,
    )
    for n in range(count):
        cast.add(Location(practice_id=cast.practice.id, name=f"Place {count} {n}"))
        cast.add(TrainingType(practice_id=cast.practice.id, name=f"Type {count} {n}"))
    for n in range(count):
        cast.training(f"T{n}")
    assert training.id


def test_a_list_costs_as_much_with_five_rows_as_with_fifty(desk: Desk, cast: Cast) -> None:
    engine = Session(cast.session.get_bind())
    costs: list[dict[str, int]] = []
    for count in (5, 50):
        crowd(cast, count)
        cast.session.commit()
        cost = {}
        for name in LISTS:
            with count_statements(engine) as sent:
                assert desk.get(f"{name}/").status_code == 200
            cost[name] = len(sent)
        costs.append(cost)
    assert costs[0] == costs[1]
    assert {name: n for name, n in costs[1].items() if n > 8} == {}


# --- what they show ------------------------------------------------------------------------------


@pytest.fixture
def nasty(cast: Cast) -> Training:
    """A training, a type, a place and a student with such names."""
    kind = cast.add(TrainingType(practice_id=cast.practice.id, name=NASTY[0], description=NASTY[2]))
    cast.add(Location(practice_id=cast.practice.id, name=NASTY[0], address=NASTY[2]))
    cast.pottery.name, cast.pottery.training_type_id = NASTY[0], kind.id
    cast.pottery.description = NASTY[1]
    row = cast.enrol("Ada")
    row.student.user.first_name, row.student.user.last_name = NASTY[2], NASTY[0]
    cast.tess.user.first_name = NASTY[0]
    cast.session.flush()
    found: Training = cast.pottery
    return found


def test_names_are_shown_as_text_everywhere(desk: Desk, cast: Cast, nasty: Training) -> None:
    at: dict[str, Any] = {
        "training": nasty.id,
        "student": cast.student("Ada").id,
        "trainer": cast.tess.id,
        "trainingenroll": cast.row("Ada").id,
        "user": cast.student("Ada").user_id,
    }
    for name in LISTS:
        pages = [desk.get(f"{name}/").text]
        if name in at:
            pages.append(desk.get(f"{name}/details/?id={at[name]}").text)
            pages.append(desk.get(f"{name}/edit/?id={at[name]}").text)
        for page in pages:
            assert "<script>alert" not in page, name
        assert not any(line.startswith("=") for line in desk.csv(name)), name
        assert not any(",=HYPER" in line or ',"=HYPER' in line for line in desk.csv(name)), name
    assert "&lt;script&gt;" in desk.get("training/").text


def test_an_export_has_all_rows_and_begins_with_the_mark_of_utf_8(desk: Desk, cast: Cast) -> None:
    for n in range(60):
        cast.add(Location(practice_id=cast.practice.id, name=f"Loft {n:02}"))
    assert len(desk.csv("location")) == 61
    assert desk.get("location/export/csv/").get_data().startswith(b"\xef\xbb\xbf")
    assert len(desk.csv("location", "?search=Loft+59")) == 2
    assert len(desk.csv("training")) == 2


# --- how they are asked --------------------------------------------------------------------------


def test_a_page_past_the_end_is_the_last(desk: Desk, cast: Cast) -> None:
    for n in range(60):
        cast.add(Location(practice_id=cast.practice.id, name=f"Loft {n:02}"))
    for page in ("1", "7", "9" * 20):
        assert "Loft 59" in desk.get(f"location/?page={page}").text
    for page in ("0", "-1", "abc"):
        assert "Loft 00" in desk.get(f"location/?page={page}").text


def test_filters_narrow_a_list_and_junk_is_ignored_with_a_notice(desk: Desk, cast: Cast) -> None:
    cast.enrol_all("Ada", "Ben")
    waiting = desk.get("trainingenroll/?flt1_1=waitlist").text
    assert "Ben Example" in waiting
    assert "Ada Example" not in waiting
    assert '<option value="waitlist" selected>' in waiting
    for junk in ("flt1_1=junk", "flt0_0=x", f"flt0_0={2**70}", "flt0_99=1", "flt7=1"):
        page = desk.get(f"trainingenroll/?{junk}")
        assert page.status_code == 200
        assert "ignored" in page.text, junk
    dated = desk.get("enrolmenthistory/?flt2_2=2026-03-03").text
    assert "Nothing here fits" in dated
    assert (
        "joined the list" in desk.get("enrolmenthistory/?flt2_2=2026-03-02&flt3_3=2026-03-02").text
    )


def test_odd_questions_are_answered_calmly(desk: Desk, cast: Cast) -> None:
    cast.enrol("Ada")
    for asked in (
        "sort=99", "sort=-1", "sort=abc", "sort=1&desc=1", "search=%25_",
        "endpoint=x", "_external=1", "search=" + "x" * 5000, "page_size=100000000", "id=1&id=2",
    ):  # fmt: skip
        assert desk.get(f"trainingenroll/?{asked}").status_code == 200, asked


def failed_run(schedule: AutomationSchedule) -> AutomationRun:
    """It failed just now."""
    now = utcnow()
    return AutomationRun(
        schedule_id=schedule.id, item="x", occurrence="o", execution_id=new_uuid(),
        status=RunStatus.FAILED, due_at=now, finished_at=now, trigger="schedule",
    )  # fmt: skip


def test_the_first_page_counts_and_links(desk: Desk, cast: Cast) -> None:
    cast.offer("Ben", "Cleo")
    mill = cast.add(Practice(name="Mill", shortname="mill"))
    theirs = cast.add(AutomationSchedule(name="theirs", practice_id=mill.id, interval=HOUR))
    for schedule in (cast.schedule, theirs):
        cast.add(failed_run(schedule))
    letter = {"channel": "email", "kind": "account_invite", "created_at": NOON, "due_at": NOON}
    letter["aggregate"] = "user:1"
    for key, practice in (("ours", cast.practice), ("theirs", mill)):
        row = Outbox(key=key, user_id=desk.who.id, payload={"practice": practice.id}, **letter)
        row.state, row.ended_at = OutboxState.DEAD, NOON
        cast.add(row)
    page = desk.get("").text
    pending = sa.select(sa.func.count(Outbox.id)).where(Outbox.state == OutboxState.PENDING)
    waits = cast.session.scalar(pending)
    counted = re.findall(r'<a href="(/admin/[^"]+)"><b>(\d+)</b> <span>([^<]+)</span>', page)
    assert [(count, words) for _at, count, words in counted] == [
        ("1", "letter was given up"),
        ("1", "job is late"),
        ("1", "run failed or was missed since yesterday"),
        ("1", "open invitation"),
        ("1", "student waits"),
        (str(waits), "letters wait to be sent"),
    ]
    for at, count, words in counted:
        assert f"{count} in all" in desk.client.get(at.replace("&amp;", "&")).text, words
    assert "No scheduler has been seen yet." in page


def test_a_list_needs_few_bytes_and_no_other_place(desk: Desk, cast: Cast) -> None:
    page = desk.get("training/")
    assert len(page.get_data()) < 60_000
    assert "http://" not in page.text.replace("http://www.w3.org", "")
    assert "bootstrap" not in page.text
    policy = page.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "onclick" not in page.text
    assert "javascript:" not in page.text
