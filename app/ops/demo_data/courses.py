"""What the demo offers: 24 trainings of a workshop that does not exist."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Europe/Amsterdam")
QUICK = "Quick"
PRACTICE = ("Harbour Workshop", "demo")
TYPES = {
    "Pottery": "Clay, wheels and kilns.",
    "Textile": "Weaving, dyeing and sewing.",
    "Wood": "Planes, chisels and glue.",
    "Kitchen": "Baking, brewing and tasting.",
    "Paper": "Binding, printing and folding.",
    QUICK: "Short workshops. Who is invited has three minutes to answer.",
}
LOCATIONS = {
    "Warehouse": "1 Quayside, Harbour Town",
    "Kiln room": "3 Quayside, Harbour Town",
    "Kitchen": "8 Ropewalk, Harbour Town",
}

CLOCK_CHANGE = "clock change"  # the day of a meeting stands relative to it
TODAY = "today"


@dataclass(frozen=True)
class Course:
    """A training, and how many people its story ends with."""

    name: str
    type: str
    places: int
    days: tuple[int, ...]  # of its meetings, from today
    waiting: int = 0
    enrolled: int | None = None  # None: it is full
    hour: int = 10
    hours: int = 3
    counts_from: str = TODAY
    trait: str = ""
    trainer: int = 0  # in the order of the accounts of trainers
    location: str = "Warehouse"

    def meetings(self, now: datetime) -> list[tuple[datetime, datetime]]:
        """Start and end of each, in UTC, on the clock of the workshop."""
        first = _next_clock_change(now) if self.counts_from == CLOCK_CHANGE else _day_of(now)
        starts = [_at(first + timedelta(days=day), self.hour) for day in self.days]
        if self.trait == "under way":  # at this very moment
            starts = [now.replace(minute=0, second=0, microsecond=0)]
        return [(start, start + timedelta(hours=self.hours)) for start in starts]


COURSES = (
    # What is over
    Course("Wheel throwing for beginners", "Pottery", 6, (-20,), trait="archived"),
    Course("Sourdough from scratch", "Kitchen", 5, (-9,), trainer=1, location="Kitchen"),
    Course("A book in a day", "Paper", 5, (-3,), waiting=2, trainer=2),
    Course("Weaving week", "Textile", 5, (-5, -4, -3, -2, -1), trainer=2),
    # What goes on
    Course("Open studio", "Pottery", 6, (0,), trait="under way", location="Kiln room"),
    Course("Drawing, six evenings", "Paper", 5, (-14, -7, 0, 7, 14, 21), hour=19, trainer=1),
    # What everybody wants
    Course("Glazing and firing", "Pottery", 5, (8,), waiting=8, location="Kiln room"),
    Course("Build a stool", "Wood", 4, (12, 13), waiting=4, trainer=1),
    Course("Raku by the water", "Pottery", 4, (15,), waiting=1, trainer=2),
    Course("Indigo dyeing", "Textile", 5, (18,), waiting=6, trainer=2),
    Course("Letterpress cards", "Paper", 4, (22,), waiting=7, trainer=2),
    Course("Sharpen your tools", "Wood", 5, (25,), waiting=9, trait="opted out", trainer=1),
    Course("Porcelain lamps", "Pottery", 5, (30, 31), waiting=11, location="Kiln room"),
    Course(
        "Four Saturdays of boat repair", "Wood", 5, (-8, -1, 6, 13),
        waiting=13, counts_from=CLOCK_CHANGE, trainer=1,
    ),
    Course("Natural dyes", "Textile", 6, (20,), waiting=3, trait="over-full", trainer=2),
    Course("Screen printing", "Paper", 5, (17,), waiting=5, trait="paused", trainer=2),
    Course("Glass beads", "Pottery", 6, (14,), waiting=3, trait="cancelled"),
    # Where places are left
    Course("Felt slippers", "Textile", 8, (10,), enrolled=5, trainer=2),
    Course("Cheese at home", "Kitchen", 10, (16,), enrolled=3, trainer=1, location="Kitchen"),
    Course("Carve a spoon", "Wood", 12, (28,), enrolled=0, trainer=1),
    Course("Planned for later", "Kitchen", 8, (60,), enrolled=0, trait="draft", location="Kitchen"),
    # Where one can watch invitations run out
    Course("Quick coffee tasting", QUICK, 3, (3,), waiting=14, hours=1, trainer=1),
    Course("Quick paper flowers", QUICK, 3, (5,), waiting=12, hours=1, trainer=2),
    Course("Quick knife sharpening", QUICK, 3, (6,), waiting=10, hours=1, trainer=1),
)  # fmt: skip


def _day_of(now: datetime) -> date:
    return now.astimezone(ZONE).date()


def _at(day: date, hour: int) -> datetime:
    return datetime.combine(day, time(hour), ZONE).astimezone(UTC)


def _next_clock_change(now: datetime) -> date:
    """The next day, at least four weeks ahead, on which the clock is put forward or back."""
    day = _day_of(now) + timedelta(days=28)
    while (
        _at(day, 0).astimezone(ZONE).utcoffset()
        == _at(day + timedelta(days=1), 0).astimezone(ZONE).utcoffset()
    ):
        day += timedelta(days=1)
    return day
