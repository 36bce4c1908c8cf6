"""What an administrator does in a browser, in a line each."""

from __future__ import annotations

import re
from typing import Any

from werkzeug.test import TestResponse

from app.models import User
from tests.web.browsing import Client


class Desk:
    """An administrator's browser."""

    def __init__(self, client: Client, who: User) -> None:
        self.client, self.who = client, who

    def get(self, path: str) -> TestResponse:
        """A page of the administration: `desk.get("location/")`."""
        return self.client.get(f"/admin/{path}")

    def post(self, path: str, **fields: Any) -> TestResponse:
        """POST with the key."""
        return self.client.act(f"/admin/{path}", **fields)

    def create(self, endpoint: str, **fields: Any) -> TestResponse:
        """Fill in the form of a new row."""
        page = self.get(f"{endpoint}/new/")
        assert page.status_code == 200, page.text
        return self.post(f"{endpoint}/new/", **(form_values(page) | fields))

    def edit(self, endpoint: str, id_: Any, **fields: Any) -> TestResponse:
        """Open the form of a row, change some fields and save."""
        path = f"{endpoint}/edit/?id={id_}"
        page = self.get(path)
        assert page.status_code == 200, page.text
        return self.post(path, **(form_values(page) | fields))

    def act(self, endpoint: str, name: str, *ids: Any, **answers: Any) -> TestResponse:
        """Do something to rows, past the question."""
        fields = {"action": name, "rowid": [str(i) for i in ids], "sure": "1", **answers}
        return self.post(f"{endpoint}/action/", **fields)

    def ask(self, endpoint: str, name: str, *ids: Any) -> TestResponse:
        """Press a button: the question comes."""
        return self.post(f"{endpoint}/action/", action=name, rowid=[str(i) for i in ids])

    def delete(self, endpoint: str, id_: Any) -> TestResponse:
        """Delete a row, past the question."""
        return self.post(f"{endpoint}/delete/", id=id_, sure="1")

    def csv(self, endpoint: str, asked: str = "") -> list[str]:
        """The lines of an export."""
        answer = self.get(f"{endpoint}/export/csv/{asked}")
        assert answer.status_code == 200, answer.text
        return answer.get_data().decode("utf-8-sig").splitlines()


def form_values(page: TestResponse) -> dict[str, Any]:
    """What the form for editing would send as it stands."""
    found = re.search(r'<form method="post" class="edit".*?</form>', page.text, re.S)
    assert found, page.text
    form, values = found[0], {}
    for tag in re.findall(r"<input\b[^>]*>", form):
        name, kind = _of(tag, "name"), _of(tag, "type")
        if name and (kind not in ("checkbox", "radio") or " checked" in tag):
            value = _of(tag, "value") or ("y" if kind == "checkbox" else "")
            again = kind == "checkbox" and name in values  # a box of several that share a name
            values[name] = [*_listed(values[name]), value] if again else value
    for name, body in re.findall(
        r'<textarea\b[^>]*name="([^"]+)"[^>]*>(.*?)</textarea>', form, re.S
    ):
        values[name] = _plain(body).removeprefix("\r\n")
    for tag, body in re.findall(r"(<select\b[^>]*>)(.*?)</select>", form, re.S):
        chosen = [_of(o, "value") for o in re.findall(r"<option\b[^>]*>", body) if " selected" in o]
        first = [_of(o, "value") for o in re.findall(r"<option\b[^>]*>", body)][:1]
        several = " multiple" in tag
        values[_of(tag, "name")] = chosen if several else (chosen or first or [""])[0]
    return {name: value for name, value in values.items() if name and name != "csrf_token"}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _of(tag: str, attribute: str) -> str:
    found = re.search(rf'\b{attribute}="([^"]*)"', tag)
    return _plain(found[1]) if found else ""


def _plain(text: str) -> str:
    for escaped, char in (
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&#34;", '"'),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ):
        text = text.replace(escaped, char)
    return text
