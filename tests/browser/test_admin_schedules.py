"""A weekly schedule, typed in a browser that says meanwhile what it will do (schedules U2, U3)."""

from __future__ import annotations

from typing import Any

from flask import Flask
from playwright.sync_api import Page, expect

from app.extensions import utcnow
from app.models import AutomationRun, AutomationSchedule, RunStatus, SchedulerEpoch
from tests.browser.test_admin import sign_in
from tests.cast import HOUR, Cast


def runs(cast: Cast) -> None:
    """Some weeks of runs, well and badly ended."""
    row = cast.session.query(AutomationSchedule).filter_by(name="Greetings").one()
    for n in range(24):
        status = ("success", "success", "failed", "missed", "skipped")[n % 5]
        at = utcnow() - n * 20 * HOUR
        bad = status == "failed"
        cast.add(
            AutomationRun(
                schedule_id=row.id,
                item=row.schedule_id,
                occurrence=str(n),
                status=RunStatus(status),
                due_at=at,
                started_at=at,
                finished_at=at,
                duration_ms=900 + 370 * (n % 7),
                messages_sent=0 if bad else n % 4,
                items_done=0 if bad else n % 4,
                dry_run=n % 6 == 5,
                error="SMTPServerDisconnected: the mail server hung up" if bad else None,
                error_type="SMTPServerDisconnected" if bad else None,
                reason="outside_window" if status == "skipped" else None,
                config_snapshot={"task_config": row.task_config, "context_data": {}},
            )
        )
    cast.session.commit()


def test_a_weekly_schedule_explains_itself_while_it_is_typed(
    page: Page, cast: Cast, live_app: Flask, site: str, picture: Any
) -> None:
    orla = cast.administrator("Orla")
    for name in ("Ada", "Ben"):
        cast.student(name).user.birthday = cast.today.replace(year=1992)
    cast.task("birthday")
    cast.add(SchedulerEpoch(id=1, epoch=1, seen_at=utcnow()))
    cast.session.commit()
    sign_in(page, live_app, orla, site)

    page.goto("/admin/automationschedule/new/")
    seen = page.locator("#seen")
    page.get_by_label("Name").fill("Greetings")
    page.get_by_label("Automation Class").select_option(label="birthday")
    expect(page.locator("#birthday-send_window")).to_be_visible()
    page.get_by_label("Kind").select_option("weekly")
    expect(page.get_by_label("Before/After")).to_be_hidden()
    page.get_by_label("Time zone").fill("Europe/Paris")
    expect(seen.get_by_text("Mondays at 08:00 (Europe/Paris).")).to_be_visible()
    expect(seen.locator("ol li")).to_have_count(5)
    first = seen.locator("ol").inner_text()
    page.get_by_label("Thursday").check()
    page.get_by_label("Time of day").fill("09:30")
    expect(seen.get_by_text("Mondays and Thursdays at 09:30 (Europe/Paris).")).to_be_visible()
    assert seen.locator("ol").inner_text() != first
    page.locator("#birthday-send_window").fill("00:00-24:00")
    expect(seen.get_by_text("Its next run would")).to_be_visible()
    picture("schedule-form")
    page.get_by_label("Time zone").fill("Mars/Base")
    expect(seen.get_by_text("No time zone of that name")).to_be_visible()
    page.get_by_label("Time zone").fill("Europe/Paris")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("Greetings is saved. Its next run:")
    picture("schedule-list")

    page.get_by_role("link", name="Greetings", exact=True).click()
    picture("schedule-page")
    page.get_by_role("button", name="Dry run").click()
    expect(page.get_by_text("Nothing was done, sent or counted.")).to_be_visible()
    expect(page.get_by_role("rowheader", name="Ada Example")).to_be_visible()
    picture("schedule-dry-run")
    page.get_by_role("link", name="Greetings").click()
    page.get_by_role("button", name="Go live").click()
    expect(page.get_by_text("Its next run would")).to_be_visible()
    picture("schedule-go-live")
    page.get_by_role("button", name="Go live").click()
    expect(page.get_by_text("Greetings: done.")).to_be_visible()

    runs(cast)
    page.goto("/admin/automationschedule/")
    page.get_by_role("link", name="Greetings", exact=True).click()
    page.get_by_role("main").locator(".desk-tools").get_by_role("link", name="History").click()
    expect(page.get_by_text("24 in all")).to_be_visible()
    picture("schedule-history")
    page.locator("tbody th a").nth(2).click()
    picture("schedule-run")
    page.go_back()
    page.goto("/admin/automationschedule/stats/")
    expect(page.locator("figure.plot svg[role=img]")).to_have_count(3)
    picture("schedule-statistics")
    page.goto("/admin/automationschedule/why/")
    page.get_by_role("main").get_by_role("link", name="Greetings").click()
    expect(page.get_by_text("Nothing keeps it from running.")).to_be_visible()
    picture("schedule-why")
