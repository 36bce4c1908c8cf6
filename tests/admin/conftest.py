"""Fixtures for the administration: those of pages, and Orla at her desk."""

from __future__ import annotations

import pytest

from tests.admin.desk import Desk
from tests.web.browsing import Client, sign_in
from tests.web.conftest import cast, client, office, shared_web_apps, stage, web_app

__all__ = ["cast", "client", "desk", "office", "shared_web_apps", "stage", "web_app"]


@pytest.fixture
def desk(client: Client, office: str) -> Desk:
    """Orla, an administrator of the cast's practice, signed in."""
    return Desk(client, sign_in(client, office))
