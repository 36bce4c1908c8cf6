"""The texts of letters, which administrators may edit: what they may say is listed here (SE11).

A text is refused when it is saved and again before it is rendered: the parsed tree holds listed
nodes only, names are those of the letter, and what it is given are plain values. No attribute of a
Python object is ever read: `a.b` looks `b` up in a dictionary and nowhere else.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from flask_babel import format_datetime
from flask_babel import lazy_gettext as _l
from jinja2 import StrictUndefined, Template, TemplateSyntaxError, Undefined, nodes
from jinja2.exceptions import TemplateError
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from app.services.refusals import Refusal

LONGEST_TEXT = 64 * 1024  # bytes, of a text and of what it makes
LONGEST_SUBJECT = 200
LONGEST_RENDERING = 1.0  # seconds
MOST_ROUNDS = 50_000  # of all loops of one rendering
DEEPEST_LOOP = 2
DEEPEST_TREE = 40

# What a loop may run over, and what its `loop` tells.
LISTS = frozenset({"events", "attendees", "trainings"})
LOOP_FACTS = frozenset({"first", "last", "index", "length"})
TESTS = frozenset({"defined", "undefined", "none", "string", "number", "eq", "ne", "odd", "even"})

ALLOWED: tuple[type[nodes.Node], ...] = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Getattr,
    nodes.Const,
    nodes.If,
    nodes.CondExpr,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Test,
    nodes.For,
    nodes.Filter,
)


class BadText(Refusal):
    """A text of a letter that we neither save nor render; `line` counts from 1."""

    code, status = "bad_text", 400
    sentence = _l("Line %(line)s: %(why)s.")

    def __init__(self, line: int | None, why: Any) -> None:
        super().__init__(line=line or 1, why=why)
        self.line = line or 1  # some nodes know none


class TextFailed(Exception):
    """A text that could not be rendered; says why in words without anything of the reader's."""


# --- checking ------------------------------------------------------------------------------------


def check(source: str, names: Collection[str], *, html: bool = False) -> None:
    """Let pass what a letter may say; `names` are its variables. Raises `BadText`."""
    _compiled(source, frozenset(names), html)


def check_subject(source: str, names: Collection[str]) -> None:
    """The same for a subject: one line, not blank, short. Raises `BadText`."""
    if not source.strip():
        raise BadText(1, _l("the subject is empty"))
    if len(source.splitlines()) > 1 or any(ord(sign) < 32 for sign in source):
        raise BadText(1, _l("a subject has one line"))
    if len(source) > LONGEST_SUBJECT:
        raise BadText(1, _l("a subject has at most 200 characters"))
    check(source, names)


def check_letter(
    subject: str, text: str, html: str, names: Collection[str], sample: Mapping[str, Any]
) -> None:
    """Whether a whole letter may be saved: checked, and rendered with a sample. Raises `BadText`.

    What a sample shows: an unknown field, a test that fails, a text that comes out blank.
    """
    check_subject(subject, names)
    check(text, names)
    check(html, names, html=True)
    for source, is_html in ((subject, False), (text, False), (html, True)):
        try:
            made = render(source, sample, html=is_html, names=names)
        except TextFailed as error:
            raise BadText(1, str(error)) from error
        if is_blank(made, html=is_html):
            raise BadText(1, _l("the text is empty"))


def variables(source: str, names: Collection[str], *, html: bool = False) -> set[str]:
    """The variables that a text uses. Raises `BadText`."""
    tree = _tree(source, frozenset(names), html)
    return {node.name for node in tree.find_all(nodes.Name)} & set(names)


def _tree(source: str, names: frozenset[str], html: bool) -> nodes.Template:
    if len(source.encode("utf-8", "replace")) > LONGEST_TEXT:
        raise BadText(1, _l("the text is longer than 64 kB"))
    try:
        tree = ENVIRONMENTS[html].parse(source)
    except TemplateSyntaxError as error:
        raise BadText(error.lineno, error.message) from error
    except (RecursionError, ValueError, OverflowError) as error:  # brackets, endless numbers
        raise BadText(1, _l("this is too deeply nested, or a number too long")) from error
    _check_node(tree, names, 0, 0)
    return tree


