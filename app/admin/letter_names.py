"""What letters and their fates are called on pages of the administration."""

from __future__ import annotations

from typing import Any

from flask import Response, current_app, make_response
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from app.models.outbox import OutboxState

TO_STUDENTS = {
    "enrolled": _l("Enrolled"),
    "waitlisted": _l("On the waitlist"),
    "invited": _l("Invitation"),
    "invite_reminder": _l("Invitation runs out soon"),
    "accepted": _l("Invitation accepted"),
    "declined": _l("Invitation declined"),
    "expired": _l("Invitation ran out"),
    "invitation_withdrawn": _l("Invitation taken back"),
    "deadline_changed": _l("Deadline changed"),
    "derolled": _l("Place given up"),
    "left_waitlist": _l("Left the waitlist"),
    "late_cancellation": _l("Cancelled late"),
    "training_rescheduled": _l("Training rescheduled"),
    "training_cancelled": _l("Training cancelled"),
    "reminder_student": _l("Training is near"),
    "reminder_waitlist": _l("Still on the waitlist"),
    "open_spot": _l("A place is free, to everyone"),
}
TO_TRAINERS = {
    "enrolled_trainer": _l("Student enrolled"),
    "waitlisted_trainer": _l("Student on the waitlist"),
    "invited_trainer": _l("Student invited"),
    "accepted_trainer": _l("Student accepted"),
    "declined_trainer": _l("Student declined"),
    "expired_trainer": _l("Student's invitation ran out"),
    "derolled_trainer": _l("Student gave up the place"),
    "left_waitlist_trainer": _l("Student left the waitlist"),
    "late_cancellation_trainer": _l("Student cancelled late"),
    "training_rescheduled_trainer": _l("Training rescheduled, to trainers"),
    "training_cancelled_trainer": _l("Training cancelled, to trainers"),
    "reminder_trainer": _l("Training is near, to trainers"),
    "attendee_list": _l("Attendee list, to trainers"),
    "minimum_alert": _l("Too few are enrolled, to trainers"),
    "trainer_digest": _l("What happened today, to trainers"),
    "undelivered_trainer": _l("Student could not be told"),
}
ABOUT_ACCOUNTS = {
    "account_sign_up": _l("Sign up"),
    "account_invite": _l("Account made by the office"),
    "account_reset": _l("New password"),
    "account_address": _l("New address"),
    "account_changed": _l("Account changed"),
    "account_totp_reset": _l("Sign-in codes taken away"),
    "application_received": _l("Waits for approval"),
    "student_created": _l("New student, to the office"),
    "student_active": _l("Student approved"),
    "welcome": _l("Welcome"),
}
TO_PEOPLE = {
    "birthday_today": _l("Birthday"),
    "birthday_late": _l("Birthday, some days late"),
    "profile_check": _l("Check your profile"),
}
TO_MAKERS = {
    "schedule_report": _l("How a schedule fares, to who made it"),
    "schedule_stopped": _l("Schedule stopped by itself, to who made it"),
    "webhook_gone": _l("Endpoint is gone, to who made it"),
}
# What programs are told; no letters, so nobody edits their text.
EVENTS = {
    "schedule.run.succeeded": _l("Run succeeded"),
    "schedule.run.failed": _l("Run failed"),
    "schedule.run.timeout": _l("Run took too long"),
    "schedule.run.missed": _l("Run missed"),
    "schedule.run.skipped": _l("Run skipped"),
    "schedule.limit_reached": _l("Schedule has run as often as it may"),
    "schedule.paused": _l("Schedule paused"),
}
GROUPS = (
    (_l("To students"), TO_STUDENTS),
    (_l("To trainers"), TO_TRAINERS),
    (_l("About accounts"), ABOUT_ACCOUNTS),
    (_l("To people, by themselves"), TO_PEOPLE),
    (_l("About schedules"), TO_MAKERS),
)
LETTERS: dict[str, Any] = TO_STUDENTS | TO_TRAINERS | ABOUT_ACCOUNTS | TO_PEOPLE | TO_MAKERS
ALL_KINDS = LETTERS | EVENTS  # of the outbox

STATES = {
    OutboxState.PENDING: _l("Waiting"),
    OutboxState.SENDING: _l("Being sent"),
    OutboxState.SENT: _l("Sent"),
    OutboxState.SKIPPED: _l("Not sent"),
    OutboxState.DEAD: _l("Given up"),
    OutboxState.BOUNCED: _l("Came back"),
}
LOOKS = {
    OutboxState.PENDING: "wait",
    OutboxState.SENDING: "act",
    OutboxState.SENT: "ok",
    OutboxState.SKIPPED: "dim",
    OutboxState.DEAD: "bad",
    OutboxState.BOUNCED: "bad",
}


def called(kind: str) -> str:
    """A letter in words."""
    return str(ALL_KINDS.get(kind) or kind.replace("_", " ").capitalize())


def fate(state: OutboxState, attempts: int) -> str:
    """What became of it so far."""
    if state is OutboxState.PENDING and attempts:
        return str(_("To be tried again"))
    return str(STATES[state])


def with_letter(page: Any) -> Response:
    """A page that shows a letter: its frame inherits the policy, and letters carry their styles."""
    answer = make_response(page)
    policy: Any = current_app.jinja_env.globals["content_security_policy"]
    answer.headers["Content-Security-Policy"] = policy(style_src="'self' 'unsafe-inline'")
    return answer
