"""The documented steps, typed literally, in a browser; then jobs, runs, classes are looked at."""

from __future__ import annotations

from typing import Any

from flask import Flask
from playwright.sync_api import Page, expect

from app.extensions import utcnow
from app.models import AutomationClasses, AutomationRun, RunStatus, SchedulerEpoch
from tests.browser.test_admin import sign_in
from tests.cast import DAY, HOUR, Cast


def test_the_documented_steps_lead_to_jobs(
    page: Page, cast: Cast, live_app: Flask, site: str, picture: Any
) -> None:
    orla = cast.administrator("Orla")
    now = utcnow()
    start = now + 30 * DAY
    cast.pottery.events[0].start_time, cast.pottery.events[0].end_time = start, start + 3 * HOUR
    cast.session.delete(cast.schedule)
    cast.add(AutomationClasses(class_name="BirthdayTask", description="Was here once."))
    cast.add(SchedulerEpoch(id=1, epoch=1, seen_at=now))
    cast.enrol_all("Ada", "Ben", "Cleo", now=now)
    cast.session.commit()
    sign_in(page, live_app, orla, site)

    page.goto("/admin/automationschedule/")
    page.get_by_role("link", name="Create").first.click()
    page.get_by_label("Name").fill("waitlist_invitation_expiry")
    page.get_by_label("Automation Class").select_option(label="AutomaticWaitList")
    page.get_by_label("Before/After").select_option(label="after")
    page.get_by_label("Events").select_option(label="invited: the invitation")
    page.get_by_label("Interval").fill("two days")
    page.get_by_label("Active").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Write a time like 2 00:00:00, 0 48:00:00")
    picture("automation-refused")
    page.get_by_label("Interval").fill("0 48:00:00")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("2 days after each invitation")).to_be_visible()
    picture("automation-preview")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("waitlist_invitation_expiry is saved.")

    page.goto("/admin/automationschedule/new/")
    page.get_by_label("Name").fill("Remind students a week ahead")
    page.get_by_label("Automation Class").select_option(label="StudentReminderTask")
    page.get_by_label("Before/After").select_option(label="before")
    page.get_by_label("Interval").fill("7 days")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("1 job planned")

    cast.session.expire_all()
    cast.leave(cast.row("Ada"), utcnow())
    schedule = cast.row("Ben").invite_schedule_id
    for n, status in enumerate(("success", "failed", "missed", "running")):
        error = "TimeoutError: the mail server did not answer in time" if n == 1 else None
        cast.add(
            AutomationRun(
                schedule_id=schedule,
                item=cast.row("Ada").uuid,
                occurrence=str(n),
                status=RunStatus(status),
                started_at=None if status == "missed" else utcnow() - n * HOUR,
                finished_at=None if status == "running" else utcnow(),
                due_at=utcnow() - n * HOUR,
                duration_ms=38 + 4000 * n,
                error=error,
                error_type="TimeoutError" if error else None,
                traceback="Traceback (most recent call last):\n  …" if error else None,
                reason="too late" if status == "missed" else None,
                result={"ended": 1, "invited": 1} if status == "success" else None,
            )
        )
    cast.session.commit()
    page.goto("/admin/automationschedule/")
    expect(page.get_by_text("2 days after each invitation")).to_be_visible()
    picture("automation-schedules")
    page.get_by_role("link", name="waitlist_invitation_expiry", exact=True).click()
    expect(page.get_by_text("2 00:00:00 (2 days)")).to_be_visible()
    picture("automation-schedule")
    page.get_by_role("button", name="Dry run").click()
    expect(page.get_by_text("Nothing was done, sent or counted.")).to_be_visible()
    expect(page.get_by_role("row", name="Ben Example ran out Pottery")).to_be_visible()
    expect(page.get_by_role("row", name="Cleo Example Letter: Invitation")).to_be_visible()
    picture("automation-dry-run")
    page.goto("/admin/automationschedule/")
    page.get_by_role("link", name="Remind students a week ahead", exact=True).click()
    page.get_by_role("button", name="Dry run").click()
    expect(page.get_by_text("there is nobody to write to")).to_be_visible()
    picture("automation-dry-run-left-out")
    page.goto("/admin/automationschedule/new/")
    picture("automation-form")
    page.goto("/admin/job/")
    expect(page.get_by_role("link", name="Ben Example · Pottery")).to_be_visible()
    picture("automation-jobs")
    page.get_by_role("button", name="Plan again").click()
    expect(page.get_by_text("as they are")).to_be_visible()
    picture("automation-renew")
    page.goto("/admin/job/")
    page.get_by_role("link", name="waitlist_invitation_expiry/").first.click()
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("that invitation stays open")).to_be_visible()
    picture("automation-job-remove")
    page.goto("/admin/automationrun/")
    picture("automation-runs")
    page.goto("/admin/automationrun/?flt1_1=failed")
    page.locator("tbody th a").first.click()
    expect(page.get_by_role("button", name="Run again")).to_be_visible()
    picture("automation-run")
    page.goto("/admin/automationclasses/")
    expect(page.get_by_text("Missing")).to_be_visible()
    picture("automation-classes")
