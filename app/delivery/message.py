"""A letter as the bytes that go over the wire (libraries M1, reliability OB5, SE12).

Message-ID and Date come from the outbox row, so that a second copy is known for one. A line break
where none may be, or an address that is none, costs this one letter and no other.
"""

from __future__ import annotations

import email.policy
import hashlib
import hmac
import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from email_validator import validate_email

from app.services.students import BadAddress, valid_address
from config import Settings

if TYPE_CHECKING:
    from app.delivery.rendering import Letter

LONGEST_SUBJECT = 200
NO_DOMAIN = "localhost.localdomain"  # of a machine without a name of its own
MAC_DIGITS = 16  # of the 64 an HMAC has: nobody guesses 64 bits over SMTP
NUMBER = re.compile(r"[\d.]+|.*:.*")  # an address of the network, not a name
BOUNCE = re.compile(r"bounce\+(\d{1,18})\.([0-9a-f]{16})@", re.I)


class BadLetter(ValueError):
    """This letter can never be sent as it is; its message says why, without naming anyone."""


class BadReader(BadLetter):
    """Nobody can be written to at this address: as final as a server's refusal of it."""


class BadSender(BadLetter):
    """Nobody could write from this address: no fault of the letter, none of these can go."""


@dataclass(frozen=True)
class Envelope:
    """A letter ready to be handed to a transport."""

    id: int  # of the outbox row
    uuid: str
    kind: str
    created_at: datetime
    sender: str  # where bounces go
    to: str
    content: bytes


class _Whole(UnstructuredHeader):
    """A header that is never folded: Python would encode a long URL as if it were words."""

    max_count = 1

    def fold(self, *, policy: Any) -> str:
        head: Any = self  # HeaderRegistry mixes it into a header, which has a name
        return f"{head.name}: {self}{policy.linesep}"


_headers: Any = HeaderRegistry()
for _name in ("list-unsubscribe", "list-unsubscribe-post"):
    _headers.map_to_type(_name, _Whole)


class _Alike(email.policy.EmailPolicy):
    """Most headers of a letter are those of the last one: read and folded once for all of them.

    The library parses each by its whole grammar, which took a fifth of the time of a letter.
    """

    def header_store_parse(self, name: str, value: Any) -> tuple[str, Any]:
        if type(value) is str and _is_alike(name, value):
            return _stored(name, value)
        return super().header_store_parse(name, value)

    def fold_binary(self, name: str, value: Any) -> bytes:
        if _is_alike(name, value):
            return _folded(self, name, value)
        return super().fold_binary(name, value)


THE_SAME = (
    "auto-submitted", "content-disposition", "content-transfer-encoding", "content-type", "from",
    "list-unsubscribe-post", "mime-version",
)  # fmt: skip


def _is_alike(name: str, value: str) -> bool:
    return name.lower() in THE_SAME and "boundary" not in value


@lru_cache(maxsize=256)
def _stored(name: str, value: str) -> tuple[str, Any]:
    return email.policy.EmailPolicy.header_store_parse(POLICY, name, value)


@lru_cache(maxsize=256)
def _folded(policy: _Alike, name: str, value: str) -> bytes:
    return email.policy.EmailPolicy.fold_binary(policy, name, value)


# 7bit: base64 or quoted-printable for what isn't ASCII, since not every server takes 8 bits.
POLICY = _Alike(linesep="\r\n", header_factory=_headers, cte_type="7bit")


def envelope(letter: Letter, row: Any, settings: Settings) -> Envelope:
    """`letter` of outbox `row` (its id, uuid, kind, created_at). Raises `BadLetter`."""
    to, sender = _reader(letter.to, is_private(settings)), _sender(letter.sender)
    try:
        content = bytes(_message(letter, to, sender, row, settings))
    except (ValueError, LookupError) as error:  # lone surrogates and what else cannot be encoded
        raise BadLetter(f"it cannot be written as a mail ({type(error).__name__})") from error
    back_to = bounce_address(row.id, settings) or sender
    return Envelope(row.id, row.uuid, row.kind, row.created_at, back_to, to, content)


def _message(letter: Letter, to: str, sender: str, row: Any, settings: Settings) -> EmailMessage:
    message = EmailMessage(policy=POLICY)
    message["Message-ID"] = f"<{row.uuid}@{mail_domain(settings)}>"
    message["Date"] = row.created_at
    message["From"] = _named(_one_line(letter.sender_name, "sender's name"), sender)
    message["To"] = Address(_one_line(letter.to_name, "reader's name"), addr_spec=to)
    message["Subject"] = _subject(letter.subject)
    message["Auto-Submitted"] = "auto-generated"
    if letter.unsubscribe:  # RFC 8058
        message["List-Unsubscribe"] = f"<{_url(letter.unsubscribe)}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(letter.text)
    message.add_alternative(letter.html, subtype="html")
    if letter.calendar is not None:
        message.add_alternative(
            letter.calendar.decode(),
            subtype="calendar",
            params={"method": letter.calendar_method or "REQUEST"},
        )
    if letter.cancelled is not None:  # of another METHOD, so no alternative to the first
        message.add_attachment(
            letter.cancelled.decode(),
            subtype="calendar",
            params={"method": "CANCEL"},
            filename="cancelled.ics",
        )
    return message


