"""Schedules that recur

Rows that exist become schedules of type `event`, complete by the defaults of the new columns; the
code of the release before goes on working on them.

Columns come and go by ALTER TABLE alone: SQLite's batch mode would copy a table without its CHECKs.
What is checked therefore stands in the definition of an added column, also where it is about one
that was there before.

Whoever changes a column that the views show drops them first and makes them anew.

Revises: 0004
"""

from uuid import UUID, uuid5

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None

CLASSES = UUID('5e0c1c5e-7d3b-5c0e-9b7a-0d2f6f0e9a41')
YEAR = 31536000
MOST = 2147483647
DOORS = ('code', 'form', 'scheduler', 'schedules', 'command', 'import')
OF_ALL = sa.text('practice_id IS NULL')


def upgrade() -> None:
    _tables()
    _people()
    _mend()
    _schedules()
    _runs()
    op.execute('UPDATE automation_schedule SET updated_at = created_at')
    _number_classes()
    op.execute(_schedules_view())
    op.execute(WORKFLOWS)


def downgrade() -> None:
    op.execute('DROP VIEW workflows')
    op.execute('DROP VIEW workflow_schedules')
    for name in ('messages_sent', 'trigger'):
        _drop_check_of_older_column('automation_run', name)
    for column in reversed(_run_columns()):
        op.drop_column('automation_run', column.name)

    op.drop_index('ix_automation_schedule_next', table_name='automation_schedule')
    op.drop_index(op.f('ix_automation_schedule_schedule_type'), table_name='automation_schedule')
    for name in OLDER_CHECKED:
        _drop_check_of_older_column('automation_schedule', name)
    for name, _constraint, _table in reversed(KEYS):
        op.drop_column('automation_schedule', name)
    for column in reversed(_schedule_columns()):
        op.drop_column('automation_schedule', column.name)

    for column in ('people_mail_weekly_cap', 'people_mail_daily_cap'):
        op.drop_column('practice', column)
    for column in ('congratulate_since', 'msg_greetings'):
        op.drop_column('user_settings', column)
    for column in ('emergency_contact', 'city', 'postal_code', 'house_number', 'street'):
        op.drop_column('users', column)
    for table in ('api_key', 'profile_review', 'greeting', 'schedule_audit', 'schedule_template', 'system_state'):
        op.drop_table(table)


# --- columns of tables that were there -------------------------------------------------------------


def _add(table: str, columns: list[sa.Column]) -> None:
    for column in columns:
        op.add_column(table, column)


def _check(table: str, name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f'ck_{table}_{name}'))


def _between(column: str, least: int, most: int) -> sa.CheckConstraint:
    return _check('automation_schedule', column, f'{column} BETWEEN {least} AND {most}')


def _one_of(table: str, column: str, values: tuple[str, ...]) -> sa.CheckConstraint:
    told = ', '.join(f"'{value}'" for value in values)
    return _check(table, column, f'{column} IN ({told})')


def _json() -> sa.types.TypeEngine:
    return sa.JSON().with_variant(postgresql.JSONB(), 'postgresql')


def _json_once() -> sa.types.TypeEngine:
    return sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), 'postgresql')


def _at(name: str) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=True)


# Checked in the definition of another column, so that on PostgreSQL they don't go with it.
OLDER_CHECKED = (
    'name_not_of_system', 'description_length', 'execution_count', 'consecutive_failures',
    'misfire_grace_time', 'timeout_seconds',
)


