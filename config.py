"""Every setting, read from the environment once; `.env.example` explains each of them.

A value that doesn't parse, or that would be unsafe to serve people with, is answered by one
sentence per mistake (`BadSettings`), never by a traceback.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
import secrets
import stat
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv import find_dotenv
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

INSTANCE = Path(__file__).parent / "instance"  # what this machine keeps for itself
ENV_FILE = find_dotenv(usecwd=True) or ".env"
SHORTEST_SECRET = 32  # bytes
SHORTEST_KEY = 32  # characters
LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
HOST_NAME = re.compile(rf"({LABEL}\.)*(?![0-9]+$){LABEL}", re.I)  # no number of the network
IN_NO_ADDRESS = re.compile(r'[\s<>"\\^`{|}]')
EXAMPLE_SECRETS = {"change-me", "internal_secret_key"}


class BadSettings(Exception):
    """Settings we will not start with; `mistakes` has a sentence for each, with its cure."""

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(mistakes))


class Settings(BaseSettings):
    """What an operator can set. Names and defaults as in `.env.example`."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILE, env_ignore_empty=True, extra="ignore", frozen=True
    )

    environment: Literal["PRODUCTION", "DEVELOPMENT"] = "PRODUCTION"
    sqlalchemy_database_uri: SecretStr | None = None
    secret_key: SecretStr | None = None
    public_base_url: str | None = None
    trusted_hosts: Annotated[list[str], NoDecode] = []
    trusted_proxies: int = Field(default=0, ge=0, le=10)
    demo: bool = False
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    security_password_salt: SecretStr | None = None
    security_totp_secrets: Annotated[list[SecretStr], NoDecode] = []
    totp_roles: Annotated[list[str], NoDecode] = ["admin", "trainer"]
    public_catalogue: bool = True
    student_approval: bool = False
    ratelimit_storage_uri: str = "memory://"
    api_key: SecretStr | None = None
    health_public_counts: bool = True

    waitlist_cutoff: timedelta = timedelta(hours=2)
    waitlist_min_answer: timedelta = timedelta(minutes=15)
    waitlist_batch_size: int = Field(default=0, ge=0)
    waitlist_invite_limit: int = Field(default=3, ge=1)
    waitlist_invite_window_hours: float = Field(default=24, gt=0, le=8784)  # 366 days
    waitlist_stagger_seconds: float = Field(default=0, ge=0, le=86400)
    trainer_alert_hours: float = Field(default=48, ge=0, le=8784)

    scheduler_lock_host: str = "127.0.0.1"
    scheduler_lock_port: int = Field(default=53462, ge=1, le=65535)
    scheduler_shutdown_grace_seconds: float = Field(default=30, ge=0, le=3600)
    max_concurrent_workflows: int = Field(default=10, ge=1, le=64)  # threads
    automation_modules: Annotated[list[str], NoDecode] = []

    # What the doors write into a new schedule where nothing was said (schedules T10).
    scheduler_job_defaults_max_instances: int = Field(default=3, ge=1, le=100)
    scheduler_job_defaults_coalesce: bool = True
    scheduler_misfire_grace_time: int = Field(default=3600, ge=0, le=31_536_000)
    schedule_grace_period_minutes: int = Field(default=15, ge=0, le=525_600)
    scheduler_local_timezone: str = "Europe/Paris"
    scheduler_timezone: str = "UTC"
    workflow_max_retries: int = Field(default=3, ge=0, le=10)
    workflow_timeout_seconds: int = Field(default=3600, ge=1, le=86_400)
    bot_timeout_birthday: int = Field(default=30, ge=1, le=1440)  # minutes
    bot_timeout_late: int = Field(default=180, ge=1, le=1440)
    bot_timeout_visitor: int = Field(default=45, ge=1, le=1440)

    people_mail_daily_cap: int = Field(default=15, ge=1, le=2000)
    people_mail_weekly_cap: int = Field(default=100, ge=1, le=2000)

    schedule_min_interval_seconds: int = Field(default=1, ge=1, le=86400)
    schedule_max_catchup: int = Field(default=100, ge=1, le=10_000)
    schedule_max_per_practice: int = Field(default=500, ge=1)
    schedule_auto_pause_failures: int = Field(default=0, ge=0)
    schedule_history_days: int = Field(default=90, ge=1, le=36_500)
    schedule_history_max_per_schedule: int = Field(default=1000, ge=1)

    webhook_private_addresses: bool = False

    mail_transport: Literal["smtp", "file", "console", "memory"] = "smtp"
    mail_folder: str = "outbox"
    mail_domain: str | None = None
    mail_sender: str | None = None
    mail_rate: float = Field(default=20, ge=0)
    mail_burst: int = Field(default=100, ge=1)
    mail_real_in_development: bool = False
    smtp_host: str = "localhost"
    smtp_port: int = Field(default=25, ge=1, le=65535)
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    smtp_tls: Literal["none", "starttls", "tls"] = "starttls"
    link_keys: Annotated[list[SecretStr], NoDecode] = []

    web_host: str = "127.0.0.1"
    web_port: int = Field(default=8000, ge=1, le=65535)
    web_workers: int = Field(default=2, ge=1)
    web_threads: int = Field(default=8, ge=1)

    @field_validator(
        "trusted_hosts",
        "automation_modules",
        "link_keys",
        "security_totp_secrets",
        "totp_roles",
        mode="before",
    )
    @classmethod
    def _comma_separated(cls, value: Any) -> Any:
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return value

    @field_validator("api_key")
    @classmethod
    def _hard_to_guess(cls, key: SecretStr | None) -> SecretStr | None:
        """It opens every schedule, wherever this runs (schedules A1)."""
        if key and (len(key.get_secret_value()) < SHORTEST_KEY or plain(key) in EXAMPLE_SECRETS):
            raise ValueError(
                f"shorter than {SHORTEST_KEY} characters or an example: set it to the output of"
                ' python -c "import secrets; print(secrets.token_urlsafe(48))", or to nothing'
            )
        return key

    @field_validator("scheduler_local_timezone", "scheduler_timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        from app.services.local_time import zone_names  # one list everywhere (schedules T5)

        if value not in zone_names():
            raise ValueError("no time zone such as Europe/Amsterdam or UTC")
        return value

    @field_validator("waitlist_cutoff", "waitlist_min_answer", mode="before")
    @classmethod
    def _interval(cls, value: Any) -> Any:
        from app.services.intervals import parse_interval  # one spelling everywhere (WA7)
        from app.services.refusals import Refusal

        if not isinstance(value, str):
            return value
        try:
            return parse_interval(value)
        except Refusal as no:
            raise ValueError(str(no.sentence)) from no

    @field_validator("waitlist_cutoff", mode="before")
    @classmethod
    def _none_at_all(cls, value: Any) -> Any:
        """Answers may come until the start, though an interval is never 0 elsewhere (WA7).

        Runs before `_interval`: pydantic begins with the last.
        """
        none = isinstance(value, str) and re.fullmatch(r"(0+ +)?0+(:00:00)?", value.strip())
        return timedelta(0) if none else value

    @property
    def database(self) -> str | None:
        uri = self.sqlalchemy_database_uri
        return uri.get_secret_value() if uri else None


KEPT = ("secret_key", "security_password_salt", "security_totp_secrets")


def with_secrets(settings: Settings) -> Settings:
    """The settings with every secret there; the demo and DEVELOPMENT keep those that nobody set.

    Kept in `instance/`, readable by their owner alone, so that all processes and the next start
    know the same. PRODUCTION keeps none: it is refused to serve people without.
    """
    missing = [name for name in KEPT if not getattr(settings, name)]
    if not missing:
        return settings
    kept = settings.demo or settings.environment == "DEVELOPMENT"
    found = _kept_secrets() if kept else {name: _a_secret() for name in KEPT}
    fill: dict[str, Any] = {name: SecretStr(found[name]) for name in missing}
    if "security_totp_secrets" in fill:
        fill["security_totp_secrets"] = [fill["security_totp_secrets"]]
    return settings.model_copy(update=fill)


def _kept_secrets() -> dict[str, str]:
    path = INSTANCE / "secrets.json"
    if not path.exists():
        INSTANCE.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=INSTANCE, delete=False) as file:  # mode 0600
            json.dump({name: _a_secret() for name in KEPT}, file)
        with contextlib.suppress(FileExistsError):  # another process was first: its secrets count
            os.link(file.name, path)
        os.unlink(file.name)
    found: dict[str, str] = json.loads(path.read_text())
    return found