@lru_cache(maxsize=256)
def _named(name: str, address: str) -> str:
    return str(Address(name, addr_spec=address))


def _subject(text: str) -> str:
    subject = _one_line(text, "subject").strip()
    if not subject:
        raise BadLetter("its subject is empty")
    if len(subject) <= LONGEST_SUBJECT:
        return subject
    return subject[: LONGEST_SUBJECT - 1] + "…"


def _one_line(text: str, what: str) -> str:
    """Text of a header; whoever can put a line break there could add headers of their own."""
    if any(unicodedata.category(char) in ("Cc", "Zl", "Zp") for char in text):
        raise BadLetter(f"there is a line break or control character in its {what}")
    return text


def _url(text: str) -> str:
    if re.search(r"[\s<>,]", _one_line(text, "link to unsubscribe")):
        raise BadLetter("its link to unsubscribe is no address")
    return text


def _reader(text: str, private: bool) -> str:
    """One plain address in ASCII, its domain as the name system knows it (SE12).

    In `private` no letter leaves the house, so ada@localhost will do.
    """
    try:
        return _ascii(text if private else valid_address(text), private)
    except (BadAddress, ValueError) as error:
        raise BadReader("the reader's address is no e-mail address") from error


def _sender(text: str) -> str:
    if not is_sender(text):
        raise BadSender("the sender's address is no e-mail address")
    return _ascii(text, True)


def is_sender(text: str) -> bool:
    """Whether letters can come from this address, which only our own server need know."""
    try:
        return bool(_ascii(text, True))
    except ValueError:
        return False


@lru_cache(maxsize=1024)  # a practice's sender stands in each of its letters
def _ascii(text: str, private: bool) -> str:
    """One plain address in ASCII; unless `private`, of a domain all the world knows.

    `ada@localhost` is refused by the library whatever it is told, `ada@localhost.example` is not.
    """
    beyond = ".example" if private else ""
    found = validate_email(text.strip() + beyond, check_deliverability=False, test_environment=True)
    if found.ascii_email is None or len(found.ascii_email) > 254:
        raise ValueError("it cannot be written in ASCII")
    return found.ascii_email.removesuffix(beyond)


def is_private(settings: Settings) -> bool:
    """Whether this is a demo or a developer's machine, whose readers may be made up."""
    return settings.demo or settings.environment == "DEVELOPMENT"


def mail_domain(settings: Settings) -> str:
    """The domain of Message-IDs and bounces: `MAIL_DOMAIN`, else the host of our address.

    In ASCII. A host that no sender can have, such as a number, gives way to `NO_DOMAIN`; a bad
    `MAIL_DOMAIN` stays, for `unfit` to say so.
    """
    if settings.mail_domain:
        return _domain(settings.mail_domain) or settings.mail_domain
    try:
        host = urlsplit(settings.public_base_url or "").hostname or ""
    except ValueError:  # such as a bracket that is never closed
        host = ""
    return NO_DOMAIN if NUMBER.fullmatch(host) else _domain(host) or NO_DOMAIN


def _domain(name: str) -> str:
    """As the name system knows it; blank if no address can end so."""
    address = f"noreply@{name}"
    return _ascii(address, True).partition("@")[2] if is_sender(address) else ""


def our_sender(settings: Settings) -> str:
    """Whom letters come from when the practice names no sender."""
    return settings.mail_sender or f"noreply@{mail_domain(settings)}"


def unfit(settings: Settings) -> str | None:
    """Why no letter at all can go out with these settings; None: they can (reliability OB6)."""
    if not _domain(mail_domain(settings)):
        return "MAIL_DOMAIN is no domain of e-mail addresses"
    if not is_sender(our_sender(settings)):
        return "MAIL_SENDER is no e-mail address"
    return None


# --- where bounces go (OB10) ----------------------------------------------------------------------


def bounce_address(row_id: int, settings: Settings) -> str | None:
    """The envelope sender of a row, which a bounce names again; None without LINK_KEYS."""
    if not settings.link_keys:
        return None
    mac = _bounce_mac(row_id, settings.link_keys[0].get_secret_value())
    return f"bounce+{row_id}.{mac}@{mail_domain(settings)}"


def bounced_row(text: str, settings: Settings) -> int | None:
    """The row that an envelope address of ours anywhere in `text` speaks of; None: no genuine one.

    Every key of LINK_KEYS counts, so that bounces find home while keys rotate.
    """
    for found in BOUNCE.finditer(text):
        row_id, mac = int(found[1]), found[2].lower()
        macs = [_bounce_mac(row_id, key.get_secret_value()) for key in settings.link_keys]
        if any(hmac.compare_digest(mac, one) for one in macs):
            return row_id
    return None


def _bounce_mac(row_id: int, key: str) -> str:
    return hmac.new(key.encode(), f"bounce:{row_id}".encode(), hashlib.sha256).hexdigest()[
        :MAC_DIGITS
    ]
