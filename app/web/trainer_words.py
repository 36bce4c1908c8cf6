"""How the pages of trainers call states, with the looks of their badges (people PD2)."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _l

from app.models.enrolment import DECLINED, DEROLLED, ENROLLED, EXPIRED, INVITED, WAITLIST
from app.services.roster import Section

STATUS_LOOKS = {
    ENROLLED: "ok",
    INVITED: "act",
    WAITLIST: "wait",
    EXPIRED: "late",
    DECLINED: "dim",
    DEROLLED: "dim",
}

SECTION_WORDS = {
    Section.ENROLLED: _l("Enrolled"),
    Section.INVITED: _l("Invited"),
    Section.WAITING: _l("Waiting"),
}

# How somebody came to be off the list: by event and reason code of the history.
CLOSED_WORDS: dict[tuple[str | None, str | None], Any] = {
    ("expired", None): _l("Ran out"),
    ("expired", "bounced"): _l("Ran out: letter bounced"),
    ("deinvited", None): _l("Ended by staff"),
    ("declined", None): _l("Declined"),
    ("derolled", None): _l("Cancelled"),
    ("derolled", "removed"): _l("Removed by staff"),
    ("left", None): _l("Left"),
    ("removed", None): _l("Removed by staff"),
    ("cancelled", None): _l("Training cancelled"),
    ("archived", None): _l("Training over"),
}
# Where the history says nothing, as of rows written past the services.
CLOSED_STATUS_WORDS = {
    EXPIRED: _l("Ran out"),
    DECLINED: _l("Declined"),
    DEROLLED: _l("Left"),
}

# The letter of an invitation, by the state of its row in the outbox.
LETTER_WORDS: dict[str | None, tuple[str, Any]] = {
    "pending": ("wait", _l("Letter on its way")),
    "sending": ("wait", _l("Letter on its way")),
    "sent": ("ok", _l("Letter sent")),
    "skipped": ("dim", _l("No letter needed")),
    "dead": ("bad", _l("Letter not delivered")),
    "bounced": ("bad", _l("Letter not delivered")),
    "failing": ("late", _l("Letter delayed")),
    None: ("dim", _l("No letter")),
}