def _a_secret() -> str:
    return secrets.token_urlsafe(48)


def load(**given: Any) -> Settings:
    """The settings of this process; `given` wins over the environment. Raises `BadSettings`."""
    try:
        return Settings(**given)
    except ValidationError as error:
        raise BadSettings(
            [f"{e['loc'][0]}".upper() + f": {_sentence(e['msg'])}" for e in error.errors()]
        ) from error


def _sentence(message: str) -> str:
    return message.removeprefix("Value error, ").rstrip(".") + "."


def mistakes_for_serving(settings: Settings) -> list[str]:
    """Why people should not be served with these settings (reliability SE1); empty: they may be."""
    mistakes = []
    if settings.database is None:
        mistakes.append(
            "SQLALCHEMY_DATABASE_URI is not set: name a database, for instance"
            " postgresql://user:password@host/name or sqlite:////path/to/nextseat.db."
        )
    if settings.demo and not _is_this_machine(settings.web_host):
        mistakes.append(
            "DEMO is on, so anyone may do anything, and WEB_HOST is more than this machine: set"
            " WEB_HOST to 127.0.0.1, or DEMO to 0."
        )
    if settings.environment == "PRODUCTION" and not settings.demo:
        mistakes += [*_secret(settings), *_sign_in(settings), *_address(settings)]
        mistakes += [*_mail(settings), *_webhooks(settings), *_env_file()]
    return mistakes


