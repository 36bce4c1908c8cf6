"""What an operator can set, and what we refuse to serve people with (reliability SE1)."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values

import config
from app import rules_from
from config import BadSettings, Settings, mistakes_for_serving
from tests import forks

ROOT = Path(config.__file__).parent
EXAMPLE = ROOT / ".env.example"
SAFE: dict[str, Any] = {
    "sqlalchemy_database_uri": "postgresql://nextseat@db/nextseat",
    "secret_key": "s" * 32,
    "public_base_url": "https://training.example.org",
    "trusted_hosts": "training.example.org",
    "link_keys": "k" * 32,
    "security_password_salt": "p" * 32,
    "security_totp_secrets": "t" * 32,
}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable and no .env of this machine is read."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(config, "ENV_FILE", str(tmp_path / ".env"))


def load(**given: Any) -> Settings:
    return config.load(_env_file=None, **given)


def mistakes_of(**given: Any) -> list[str]:
    with pytest.raises(BadSettings) as bad:
        load(**given)
    assert str(bad.value).splitlines() == bad.value.mistakes
    return bad.value.mistakes


# --- .env.example ---


def test_the_example_and_the_settings_name_the_same_variables() -> None:
    assert list(dotenv_values(EXAMPLE)) == list(dict.fromkeys(dotenv_values(EXAMPLE)))
    assert set(dotenv_values(EXAMPLE)) == {name.upper() for name in Settings.model_fields}


def test_the_example_is_made_of_the_defaults() -> None:
    assert Settings(_env_file=EXAMPLE) == Settings(_env_file=None)


def test_the_example_writes_every_default_out() -> None:
    empty = {name.lower() for name, value in dotenv_values(EXAMPLE).items() if not value}
    without = {name for name, field in Settings.model_fields.items() if field.default in (None, [])}
    assert empty == without


def test_each_variable_of_the_example_has_a_line_of_meaning() -> None:
    lines = EXAMPLE.read_text().splitlines()
    settings = [number for number, line in enumerate(lines) if line and not line.startswith("#")]
    assert len(settings) == len(Settings.model_fields)
    assert all(lines[number - 1].startswith("# ") for number in settings)
    assert not any(lines[number - 1].startswith("# ---") for number in settings)


# --- reading ---


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("TRUSTED_HOSTS", "a.example, b.example,,", ["a.example", "b.example"]),
        ("WAITLIST_CUTOFF", "0 48:00:00", timedelta(days=2)),
        ("WAITLIST_CUTOFF", "0", timedelta(0)),
        ("WAITLIST_CUTOFF", "0 00:00:00", timedelta(0)),
        ("WAITLIST_MIN_ANSWER", "90 minutes", timedelta(minutes=90)),
        ("DEMO", "1", True),
        ("WEB_PORT", "8080", 8080),
        ("LOG_LEVEL", "DEBUG", "DEBUG"),
    ],
)
def test_a_variable_is_read(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object
) -> None:
    monkeypatch.setenv(name, text)
    assert getattr(load(), name.lower()) == value


@pytest.mark.parametrize("name", [name.upper() for name in Settings.model_fields])
def test_an_empty_variable_is_its_default(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "")
    assert load() == Settings.model_construct()


def test_the_environment_wins_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "some.env"
    file.write_text("WEB_PORT=8001\nWEB_HOST=0.0.0.0\nOTHERS_OWN=1\n")
    monkeypatch.setenv("WEB_PORT", "8002")
    settings = config.load(_env_file=file)
    assert (settings.web_port, settings.web_host) == (8002, "0.0.0.0")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ENVIRONMENT", "production"),
        ("LOG_LEVEL", "LOUD"),
        ("DEMO", "perhaps"),
        ("WEB_PORT", "0"),
        ("WEB_PORT", "65536"),
        ("WEB_PORT", "http"),
        ("WEB_WORKERS", "0"),
        ("WEB_THREADS", "1.5"),
        ("WAITLIST_CUTOFF", "soon"),
        ("WAITLIST_CUTOFF", "-1"),
        ("WAITLIST_MIN_ANSWER", "0"),
        ("WAITLIST_MIN_ANSWER", "-1 00:00:00"),
        ("WAITLIST_BATCH_SIZE", "-1"),
        ("WAITLIST_INVITE_LIMIT", "0"),
        ("WAITLIST_INVITE_WINDOW_HOURS", "0"),
        ("WAITLIST_INVITE_WINDOW_HOURS", "inf"),
        ("WAITLIST_INVITE_WINDOW_HOURS", "nan"),
        ("WAITLIST_INVITE_WINDOW_HOURS", "8785"),
        ("TRAINER_ALERT_HOURS", "-1"),
        ("TRAINER_ALERT_HOURS", "inf"),
        ("TRAINER_ALERT_HOURS", "nan"),
        ("TRAINER_ALERT_HOURS", "8785"),
        ("SCHEDULER_SHUTDOWN_GRACE_SECONDS", "inf"),
        ("SCHEDULER_SHUTDOWN_GRACE_SECONDS", "1e12"),
        ("SCHEDULER_SHUTDOWN_GRACE_SECONDS", "nan"),
        ("MAX_CONCURRENT_WORKFLOWS", "65"),
        ("WAITLIST_STAGGER_SECONDS", "1e15"),
        ("WAITLIST_STAGGER_SECONDS", "86401"),
        ("WAITLIST_STAGGER_SECONDS", "-1"),
        ("SCHEDULER_JOB_DEFAULTS_MAX_INSTANCES", "0"),
        ("SCHEDULER_JOB_DEFAULTS_COALESCE", "perhaps"),
        ("SCHEDULER_MISFIRE_GRACE_TIME", "31536001"),
        ("SCHEDULE_GRACE_PERIOD_MINUTES", "-1"),
        ("SCHEDULER_LOCAL_TIMEZONE", "Mars/Base"),
        ("SCHEDULER_TIMEZONE", "+02:00"),
        ("WORKFLOW_MAX_RETRIES", "11"),
        ("WORKFLOW_TIMEOUT_SECONDS", "0"),
        ("BOT_TIMEOUT_LATE", "0"),
        ("PEOPLE_MAIL_DAILY_CAP", "2001"),
        ("SCHEDULE_HISTORY_DAYS", "0"),
        ("API_KEY", "k" * 31),
        ("API_KEY", "internal_secret_key"),
        ("API_KEY", "your-api-key"),
    ],
)
def test_a_bad_value_is_one_sentence_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv(name, text)
    (mistake,) = mistakes_of()
    assert mistake.startswith(f"{name}: ")
    assert mistake.endswith(".")
    assert not mistake.endswith("..")
    assert "Value error" not in mistake


def test_as_many_tasks_run_at_a_time_as_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.model_fields["max_concurrent_workflows"].default == 10
    monkeypatch.setenv("MAX_CONCURRENT_WORKFLOWS", "3")
    assert load().max_concurrent_workflows == 3


def test_every_bad_value_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_PORT", "none")
    monkeypatch.setenv("LOG_LEVEL", "LOUD")
    assert [mistake.partition(":")[0] for mistake in mistakes_of()] == ["LOG_LEVEL", "WEB_PORT"]


def test_secrets_are_not_shown() -> None:
    shown = repr(load(**SAFE | {"sqlalchemy_database_uri": "postgresql://u:hush@db/x"}))
    assert "hush" not in shown
    assert "s" * 32 not in shown


# --- serving ---


def test_safe_settings_serve() -> None:
    assert mistakes_for_serving(load(**SAFE)) == []


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("secret_key", None),
        ("secret_key", "change-me"),
        ("secret_key", "internal_secret_key"),
        ("secret_key", "s" * 31),
        ("public_base_url", None),
        ("public_base_url", "http://training.example.org"),
        ("public_base_url", "https://"),
        ("public_base_url", "https:///path"),
        ("public_base_url", "https://[oops"),
        ("public_base_url", "https://training.example.org:port"),
        ("public_base_url", "https://user@training.example.org"),
        ("public_base_url", "https://user:hush@training.example.org"),
        ("public_base_url", "https://training example.org"),
        ("public_base_url", " https://training.example.org"),
        ("public_base_url", "https://training.example.org/\r\nX: y"),
        ("public_base_url", "https://training.example.org?a=1"),
        ("public_base_url", "https://training.example.org/#top"),
        ("mail_domain", "my domain"),
        ("mail_domain", "@mail.example.org"),
        ("mail_domain", "mail.example.org."),
        ("mail_domain", "münchen.example.org"),
        ("mail_domain", "mail.example.org\r\nBcc: x@y.z"),
        ("mail_domain", "192.0.2.1"),
        ("mail_domain", "a" * 64 + ".example.org"),
        ("mail_domain", "-a.example.org"),
        ("mail_sender", "office"),
        ("mail_sender", "office@"),
        ("mail_sender", "Office <office@example.org>"),
        ("mail_sender", "a@example.org, b@example.org"),
        ("mail_sender", "office@example.org\r\nBcc: x@y.z"),
        ("trusted_hosts", "*"),
        ("trusted_hosts", "training.example.org, *.example.org"),
        ("trusted_hosts", ""),
        ("sqlalchemy_database_uri", None),
        ("link_keys", ""),
        ("link_keys", "k" * 31),
        ("link_keys", "k" * 32 + "," + "short"),
        ("link_keys", "change-me"),
        ("link_keys", "s" * 32),  # the other secret
        ("security_password_salt", ""),
        ("security_password_salt", "p" * 31),
        ("security_password_salt", "s" * 32),
        ("security_totp_secrets", ""),
        ("security_totp_secrets", "2:" + "t" * 31),
        ("security_totp_secrets", "2:" + "t" * 32 + ",1:change-me"),
        ("security_totp_secrets", "p" * 32),
    ],
)
def test_each_unsafe_setting_is_one_sentence_with_its_cure(setting: str, value: object) -> None:
    (mistake,) = mistakes_for_serving(load(**SAFE | {setting: value}))
    assert mistake.startswith(setting.upper())
    assert "\n" not in mistake
    assert "hush" not in mistake


@pytest.mark.parametrize(
    "host", ["192.0.2.1", "[2001:db8::1]", "training_1.example.org", "münchen.example.org"]
)
def test_a_host_that_is_no_mail_domain_needs_one_beside_it(host: str) -> None:
    there = SAFE | {"public_base_url": f"https://{host}:8443/courses"}
    (mistake,) = mistakes_for_serving(load(**there))
    assert mistake.startswith("MAIL_DOMAIN is not set")
    assert mistakes_for_serving(load(**there | {"mail_domain": "example.org"})) == []


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("public_base_url", "https://training.example.org:8443/courses/"),
        ("mail_domain", "xn--mnchen-3ya.example.org"),
        ("mail_domain", "Mail.Example.org"),
        ("mail_sender", "office@example.org"),
    ],
)
def test_what_letters_can_be_built_from_serves(setting: str, value: str) -> None:
    assert mistakes_for_serving(load(**SAFE | {setting: value})) == []


@pytest.mark.parametrize(
    ("host", "tls", "mistakes"),
    [
        ("mail.example.org", "none", 1),
        ("192.0.2.7", "none", 1),
        ("localhost.example.org", "none", 1),
        ("127.0.0.1.example.org", "none", 1),
        ("mail.example.org", "starttls", 0),
        ("mail.example.org", "tls", 0),
        ("localhost", "none", 0),
        ("127.0.0.1", "none", 0),
        ("127.5.5.5", "none", 0),
        ("::1", "none", 0),
    ],
)
def test_mail_crosses_no_network_in_the_clear(host: str, tls: str, mistakes: int) -> None:
    found = mistakes_for_serving(load(**SAFE | {"smtp_host": host, "smtp_tls": tls}))
    assert [mistake.split()[0] for mistake in found] == ["SMTP_TLS"] * mistakes


@pytest.mark.parametrize("transport", ["file", "console", "memory"])
def test_another_transport_serves_with_a_warning(transport: str) -> None:
    settings = load(
        **SAFE
        | {"mail_transport": transport, "smtp_host": "mail.example.org", "smtp_tls": "none"}
        | {"web_workers": 1}
    )
    assert mistakes_for_serving(settings) == []
    (warning,) = config.warnings_for_serving(settings)
    assert warning.startswith(f"MAIL_TRANSPORT is {transport}")


@pytest.mark.parametrize(
    "given",
    [
        {"web_workers": 1},
        {"ratelimit_storage_uri": "redis://cache:6379/1"},
        {"mail_transport": "file", "demo": True},
        {"environment": "DEVELOPMENT"},
    ],
)
def test_what_is_meant_warns_of_nothing(given: dict[str, Any]) -> None:
    assert config.warnings_for_web(load(**SAFE | given)) == []


def test_workers_that_count_for_themselves_are_told_of() -> None:
    (warning,) = config.warnings_for_web(load(**SAFE | {"web_workers": 3}))
    assert warning.startswith("RATELIMIT_STORAGE_URI is memory:// with 3 WEB_WORKERS")


@pytest.mark.parametrize("exempt", [{"demo": True}, {"environment": "DEVELOPMENT"}])
def test_demo_and_development_need_only_a_database(exempt: dict[str, Any]) -> None:
    assert mistakes_for_serving(load(sqlalchemy_database_uri="sqlite:///x.db", **exempt)) == []
    (mistake,) = mistakes_for_serving(load(**exempt))
    assert mistake.startswith("SQLALCHEMY_DATABASE_URI")


@pytest.mark.parametrize(("host", "mistakes"), [("127.0.0.1", 0), ("::1", 0), ("0.0.0.0", 1)])
def test_the_demo_is_for_this_machine_alone(host: str, mistakes: int) -> None:
    settings = load(sqlalchemy_database_uri="sqlite:///x.db", demo=True, web_host=host)
    assert [m.split()[0] for m in mistakes_for_serving(settings)] == ["DEMO"] * mistakes


@pytest.mark.parametrize(("mode", "mistakes"), [(0o600, 0), (0o640, 1), (0o604, 1)])
def test_a_file_of_secrets_is_for_its_owner_alone(mode: int, mistakes: int) -> None:
    file = Path(config.ENV_FILE)
    file.write_text("SECRET_KEY=x\n")
    file.chmod(mode)
    found = mistakes_for_serving(load(**SAFE))
    assert found == [".env holds secrets and others may read it: run chmod 600 .env."] * mistakes
    assert mistakes_for_serving(load(**SAFE | {"demo": True})) == []


# --- end to end ---


def serve(
    folder: Path, *, forked: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    """`python run_web.py` with these variables and no others of ours; a fork need not import."""
    ours = {name.upper() for name in Settings.model_fields}
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    if forked:
        return forks.run([ROOT / "run_web.py"], env=inherited | environment, cwd=folder)
    return subprocess.run(
        [sys.executable, ROOT / "run_web.py"],
        env=inherited | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_empty_environment_is_refused_with_a_line_for_each_mistake(tmp_path: Path) -> None:
    done = serve(tmp_path, forked=False)
    assert (done.returncode, done.stdout) == (2, "")
    starts = ["SQLALCHEMY_DATABASE_URI", "SECRET_KEY", "SECURITY_PASSWORD_SALT"]
    starts += ["SECURITY_TOTP_SECRETS", "PUBLIC_BASE_URL", "TRUSTED_HOSTS"]
    assert [line.split()[0] for line in done.stderr.splitlines()] == [*starts, "LINK_KEYS"]


def test_a_value_that_does_not_parse_is_refused(tmp_path: Path) -> None:
    done = serve(tmp_path, WEB_PORT="none", ENVIRONMENT="production")
    assert (done.returncode, done.stdout) == (2, "")
    assert [line.split()[0] for line in done.stderr.splitlines()] == ["ENVIRONMENT:", "WEB_PORT:"]


@pytest.mark.parametrize("bad_url", ["mysql://u:hush@db/x", "junk", "sqlite://"])
def test_an_address_of_no_database_of_ours_is_refused(tmp_path: Path, bad_url: str) -> None:
    done = serve(tmp_path, SQLALCHEMY_DATABASE_URI=bad_url)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("SQLALCHEMY_DATABASE_URI")
    assert "hush" not in line


SERVING = {"DEMO": "1", "FLASK_SKIP_DOTENV": "1"}


def test_a_database_that_lacks_migrations_is_not_served(tmp_path: Path) -> None:
    done = serve(tmp_path, SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path}/new.db", **SERVING)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.endswith("run flask --app run_web db upgrade.")


def test_a_database_that_does_not_answer_is_one_sentence(tmp_path: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:1/x"
    done = serve(tmp_path, SQLALCHEMY_DATABASE_URI=url, **SERVING)
    assert (done.returncode, done.stdout) == (5, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("The database cannot be reached: ")


# --- secrets nobody set ---


def test_the_demo_keeps_its_secrets_for_the_next_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(config, "INSTANCE", tmp_path / "instance")
    first, next_start = (config.with_secrets(load(demo=True)) for _ in range(2))
    assert first.secret_key == next_start.secret_key
    assert first.security_totp_secrets == next_start.security_totp_secrets
    secrets = {first.secret_key, first.security_password_salt, *first.security_totp_secrets}
    assert len(secrets) == 3  # one for each purpose
    kept = tmp_path / "instance" / "secrets.json"
    assert kept.stat().st_mode & 0o077 == 0
    assert [path.name for path in kept.parent.iterdir()] == ["secrets.json"]


def test_production_keeps_no_secret_and_a_set_one_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(config, "INSTANCE", tmp_path / "instance")
    first, next_start = (config.with_secrets(load(secret_key="s" * 40)) for _ in range(2))
    assert first.secret_key is not None
    assert first.secret_key.get_secret_value() == "s" * 40
    assert first.security_password_salt != next_start.security_password_salt
    assert not (tmp_path / "instance").exists()


def test_how_near_a_start_trainers_hear_at_once_reaches_the_services() -> None:
    for hours in (0, 1.5, 48):
        settings = Settings(_env_file=None, trainer_alert_hours=hours)
        assert rules_from(settings).trainer_alert == timedelta(hours=hours)
