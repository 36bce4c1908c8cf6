"""Ledgers that cost less

A letter or a line of history is one of thousands that are written while a training's lock is held,
and a third of that time went into foreign keys. Three of them said what others say already: whose
enrolment it is stands in the enrolment, which its history keeps; whoever has an account keeps it.

Revises: 0005
"""

import re
from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None

KEYS = (  # table, column, what it pointed at, how
    ('enrolment_history', 'student_id', 'student', 'RESTRICT'),
    ('outbox', 'enrolment_id', 'training_enroll', None),
    ('outbox', 'user_id', 'users', None),
)


def upgrade() -> None:
    if op.get_bind().dialect.name == 'sqlite':
        for table in ('enrolment_history', 'outbox'):
            _rebuild(table, without=[_name(*key[:3]) for key in KEYS if key[0] == table])
        return
    for table, column, target, _ in KEYS:
        op.drop_constraint(_name(table, column, target), table, type_='foreignkey')


def downgrade() -> None:
    if op.get_bind().dialect.name == 'sqlite':
        for table in ('enrolment_history', 'outbox'):
            _rebuild(table, and_=[_clause(*key) for key in KEYS if key[0] == table])
        return
    for table, column, target, ondelete in KEYS:
        op.create_foreign_key(
            _name(table, column, target), table, target, [column], ['id'], ondelete=ondelete
        )


def _name(table: str, column: str, target: str) -> str:
    return op.f(f'fk_{table}_{column}_{target}')


def _clause(table: str, column: str, target: str, ondelete: str | None) -> str:
    then = f' ON DELETE {ondelete}' if ondelete else ''
    name = _name(table, column, target)
    return f'CONSTRAINT {name} FOREIGN KEY({column}) REFERENCES {target} (id){then}'


def _rebuild(table: str, without: Sequence[str] = (), and_: Sequence[str] = ()) -> None:
    """SQLite's way to change a key: a table made anew by its own words, so that no CHECK is lost.

    Alembic's batch mode would read the table back and forget those.
    """
    made = _words("type = 'table' AND name = :table", table)[0]
    indexes = _words("type = 'index' AND sql IS NOT NULL AND tbl_name = :table", table)
    for name in without:
        clause = rf',\s*CONSTRAINT "?{name}"? FOREIGN KEY\s*\([^)]*\) REFERENCES \w+\s*\([^)]*\)'
        made, found = re.subn(clause + r'( ON DELETE \w+)?', '', made)
        assert found == 1, f'{name} is not in {made}'
    for clause in and_:
        made = f'{made.rstrip().removesuffix(")")}, {clause})'
    anew = f'{table}_anew'
    run = op.get_bind().exec_driver_sql
    run(re.sub(rf'^CREATE TABLE "?{table}"?', f'CREATE TABLE {anew}', made))
    run(f'INSERT INTO {anew} SELECT * FROM {table}')
    run(f'DROP TABLE {table}')
    run(f'ALTER TABLE {anew} RENAME TO {table}')
    for index in indexes:
        run(index)


def _words(which: str, table: str) -> list[str]:
    words = sa.text(f'SELECT sql FROM sqlite_master WHERE {which}')
    return list(op.get_bind().scalars(words, {'table': table}))