def warnings_for_serving(settings: Settings) -> list[str]:
    """What is allowed but hardly meant, a sentence each."""
    if settings.environment != "PRODUCTION" or settings.demo:
        return []
    warnings = []
    if settings.mail_transport != "smtp":
        warnings.append(
            f"MAIL_TRANSPORT is {settings.mail_transport}: no letter reaches anyone; set it to smtp"
            " for real mail."
        )
    return warnings


def warnings_for_web(settings: Settings) -> list[str]:
    """The same for who answers people: of its own are the counts of tries (reliability SE1)."""
    warnings = warnings_for_serving(settings)
    strict = settings.environment == "PRODUCTION" and not settings.demo
    if strict and settings.web_workers > 1 and settings.ratelimit_storage_uri.startswith("memory:"):
        warnings.append(
            f"RATELIMIT_STORAGE_URI is memory:// with {settings.web_workers} WEB_WORKERS, each of"
            f" which counts for itself: tries may be {settings.web_workers} times as many. Name a"
            " store that they share, such as redis://localhost (pip install redis), or set"
            " WEB_WORKERS to 1."
        )
    return warnings


def _secret(settings: Settings) -> list[str]:
    secret = settings.secret_key.get_secret_value() if settings.secret_key else ""
    if secret in EXAMPLE_SECRETS or len(secret.encode()) < SHORTEST_SECRET:
        return [
            f"SECRET_KEY is missing, shorter than {SHORTEST_SECRET} bytes or an example: set it to"
            ' the output of python -c "import secrets; print(secrets.token_urlsafe(48))".'
        ]
    return []


def _sign_in(settings: Settings) -> list[str]:
    """The secrets of passwords and codes: each there, long enough and of its own (SE18)."""
    others = {secret.get_secret_value() for secret in [settings.secret_key] if secret}
    salt = settings.security_password_salt
    salts = [salt.get_secret_value()] if salt else []
    mistakes = _unfit("SECURITY_PASSWORD_SALT", salts, others)
    if settings.totp_roles:
        codes = [secret for _tag, secret in totp_secrets(settings)]
        mistakes += _unfit("SECURITY_TOTP_SECRETS", codes, {*others, *salts})
    return mistakes


def _unfit(name: str, given: list[str], others: set[str]) -> list[str]:
    unfit = EXAMPLE_SECRETS | others
    if given and all(s not in unfit and len(s.encode()) >= SHORTEST_SECRET for s in given):
        return []
    return [
        f"{name} is missing, shorter than {SHORTEST_SECRET} bytes, an example or another secret"
        ' again: set it to the output of python -c "import secrets;'
        ' print(secrets.token_urlsafe(48))".'
    ]


def plain(secret: SecretStr | None) -> str:
    """The secret itself; nothing where there is none."""
    return secret.get_secret_value() if secret else ""


def totp_secrets(settings: Settings) -> list[tuple[str, str]]:
    """The keys that seal the secrets of authenticator apps, with their tags: the highest is used.

    `2:new…,1:old…` while they are changed; a single one needs no tag and has 1.
    """
    pairs = []
    for secret in settings.security_totp_secrets:
        tag, colon, rest = secret.get_secret_value().partition(":")
        tagged = colon and tag.isdecimal()
        pairs.append((tag, rest) if tagged else ("1", secret.get_secret_value()))
    return pairs


