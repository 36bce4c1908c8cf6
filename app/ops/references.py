"""The references of `docs/`, written from what the code says: `make docs` (rulings RE5).

REST from the description that programs read, tables from the models, variables from `.env.example`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from app.extensions import Model, db

ROOT = Path(__file__).parent.parent.parent
DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
WRITTEN = "<!-- Written by make docs; what stands here is changed in the code. -->"


def pages(description: Mapping[str, Any]) -> dict[str, str]:
    """Each page by its name in `docs/`; `description` is what the REST says of itself."""
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    return {
        "rest-api.md": "\n".join(rest_api(description)),
        "database.md": "\n".join(database()),
        "environment.md": "\n".join(environment(example)),
    }


def _begin(title: str, *about: str) -> list[str]:
    return [f"# {title}", "", WRITTEN, "", *about, ""]


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    head = list(header)
    lines = [" | ".join(_cell(cell) for cell in row) for row in rows]
    return [
        f"| {' | '.join(head)} |",
        "|" + "---|" * len(head),
        *(f"| {line} |" for line in lines),
        "",
    ]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


# --- REST ----------------------------------------------------------------------------------------


def rest_api(description: Mapping[str, Any]) -> Iterator[str]:
    """Every address with what it takes and answers, then the objects by name."""
    yield from _begin(
        "REST",
        "A running server describes itself at `/openapi/`. Programs send a key as `X-API-Key` or",
        "`Authorization: Bearer`; `flask apikeys create` makes one. Errors are",
        "`application/problem+json`. What is marked with `!` is required.",
    )
    for path, acts in sorted(description["paths"].items()):
        for method, act in acts.items():
            yield from _act(method, path, act)
    yield "## Objects"
    yield ""
    for name, schema in sorted(description["components"]["schemas"].items()):
        yield f"### {name}"
        yield ""
        if said := schema.get("description"):
            yield from (" ".join(said.split()), "")
        yield from _properties(schema)


def _act(method: str, path: str, act: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {method.upper()} {path}"
    yield ""
    yield from (act.get("summary", ""), "")
    if parameters := act.get("parameters"):
        rows = [
            (_name(p["name"], p.get("required")), p["in"], _type(p["schema"])) for p in parameters
        ]
        yield from _table(("parameter", "in", "type"), rows)
    for content in act.get("requestBody", {}).get("content", {}).values():
        yield from (f"Body: {_type(content['schema'])}", "")
    answers = sorted(act["responses"].items())
    good = [f"{code} {_answer(answer)}".strip() for code, answer in answers if code < "400"]
    bad = [code for code, _ in answers if code >= "400"]
    yield from (f"Answers {', '.join(good)}. Refuses with {', '.join(bad)}.", "")


def _answer(answer: Mapping[str, Any]) -> str:
    found = [_type(content["schema"]) for content in answer.get("content", {}).values()]
    return " or ".join(found)


def _properties(schema: Mapping[str, Any]) -> list[str]:
    required = schema.get("required", ())
    rows = [
        (_name(name, name in required), _type(one), _example(one))
        for name, one in schema.get("properties", {}).items()
    ]
    if not rows:
        return [_type(schema), ""]
    return _table(("field", "type", "example"), rows)


def _name(name: str, required: Any) -> str:
    return f"`{name}`{'!' if required else ''}"


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        items = schema.get("items", {})
        return f"list of {items.get('title') if items.get('properties') else _type(items)}"
    kind = str(schema.get("type", "any"))
    limits = [
        f"{sign} {schema[key]:.0f}"
        for key, sign in (("minimum", "≥"), ("maximum", "≤"))
        if key in schema
    ]
    return ", ".join([kind, *limits])


def _example(schema: Mapping[str, Any]) -> str:
    examples = schema.get("examples") or ()
    return f"`{examples[0]}`" if examples else ""


# --- tables --------------------------------------------------------------------------------------


def database() -> Iterator[str]:
    """Every table with its columns, as PostgreSQL has them."""
    yield from _begin(
        "Tables",
        "Instants are UTC. SQLite has the same columns and constraints; its types are its own.",
        "Migrations stand in `migrations/versions`.",
    )
    said = {mapper.local_table: mapper.class_.__doc__ for mapper in Model.registry.mappers}
    for table in sorted(db.metadata.tables.values(), key=lambda table: table.name):
        yield f"## {table.name}"
        yield ""
        if about := said.get(table):
            yield from (" ".join(about.split()), "")
        yield from _table(
            ("column", "type", "null", "key"),
            [
                (
                    f"`{column.name}`",
                    column.type.compile(DIALECT).lower(),
                    "yes" if column.nullable else "",
                    _key(column),
                )
                for column in table.columns
            ],
        )


def _key(column: sa.Column[Any]) -> str:
    to = sorted(f"→ {key.target_fullname}" for key in column.foreign_keys)
    return ", ".join([*(["primary"] if column.primary_key else []), *to])


# --- variables -----------------------------------------------------------------------------------


def environment(example: str) -> Iterator[str]:
    """Every variable with its default and what it means, in the order of the example."""
    yield from _begin(
        "Environment",
        "Read once, at the start; the environment wins over `.env`. A value that cannot be stops",
        "the start with a sentence that names its variable.",
    )
    rows: list[tuple[str, str, str]] = []
    meaning: list[str] = []
    for line in example.splitlines():
        if line.startswith("# ---"):
            yield from _variables(rows)
            rows = []
            yield from (f"## {line.strip('#- ')}", "")
        elif line.startswith("#"):
            meaning.append(line.removeprefix("#").strip())
            continue
        elif "=" in line:
            name, _, default = line.partition("=")
            rows.append((f"`{name}`", f"`{default}`" if default else "", " ".join(meaning)))
        meaning = []
    yield from _variables(rows)


def _variables(rows: list[tuple[str, str, str]]) -> list[str]:
    return _table(("variable", "default", "means"), rows) if rows else []


# --- written -------------------------------------------------------------------------------------


def write(description: Mapping[str, Any], folder: Path = ROOT / "docs") -> list[str]:
    """Write those that changed; their names."""
    changed = []
    for name, text in pages(description).items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(name)
    return changed


def main() -> int:
    """Write all; say which changed."""
    from app import create_app
    from config import load

    of_nobody = {"sqlalchemy_database_uri": "sqlite:///never_opened.db", "secret_key": "nobody's"}
    app: Any = create_app(load(_env_file=None, **of_nobody))
    for name in write(app.api_doc):
        print(f"docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