def _schedule_columns() -> list[sa.Column]:
    t = 'automation_schedule'
    return [
        sa.Column(
            'schedule_type', sa.String(length=40),
            _one_of(t, 'schedule_type', ('event', 'cron', 'interval', 'one_time', 'daily', 'weekly', 'chained')),
            _check(t, 'name_not_of_system', "lower(substr(name, 1, 7)) <> 'system:'"),
            _check(t, 'description_length', 'length(description) <= 500'),
            server_default='event', nullable=False,
        ),
        sa.Column('schedule_config', _json(), server_default='{}', nullable=False),
        sa.Column('timezone', sa.String(length=64), nullable=True),
        _at('start_at'),
        sa.Column('end_at', sa.DateTime(timezone=True), _check(t, 'starts_before_it_ends', 'start_at < end_at'), nullable=True),
        _at('anchor_at'),
        sa.Column(
            'next_execution_at', sa.DateTime(timezone=True),
            _check(t, 'next_only_if_active', "next_execution_at IS NULL OR (active AND schedule_type NOT IN ('event', 'chained'))"),
            nullable=True,
        ),
        sa.Column(
            'max_executions', sa.Integer(),
            _between('max_executions', 1, MOST), _between('execution_count', 0, MOST), _between('consecutive_failures', 0, MOST),
            nullable=True,
        ),
        sa.Column('stopped_because', sa.String(length=40), _one_of(t, 'stopped_because', ('paused', 'completed', 'failed')), nullable=True),
        sa.Column('paused_by', sa.String(length=80), nullable=True),
        sa.Column('pause_reason', sa.String(length=500), nullable=True),
        _at('resume_at'),
        sa.Column('dry_run', sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column('context_data', _json(), server_default='{}', nullable=False),
        sa.Column('coalesce', sa.Boolean(), nullable=True),
        sa.Column(
            'max_instances', sa.Integer(),
            _between('max_instances', 1, 100), _between('misfire_grace_time', 0, YEAR), _between('timeout_seconds', 1, 86400),
            nullable=True,
        ),
        sa.Column('overlap_policy', sa.String(length=40), _one_of(t, 'overlap_policy', ('skip', 'queue_one')), server_default='skip', nullable=False),
        sa.Column('retry_max', sa.Integer(), _between('retry_max', 0, 10), nullable=True),
        sa.Column('retry_backoff', sa.String(length=40), _one_of(t, 'retry_backoff', ('exponential', 'fixed')), server_default='exponential', nullable=False),
        sa.Column('retry_base_seconds', sa.Integer(), _between('retry_base_seconds', 1, YEAR), server_default='60', nullable=False),
        sa.Column('retry_cap_seconds', sa.Integer(), _between('retry_cap_seconds', 1, YEAR), server_default='3600', nullable=False),
        sa.Column('created_via', sa.String(length=40), _one_of(t, 'created_via', DOORS), server_default='code', nullable=False),
        sa.Column('created_by', sa.String(length=80), server_default='system', nullable=False),
        sa.Column('updated_by', sa.String(length=80), nullable=True),
        _at('updated_at'),
    ]


KEYS = (
    ('on_success_schedule_id', 'fk_automation_schedule_on_success', 'automation_schedule'),
    ('on_failure_schedule_id', 'fk_automation_schedule_on_failure', 'automation_schedule'),
    ('template_id', 'fk_automation_schedule_template', 'schedule_template'),
)


def _schedules() -> None:
    _add('automation_schedule', _schedule_columns())
    for column, name, table in KEYS:
        op.execute(f'ALTER TABLE automation_schedule ADD COLUMN {column} INTEGER CONSTRAINT {name} REFERENCES {table} (id)')
    op.create_index('ix_automation_schedule_next', 'automation_schedule', ['active', 'next_execution_at'], unique=False)
    op.create_index(op.f('ix_automation_schedule_schedule_type'), 'automation_schedule', ['schedule_type'], unique=False)


def _count(name: str, *more: sa.CheckConstraint) -> sa.Column:
    return sa.Column(name, sa.Integer(), _check('automation_run', name, f'{name} >= 0'), *more, server_default='0', nullable=False)


def _run_columns() -> list[sa.Column]:
    t = 'automation_run'
    return [
        sa.Column('triggered_by', sa.String(length=80), _check(t, 'trigger', "\"trigger\" IN ('schedule', 'manual', 'chain')"), nullable=True),
        sa.Column('parent_execution_id', sa.String(length=36), nullable=True),
        sa.Column('retry_of', sa.String(length=36), nullable=True),
        sa.Column('dry_run', sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column('config_snapshot', _json_once(), nullable=True),
        sa.Column('attempts', _json_once(), server_default='[]', nullable=False),
        _count('missed_count'),
        _count('profiles_visited', _check(t, 'messages_sent', 'messages_sent >= 0')),
        _count('items_found'),
        _count('items_done'),
        _count('items_skipped'),
        _count('items_failed'),
    ]


def _runs() -> None:
    _add('automation_run', _run_columns())


def _people() -> None:
    for name in ('daily', 'weekly'):
        cap = f'people_mail_{name}_cap'
        told = _check('practice', f'people_mail_{name}', f'{cap} BETWEEN 1 AND 2000')
        op.add_column('practice', sa.Column(cap, sa.Integer(), told, server_default={'daily': '15', 'weekly': '100'}[name], nullable=True))
    op.add_column('user_settings', sa.Column('msg_greetings', sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column('user_settings', _at('congratulate_since'))
    for name, length in (('street', 200), ('house_number', 20), ('postal_code', 20), ('city', 100), ('emergency_contact', 200)):
        op.add_column('users', sa.Column(name, sa.String(length=length), nullable=True))


def _drop_check_of_older_column(table: str, name: str) -> None:
    """SQLite drops it with the column in whose definition it stands."""
    if op.get_bind().dialect.name == 'postgresql':
        op.drop_constraint(op.f(f'ck_{table}_{name}'), table)


# --- rows that were there --------------------------------------------------------------------------


def _mend() -> None:
    """Whoever wrote rows past the forms may have left what the new CHECKs refuse."""
    op.execute('UPDATE automation_schedule SET description = substr(description, 1, 500) WHERE length(description) > 500')
    for column, least, most in (('misfire_grace_time', 0, YEAR), ('timeout_seconds', 1, 86400)):
        op.execute(f'UPDATE automation_schedule SET {column} = {least} WHERE {column} < {least}')
        op.execute(f'UPDATE automation_schedule SET {column} = {most} WHERE {column} > {most}')


def _number_classes() -> None:
    """A class has the uuid of its name; until now rows not made by the registry had any."""
    classes = sa.table('automation_classes', sa.column('id'), sa.column('class_name'), sa.column('workflow_id'))
    rows = op.get_bind().execute(sa.select(classes)).all()
    wrong = [row for row in rows if row.workflow_id != str(uuid5(CLASSES, row.class_name))]
    for row in wrong:  # out of each other's way: the column is unique
        op.execute(classes.update().where(classes.c.id == row.id).values(workflow_id=f'0005-{row.id}'))
    for row in wrong:
        number = str(uuid5(CLASSES, row.class_name))
        op.execute(classes.update().where(classes.c.id == row.id).values(workflow_id=number))


# --- tables ----------------------------------------------------------------------------------------


def _tables() -> None:
    op.create_table('system_state',
    sa.Column('id', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('schedules_paused_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('schedules_paused_by', sa.String(length=80), nullable=True),
    sa.Column('schedules_pause_reason', sa.String(length=500), nullable=True),
    sa.CheckConstraint('id = 1', name=op.f('ck_system_state_one_row')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_system_state'))
    )
    op.create_table('schedule_template',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('template_id', sa.String(length=36), nullable=False),
    sa.Column('practice_id', sa.Integer(), nullable=True),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('description', sa.String(length=500), nullable=True),
    sa.Column('automation_class_id', sa.Integer(), nullable=True),
    sa.Column('settings', _json(), nullable=False),
    sa.Column('created_by', sa.String(length=80), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated_by', sa.String(length=80), nullable=True),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('version', sa.Integer(), server_default='1', nullable=False),
    sa.CheckConstraint('length(name) BETWEEN 1 AND 200', name=op.f('ck_schedule_template_name_length')),
    sa.CheckConstraint('length(description) <= 500', name=op.f('ck_schedule_template_description_length')),
    sa.ForeignKeyConstraint(['automation_class_id'], ['automation_classes.id'], name=op.f('fk_schedule_template_automation_class_id_automation_classes')),
    sa.ForeignKeyConstraint(['practice_id'], ['practice.id'], name=op.f('fk_schedule_template_practice_id_practice')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_schedule_template')),
    sa.UniqueConstraint('practice_id', 'name', name=op.f('uq_schedule_template_practice_id_name')),
    sa.UniqueConstraint('template_id', name=op.f('uq_schedule_template_template_id'))
    )
    op.create_index('uq_schedule_template_name_of_all', 'schedule_template', ['name'], unique=True, postgresql_where=OF_ALL, sqlite_where=OF_ALL)
    op.create_table('schedule_audit',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('schedule_id', sa.String(length=36), nullable=False),
    sa.Column('practice_id', sa.Integer(), nullable=True),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('actor', sa.String(length=80), nullable=False),
    sa.Column('via', sa.Enum(*DOORS, name='via', native_enum=False, create_constraint=True, length=40), nullable=False),
    sa.Column('action', sa.String(length=40), nullable=False),
    sa.Column('reason', sa.String(length=500), nullable=True),
    sa.Column('old', _json_once(), nullable=True),
    sa.Column('new', _json_once(), nullable=True),
    sa.ForeignKeyConstraint(['practice_id'], ['practice.id'], name=op.f('fk_schedule_audit_practice_id_practice')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_schedule_audit'))
    )
    op.create_index('ix_schedule_audit_at', 'schedule_audit', ['at'], unique=False)
    op.create_index('ix_schedule_audit_schedule', 'schedule_audit', ['schedule_id', 'at'], unique=False)
    op.create_index(op.f('ix_schedule_audit_practice_id'), 'schedule_audit', ['practice_id'], unique=False)
    op.create_table('greeting',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('user_id', sa.Integer(), nullable=False),
    sa.Column('birthday_year', sa.Integer(), nullable=False),
    sa.Column('practice_id', sa.Integer(), nullable=False),
    sa.Column('days_late', sa.Integer(), server_default='0', nullable=False),
    sa.Column('greeted_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('execution_id', sa.String(length=36), nullable=True),
    sa.CheckConstraint('days_late BETWEEN 0 AND 365', name=op.f('ck_greeting_days_late')),
    sa.ForeignKeyConstraint(['practice_id'], ['practice.id'], name=op.f('fk_greeting_practice_id_practice')),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_greeting_user_id_users')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_greeting')),
    sa.UniqueConstraint('user_id', 'birthday_year', name=op.f('uq_greeting_user_id_birthday_year'))
    )
    op.create_index('ix_greeting_sent', 'greeting', ['practice_id', 'greeted_at'], unique=False)
    op.create_table('profile_review',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('student_id', sa.Integer(), nullable=False),
    sa.Column('execution_id', sa.String(length=36), nullable=False),
    sa.Column('reviewed_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('missing', _json_once(), nullable=False),
    sa.Column('completeness', sa.Integer(), nullable=False),
    sa.Column('days_dormant', sa.Integer(), nullable=True),
    sa.Column('invited', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.CheckConstraint('completeness BETWEEN 0 AND 100', name=op.f('ck_profile_review_completeness')),
    sa.CheckConstraint('days_dormant >= 0', name=op.f('ck_profile_review_days_dormant')),
    sa.ForeignKeyConstraint(['student_id'], ['student.id'], name=op.f('fk_profile_review_student_id_student')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_profile_review')),
    sa.UniqueConstraint('student_id', 'execution_id', name=op.f('uq_profile_review_student_id_execution_id'))
    )
    op.create_index('ix_profile_review_latest', 'profile_review', ['student_id', 'reviewed_at'], unique=False)
    op.create_index('ix_profile_review_reviewed', 'profile_review', ['reviewed_at'], unique=False)
    op.create_table('api_key',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('practice_id', sa.Integer(), nullable=True),
    sa.Column('user_id', sa.Integer(), nullable=True),
    sa.Column('name', sa.String(length=100), nullable=False),
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('first_characters', sa.String(length=4), nullable=False),
    sa.Column('scopes', _json_once(), nullable=False),
    sa.Column('created_by', sa.String(length=80), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_used_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('revoked_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint('length(digest) = 64', name=op.f('ck_api_key_digest_length')),
    sa.CheckConstraint('length(first_characters) = 4', name=op.f('ck_api_key_first_characters')),
    sa.CheckConstraint('length(name) BETWEEN 1 AND 100', name=op.f('ck_api_key_name_length')),
    sa.ForeignKeyConstraint(['practice_id'], ['practice.id'], name=op.f('fk_api_key_practice_id_practice')),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_api_key_user_id_users')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_api_key')),
    sa.UniqueConstraint('digest', name=op.f('uq_api_key_digest'))
    )
    op.create_index(op.f('ix_api_key_practice_id'), 'api_key', ['practice_id'], unique=False)
    op.create_index(op.f('ix_api_key_user_id'), 'api_key', ['user_id'], unique=False)


# --- views -----------------------------------------------------------------------------------------

# The table and the columns that document 004 describes. A view over several tables takes no writes.
SCHEDULES = """
CREATE VIEW workflow_schedules AS
SELECT s.id, s.schedule_id, c.workflow_id, s.schedule_type,
  {cron_expression} AS cron_expression,
  {interval_seconds} AS interval_seconds,
  {scheduled_time} AS scheduled_time,
  s.timezone,
  s.active AND s.paused_at IS NULL AND s.deleted_at IS NULL AS is_active,
  s.next_execution_at, s.last_execution_at, s.last_execution_id,
  s.max_executions, s.execution_count, s.context_data, s.created_at, s.updated_at
FROM automation_schedule s LEFT JOIN automation_classes c ON c.id = s.automation_class_id
"""

WORKFLOWS = """
CREATE VIEW workflows AS
SELECT c.id, c.workflow_id, c.class_name AS name, c.description, c.enabled AS is_active,
  count(s.id) AS schedules
FROM automation_classes c
LEFT JOIN automation_schedule s ON s.automation_class_id = c.id AND s.deleted_at IS NULL
GROUP BY c.id
"""


def _schedules_view() -> str:
    # Our connections trust no schema, and SQLite counts json_extract() among what a view may not use.
    text = number = "(SELECT value FROM json_each(s.schedule_config) WHERE key = '{0}')"
    if op.get_bind().dialect.name == 'postgresql':
        text = "(s.schedule_config ->> '{0}')"
        # What is no number shows as nothing, and hides no other row.
        number = "CASE WHEN jsonb_typeof(s.schedule_config -> '{0}') = 'number' THEN CAST(CAST(s.schedule_config ->> '{0}' AS NUMERIC) AS BIGINT) END"
    return SCHEDULES.format(
        cron_expression=text.format('cron_expression'),
        interval_seconds=number.format('interval_seconds'),
        scheduled_time=text.format('scheduled_time'),
    )