def _address(settings: Settings) -> list[str]:
    mistakes = []
    if why_not := _why_no_address(settings.public_base_url or ""):
        mistakes.append(
            f"PUBLIC_BASE_URL {why_not}: set it to the address people use, such as"
            " https://training.example.org; links in letters are built from it."
        )
    if not settings.trusted_hosts or any("*" in host for host in settings.trusted_hosts):
        mistakes.append(
            "TRUSTED_HOSTS is empty or trusts any host: list the host names you serve, such as"
            " training.example.org."
        )
    return mistakes


def _why_no_address(address: str) -> str | None:
    """Why links cannot begin so; None: they can. What it holds is not repeated."""
    if IN_NO_ADDRESS.search(address) or not address.isprintable():
        return "holds a space, a line break or another character that no address has"
    try:
        parts = urlsplit(address)
        usable = parts.scheme == "https" and parts.hostname and parts.port != 0
    except ValueError:  # such as a bracket that is never closed
        usable = False
    if not usable:
        return "is missing, not https or without a host"
    if "@" in parts.netloc:
        return "holds a user or a password, which every reader of a letter would see"
    return "holds a query or a fragment" if "?" in address or "#" in address else None


def _mail(settings: Settings) -> list[str]:
    mistakes = []
    keys = [key.get_secret_value() for key in settings.link_keys]
    secret = settings.secret_key and settings.secret_key.get_secret_value()
    unfit = {*EXAMPLE_SECRETS, secret}  # one secret per purpose (SE18)
    if not keys or any(key in unfit or len(key.encode()) < SHORTEST_SECRET for key in keys):
        mistakes.append(
            f"LINK_KEYS is missing, or a key in it is shorter than {SHORTEST_SECRET} bytes, an"
            ' example or SECRET_KEY itself: set it to the output of python -c "import secrets;'
            ' print(secrets.token_urlsafe(48))".'
        )
    mistakes += [*_mail_domain(settings), *_mail_sender(settings)]
    in_the_clear = settings.mail_transport == "smtp" and settings.smtp_tls == "none"
    if in_the_clear and not _is_this_machine(settings.smtp_host):
        mistakes.append(
            "SMTP_TLS is none although SMTP_HOST is another machine: set it to starttls or tls, or"
            " letters and password cross the network in the clear."
        )
    return mistakes


def _mail_domain(settings: Settings) -> list[str]:
    """Message-IDs and bounces need a domain, written as the name system writes it."""
    if settings.mail_domain is not None:
        if _is_host_name(settings.mail_domain):
            return []
        return [
            "MAIL_DOMAIN is no plain host name: write it like example.org, in ASCII (xn--… for"
            " other letters), without spaces, @ or a dot at the end."
        ]
    if _why_no_address(settings.public_base_url or ""):
        return []  # one sentence is enough
    if _is_host_name(urlsplit(settings.public_base_url or "").hostname or ""):
        return []
    return [
        "MAIL_DOMAIN is not set, and the host of PUBLIC_BASE_URL cannot be the domain of an e-mail"
        " address: set MAIL_DOMAIN to your domain, such as example.org."
    ]


def _is_host_name(name: str) -> bool:
    return len(name) <= 253 and HOST_NAME.fullmatch(name) is not None


def _mail_sender(settings: Settings) -> list[str]:
    from app.delivery.message import is_sender  # who writes it into letters knows

    if settings.mail_sender is None or is_sender(settings.mail_sender):
        return []
    return [
        "MAIL_SENDER is no plain e-mail address: write it like office@example.org, without a name"
        " and without < and >; the practice's name goes before it by itself."
    ]


def _webhooks(settings: Settings) -> list[str]:
    if not settings.webhook_private_addresses:
        return []
    return [
        "WEBHOOK_PRIVATE_ADDRESSES is on: whoever may type an endpoint's address could reach"
        " machines of your own network; set it to 0, it is for tests and development."
    ]


def _is_this_machine(host: str) -> bool:
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False  # a name: who knows where it leads tomorrow


def _env_file() -> list[str]:
    path = Path(ENV_FILE)
    if path.is_file() and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return [f"{path.name} holds secrets and others may read it: run chmod 600 {path.name}."]
    return []
