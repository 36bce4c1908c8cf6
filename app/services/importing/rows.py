"""What a row of each file must look like (rulings RD2). Messages read after "line 7, email:"."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Hashable
from datetime import UTC, date, datetime
from typing import Annotated, Any, ClassVar
from zoneinfo import ZoneInfo

import phonenumbers
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from app.models.enrolment import ENROLLED, WAITLIST, EnrolmentStatus
from app.models.person import PersonStatus
from app.models.training import MOST_PARTICIPANTS
from app.services.importing.report import Fault
from app.services.students import BadAddress, valid_address

LANGUAGES = ("en", "nl")  # those that letters are written in
EARLIEST_BIRTHDAY = date(1900, 1, 1)
YEARS = range(1970, 2200)  # of a training's days
# Characters that turn the direction of what follows, so that a name reads as another.
TURNING = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
INSTANT = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d:\d\d)?", re.ASCII | re.IGNORECASE
)
PHONE = re.compile(r"\+[\d\s().\-/]+", re.ASCII)
WHOLE = re.compile(r"\d{1,6}", re.ASCII)
YES_OR_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _no(message: str) -> PydanticCustomError:
    return PydanticCustomError("cell", message)


def _text(most: int, *, needed: bool = True) -> BeforeValidator:
    def check(text: str) -> str:
        if needed and not text:
            raise _no("missing")
        if len(text) > most:
            raise _no(f"longer than {most} characters")
        if any(unicodedata.category(char) == "Cc" or char in TURNING for char in text):
            raise _no("has a control character or a line break")
        return text

    return BeforeValidator(check)


def _given(parse: Callable[..., Any]) -> BeforeValidator:
    """Parse the cell; empty is None: leave what is there."""

    def check(text: str, info: ValidationInfo) -> Any:
        return parse(text, info) if text else None

    return BeforeValidator(check)


def _needed(parse: Callable[..., Any]) -> BeforeValidator:
    def check(text: str, info: ValidationInfo) -> Any:
        if not text:
            raise _no("missing")
        return parse(text, info)

    return BeforeValidator(check)


def _address(text: str, _info: ValidationInfo) -> str:
    try:
        return valid_address(text)
    except BadAddress:
        raise _no("not an address") from None


def _addresses(text: str, info: ValidationInfo) -> tuple[str, ...]:
    found = [_address(part.strip(), info) for part in text.split(";") if part.strip()]
    if len({address.lower() for address in found}) < len(found):
        raise _no("the same address twice")
    return tuple(found)


def _phone(text: str, _info: ValidationInfo) -> str:
    if not PHONE.fullmatch(text):
        raise _no("not a phone number; write it with + and the country, like +31 20 123 4567")
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        raise _no("not a phone number of any country") from None
    if not phonenumbers.is_possible_number(number):
        raise _no("too short or too long for a phone number of its country")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _language(text: str, _info: ValidationInfo) -> str:
    if text.lower() not in LANGUAGES:
        raise _no(f"not one of {', '.join(LANGUAGES)}")
    return text.lower()


def _birthday(text: str, info: ValidationInfo) -> date:
    try:
        day = date.fromisoformat(text) if DAY.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None:
        raise _no("not a date like 1990-12-31")
    today = _context(info)["now"].astimezone(_context(info)["zone"]).date()
    if not EARLIEST_BIRTHDAY <= day <= today:
        raise _no("not a birthday of anyone alive")
    return day


def _person_status(text: str, _info: ValidationInfo) -> PersonStatus:
    try:
        return PersonStatus(text.lower())
    except ValueError:
        raise _no("neither active nor inactive") from None


def _enrolment_status(text: str, _info: ValidationInfo) -> EnrolmentStatus:
    if text.lower() not in (ENROLLED, WAITLIST):
        raise _no("neither enrolled nor waitlist")
    return EnrolmentStatus(text.lower())


def _places(text: str, _info: ValidationInfo) -> int:
    if not WHOLE.fullmatch(text) or int(text) > MOST_PARTICIPANTS:
        raise _no(f"not a whole number from 0 to {MOST_PARTICIPANTS}")
    return int(text)


def _yes_or_no(text: str, _info: ValidationInfo) -> bool:
    if text.lower() not in YES_OR_NO:
        raise _no("neither true nor false")
    return YES_OR_NO[text.lower()]


def _instant(text: str, info: ValidationInfo) -> datetime:
    """An instant in UTC; without offset it is a time of the practice's zone.

    A local time that a clock change skips is a fault; of one that comes twice it is the first.
    """
    try:
        given = datetime.fromisoformat(text) if INSTANT.fullmatch(text) else None
    except ValueError:
        given = None
    if given is None or given.year not in YEARS:
        raise _no("not a time like 2026-03-02T14:30 or 2026-03-02T14:30+01:00")
    if given.tzinfo is not None:
        return given.astimezone(UTC)
    zone: ZoneInfo = _context(info)["zone"]
    instant = given.replace(tzinfo=zone).astimezone(UTC)  # fold 0: the first of two
    if instant.astimezone(zone).replace(tzinfo=None, fold=0) != given:
        raise _no(f"this time does not exist in {zone}: the clock skips it")
    return instant


def _context(info: ValidationInfo) -> dict[str, Any]:
    return info.context or {}


Address = Annotated[str, _needed(_address)]
Key = Annotated[str, _text(100)]
Instant = Annotated[datetime, _needed(_instant)]


class Row(BaseModel):
    """A line of the file, typed; `key` is what may stand in it only once."""

    model_config = ConfigDict(frozen=True)
    key_column: ClassVar[str]

    line: int

    @classmethod
    def columns(cls) -> list[str]:
        """The header, as it must be, in any order."""
        return [name for name in cls.model_fields if name != "line"]

    @property
    def key(self) -> Hashable:
        raise NotImplementedError

    def fault(self, column: str, message: str) -> Fault:
        """What is wrong with a cell that reads well."""
        value = getattr(self, column)
        shown = ";".join(value) if isinstance(value, tuple) else str(value or "")
        return Fault(self.line, column, shown, message)


class StudentRow(Row):
    """A person who learns; known by the address, in whatever case."""

    key_column = "email"

    email: Address
    first_name: Annotated[str, _text(100, needed=False)]
    last_name: Annotated[str, _text(100, needed=False)]
    phone: Annotated[str | None, _given(_phone)]
    language: Annotated[str | None, _given(_language)]
    birthday: Annotated[date | None, _given(_birthday)]
    status: Annotated[PersonStatus, _needed(_person_status)]

    @property
    def key(self) -> str:
        return self.email.lower()


class TrainingRow(Row):
    """One day of a training; the rows of a training share `training`."""

    key_column = "start"
    SHARED: ClassVar[tuple[str, ...]] = ("name", "type", "max_participants", "trainers", "active")

    training: Key
    name: Annotated[str, _text(200)]
    type: Annotated[str, _text(200, needed=False)]
    max_participants: Annotated[int, _needed(_places)]
    start: Instant
    end: Instant
    location: Annotated[str, _text(200, needed=False)]
    trainers: Annotated[tuple[str, ...] | None, _given(_addresses)]
    active: Annotated[bool, _needed(_yes_or_no)]

    @field_validator("end")
    @classmethod
    def _after_start(cls, end: datetime, info: ValidationInfo) -> datetime:
        start = info.data.get("start")
        if start is not None and end <= start:
            raise _no("not after the start")
        return end

    @property
    def key(self) -> tuple[str, datetime, datetime]:
        return self.training, self.start, self.end


class EnrolmentRow(Row):
    """A student's place in a training that was imported."""

    key_column = "email"

    training: Key
    email: Address
    status: Annotated[EnrolmentStatus, _needed(_enrolment_status)]

    @property
    def key(self) -> tuple[str, str]:
        return self.training, self.email.lower()