def _check_node(node: nodes.Node, names: frozenset[str], loops: int, depth: int) -> None:
    """Refuse what is not listed; `names` are those that may be read here."""
    if not isinstance(node, ALLOWED):
        raise BadText(node.lineno, _l("a letter may not use this: ") + type(node).__name__)
    if depth > DEEPEST_TREE:
        raise BadText(node.lineno, _l("this is too deeply nested"))
    if isinstance(node, nodes.For):
        names, loops = _check_loop(node, names, loops), loops + 1
    _check_leaf(node, names)
    for child in node.iter_child_nodes():
        _check_node(child, names, loops, depth + 1)


def _check_leaf(node: nodes.Node, names: frozenset[str]) -> None:
    if isinstance(node, nodes.Name) and node.name not in names:
        raise BadText(node.lineno, _l("there is no variable called ") + node.name)
    if isinstance(node, nodes.Getattr):
        _check_attribute(node)
    if isinstance(node, nodes.Filter):
        _check_filter(node)
    if isinstance(node, nodes.Test) and node.name not in TESTS:
        raise BadText(node.lineno, _l("there is no test called ") + node.name)


def _check_attribute(node: nodes.Getattr) -> None:
    of_loop = isinstance(node.node, nodes.Name) and node.node.name == "loop"
    if node.attr.startswith("_") or (of_loop and node.attr not in LOOP_FACTS):
        raise BadText(node.lineno, _l("a letter may not read ") + node.attr)


def _check_filter(node: nodes.Filter) -> None:
    if node.node is None or node.name not in FILTERS:
        raise BadText(node.lineno, _l("there is no filter called ") + node.name)
    if node.kwargs or node.dyn_args is not None or node.dyn_kwargs is not None:
        raise BadText(node.lineno, _l("a filter takes plain values only"))


def _check_loop(node: nodes.For, names: frozenset[str], loops: int) -> frozenset[str]:
    """What may be read inside this loop."""
    over = isinstance(node.iter, nodes.Name) and node.iter.name in LISTS & names
    named = isinstance(node.target, nodes.Name) and node.target.name not in names
    if loops >= DEEPEST_LOOP or node.recursive or not over or not named:
        raise BadText(
            node.lineno,
            _l(
                "a loop runs over events, attendees or trainings, under a new name,"
                " at most two deep"
            ),
        )
    assert isinstance(node.target, nodes.Name)  # noqa: S101  just asked
    return names | {node.target.name, "loop"}


# --- rendering -----------------------------------------------------------------------------------


def render(
    source: str, facts: Mapping[str, Any], *, html: bool = False, names: Collection[str] = ()
) -> str:
    """The text with the facts put in, escaped in HTML. Raises `BadText` or `TextFailed`.

    `names` are the letter's variables, by default those of `facts`. Dates are said in the locale
    that is in force.
    """
    template = _compiled(source, frozenset(names or facts), html)
    until = time.monotonic() + LONGEST_RENDERING
    try:
        return _joined(template.generate(**_counted(facts)), until)
    except TextFailed:
        raise
    except Exception as error:  # what people write fails in ways that nobody foresees
        raise TextFailed(_in_words(error)) from error


def subject_line(text: str) -> str:
    """One line of at most 200 characters, whatever stood in the facts (SE12)."""
    return " ".join(text.split())[:LONGEST_SUBJECT].rstrip()


def is_blank(text: str, *, html: bool = False) -> bool:
    """Whether a reader would see nothing (waitlist WM4)."""
    seen = UNSEEN_HTML.sub("", text) if html else text
    return not UNSEEN.sub("", seen)


UNSEEN_HTML = re.compile(r"(?is)<(style|script|head)\b.*?</\1>|<!--.*?-->|<[^>]*>|&nbsp;|&#160;")
UNSEEN = re.compile(r"[\s\u00ad\u200b-\u200f\u2060\ufeff]+")


def _joined(pieces: Iterator[str], until: float) -> str:
    made, size = [], 0
    for piece in pieces:
        made.append(piece)
        size += len(piece)
        if size > LONGEST_TEXT or time.monotonic() > until:
            raise TextFailed("it makes more than 64 kB, or takes longer than a second")
    return "".join(made)


def _in_words(error: Exception) -> str:
    """What failed, without the values it failed on: those may be a person's."""
    said = str(error) if isinstance(error, TemplateError) else ""
    return f"{type(error).__name__}: {said}".rstrip(": ")


