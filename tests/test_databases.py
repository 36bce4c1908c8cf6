"""The tests' own databases and settings: the same on every machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import databases, plugin, postgres


def test_the_settings_of_a_test_come_from_the_test_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WAITLIST_BATCH_SIZE", "7")
    monkeypatch.setenv("ENVIRONMENT", "DEVELOPMENT")
    app = databases.app_on(f"sqlite:///{tmp_path}/x.db", waitlist_invite_limit=9)
    settings = app.extensions["settings"]
    assert (settings.environment, settings.waitlist_batch_size) == ("PRODUCTION", 0)
    assert settings.waitlist_invite_limit == 9


@pytest.mark.parametrize("text", ["", "postgresql", " postgresql , "])
def test_what_a_run_requires_is_there(text: str) -> None:
    plugin.require(text)


def test_a_run_that_requires_what_it_lacks_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "HERE", {"postgresql"})
    with pytest.raises(pytest.UsageError, match="asks for browser"):
        plugin.require("postgresql,browser")


def test_a_folder_is_opened_to_the_server_with_a_line_that_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    closed = tmp_path / "closed"
    (closed / "bin").mkdir(parents=True)
    closed.chmod(0o700)
    postgres.open_to_all(closed / "bin")
    assert closed.stat().st_mode & 0o777 == 0o701
    told = capsys.readouterr().err
    assert f"{closed}: others may pass through now" in told
