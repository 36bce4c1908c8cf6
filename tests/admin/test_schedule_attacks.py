"""Names that would act, forms that are stale, and acts without the key: schedules in the admin."""

from __future__ import annotations

import csv
from typing import Any

import pytest

from app.models import AutomationRun, AutomationSchedule
from app.models.automation import RunStatus
from tests.admin.desk import Desk, form_values
from tests.admin.test_recurring_schedules import AT, a_run, saved
from tests.cast import Cast

HTML = "<script>alert(1)"
NAMES = (HTML, "<img src=x onerror=alert(1)>", "{{7*7}}", "{% raw %}", '=HYPERLINK("x","y")')
ACTS = ("go-live", "run-now", "pause", "resume", "clone", "template", "delete-schedule")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_as_it_is_and_never_acts(desk: Desk, cast: Cast, name: str) -> None:
    row = saved(desk, cast, name=name)
    run = a_run(cast, row, 1, "failed", error=name)
    pages = [f"{AT}/", f"{AT}/why/", "automationrun/", f"automationrun/details/?id={run.id}"]
    pages += [f"{AT}/{page}/?id={row.id}" for page in ("details", "edit", "stats", "why")]
    for page in pages:
        text = desk.get(page).text
        for tag in ("<script>alert", "<img src=x"):
            assert tag not in text, page
    shown = name.replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;")
    assert shown in desk.get(f"{AT}/").text
    assert form_values(desk.get(f"{AT}/edit/?id={row.id}"))["name"] == name


@pytest.mark.parametrize("name", ['=HYPERLINK("x","y")', "+1+1", "-1+1", "@SUM(A1)"])
def test_no_name_is_a_formula_in_an_exported_file(desk: Desk, cast: Cast, name: str) -> None:
    row = saved(desk, cast, name=name)
    a_run(cast, row, 1, "failed", error=name)
    for endpoint in (AT, "automationrun"):
        cells = [cell for line in csv.reader(desk.csv(endpoint)) for cell in line]
        assert "'" + name in cells
        assert name not in cells


def test_of_two_who_edit_a_schedule_the_second_is_told_and_keeps_what_they_typed(
    desk: Desk, cast: Cast
) -> None:
    row = saved(desk, cast)
    path = f"{AT}/edit/?id={row.id}"
    mine, theirs = form_values(desk.get(path)), form_values(desk.get(path))
    assert desk.post(path, **(theirs | {"description": "theirs"})).status_code == 303
    said = desk.post(path, **(mine | {"description": "My own words"}))
    assert said.status_code == 409
    assert "There is now" in said.text
    assert "My own words" in said.text
    cast.session.expire_all()
    assert row.description == "theirs"


@pytest.mark.parametrize("act", ACTS)
def test_no_act_on_a_schedule_without_the_key(desk: Desk, cast: Cast, act: str) -> None:
    row = saved(desk, cast)
    before, there = _facts(row), cast.session.query(AutomationSchedule).count()
    fields = {"action": act, "rowid": [str(row.id)], "sure": "1", "name": "x"}
    for given in ({}, {"csrf_token": "wrong"}):
        answer = desk.client.post(f"/admin/{AT}/action/", data=fields | given)
        assert answer.status_code == 400
    cast.session.expire_all()
    assert _facts(row) == before
    assert cast.session.query(AutomationRun).count() == 0
    assert cast.session.query(AutomationSchedule).count() == there


def test_no_other_page_of_schedules_acts_without_the_key(desk: Desk, cast: Cast) -> None:
    row = saved(desk, cast)
    run = a_run(cast, row, 1, "failed")
    before = _facts(row)
    posts: tuple[tuple[str, dict[str, Any]], ...] = (
        (f"{AT}/rest/", {"on": "0", "sure": "1"}),
        (f"{AT}/from-template/", {"template": "x"}),
        (f"{AT}/delete/", {"id": row.id, "sure": "1"}),
        (f"{AT}/edit/?id={row.id}", {"name": "other"}),
        (f"{AT}/new/", {"name": "other"}),
        ("automationrun/action/", {"action": "again", "rowid": [str(run.id)], "sure": "1"}),
    )
    for path, fields in posts:
        assert desk.client.post(f"/admin/{path}", data=fields).status_code == 400, path
    cast.session.expire_all()
    assert _facts(row) == before
    assert run.status == RunStatus.FAILED


def _facts(row: AutomationSchedule) -> tuple[Any, ...]:
    return row.name, row.active, row.paused_at, row.deleted_at, row.dry_run, row.version


def test_what_no_database_can_hold_is_no_fault_of_ours(desk: Desk, cast: Cast) -> None:
    answer = desk.post(f"{AT}/rest/", on="0", sure="1", reason="flood\x00ed")
    assert answer.status_code == 303
    assert "flood\\x00ed" in desk.get(f"{AT}/why/").text
    assert desk.post(f"{AT}/from-template/", template="\x00").status_code == 404