@lru_cache(maxsize=512)
def _compiled(source: str, names: frozenset[str], html: bool) -> Template:
    tree = _tree(source, names, html)
    try:
        return ENVIRONMENTS[html].from_string(tree)
    except TemplateSyntaxError as error:
        raise BadText(error.lineno, error.message) from error
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        raise BadText(1, _l("this is too deeply nested")) from error


class _Rounds:
    """How many rounds the loops of one rendering may still take."""

    left = MOST_ROUNDS


class _Counted(list[Any]):
    """A list that ends a rendering which runs over it too often."""

    rounds = _Rounds()

    def __iter__(self) -> Iterator[Any]:
        for thing in super().__iter__():
            self.rounds.left -= 1
            if self.rounds.left < 0:
                raise TextFailed("its loops take too many rounds")
            yield thing


def _counted(facts: Mapping[str, Any]) -> dict[str, Any]:
    rounds, counted = _Rounds(), dict(facts)
    for name in LISTS & facts.keys():
        counted[name] = _Counted(facts[name])
        counted[name].rounds = rounds
    return counted


# --- what a text may call ------------------------------------------------------------------------


def _default(value: Any, otherwise: Any = "", _blank_too: Any = True) -> Any:
    return otherwise if isinstance(value, Undefined) or not value else value


def _join(things: Any, between: str = "") -> Any:
    if not isinstance(things, list):  # a text joined with itself grows without end
        raise TextFailed("join takes a list")
    return str(between).join(str(thing) for thing in things)


def _first(things: Any) -> Any:
    return _listed(things)[0]


def _last(things: Any) -> Any:
    return _listed(things)[-1]


def _listed(things: Any) -> list[Any]:
    if not isinstance(things, list) or not things:
        raise TextFailed("there is no such list, or it is empty")
    return things


def _instant(text: Any) -> datetime:
    return datetime.fromisoformat(str(text))


def _date(instant: Any) -> str:
    return str(format_datetime(_instant(instant), DATE, rebase=False))


def _time(instant: Any) -> str:
    return str(format_datetime(_instant(instant), TIME, rebase=False))


def _money(amount: Any) -> str:
    """12.5 -> 12.50; the text names the currency."""
    try:
        return f"{Decimal(str(amount)):,.2f}"
    except InvalidOperation as error:
        raise TextFailed("money takes a number") from error


def _text(change: Callable[[str], str]) -> Callable[[Any], Any]:
    """A filter that makes a text of a text; in HTML it is escaped afterwards, like any other."""

    def changed(value: Any) -> Any:
        return change(str(value))

    return changed


DATE, TIME = "EEE d MMMM y", "HH:mm"
FILTERS: dict[str, Callable[..., Any]] = {
    "default": _default,
    "upper": _text(str.upper),
    "lower": _text(str.lower),
    "title": _text(str.title),
    "trim": _text(str.strip),
    "length": len,
    "first": _first,
    "last": _last,
    "join": _join,
    "date": _date,
    "time": _time,
    "money": _money,
}


class _Plain(ImmutableSandboxedEnvironment):
    """Looks names up in dictionaries, and in nothing else."""

    def __init__(self, *, html: bool) -> None:
        super().__init__(
            autoescape=html,
            undefined=StrictUndefined,
            keep_trailing_newline=True,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=_printable,
            cache_size=0,
        )
        self.globals.clear()
        self.filters = dict(FILTERS)
        self.tests = {name: self.tests[name] for name in TESTS}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`obj.attribute`: a key of a dictionary, or one of the facts of a loop."""
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        if isinstance(obj, LoopContext) and attribute in LOOP_FACTS:
            return getattr(obj, attribute)
        return self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """`obj[argument]` is no part of the language."""
        return self.undefined(obj=obj, name=str(argument))

    def call(self, *_: Any, **__: Any) -> Any:
        """Nothing is ever called."""
        raise TextFailed("a letter may not call anything")


def _printable(value: Any) -> Any:
    if isinstance(value, (str, int, float, Undefined)):
        return value
    raise TextFailed(f"it prints a {type(value).__name__}")


ENVIRONMENTS = {html: _Plain(html=html) for html in (False, True)}
