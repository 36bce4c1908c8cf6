"""Trainer digests

Who chose one letter a day got none so far. What happened until now is no news: each digest begins
with what comes. Each practice gets the schedule that sends them, at 18:00 by its own clock.

Revises: 0008
"""

import uuid

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None

TASK, NAME = 'TrainerDigestTask', 'Daily Trainer Digest'
CLASSES = uuid.UUID('5e0c1c5e-7d3b-5c0e-9b7a-0d2f6f0e9a41')  # the namespace of task classes

classes = sa.table('automation_classes', *map(sa.column, ('id', 'workflow_id', 'class_name')))
schedules = sa.table(
    'automation_schedule',
    *map(sa.column, ('id', 'schedule_id', 'name', 'practice_id', 'automation_class_id')),
    *map(sa.column, ('beforeafter', 'schedule_type', 'created_via', 'deleted_at')),
    sa.column('schedule_config', sa.JSON().with_variant(postgresql.JSONB(), 'postgresql')),
    sa.column('task_config', sa.JSON().with_variant(postgresql.JSONB(), 'postgresql')),
    sa.column('context_data', sa.JSON().with_variant(postgresql.JSONB(), 'postgresql')),
    sa.column('active', sa.Boolean), sa.column('created_at', sa.DateTime(timezone=True)),
)


def upgrade() -> None:
    op.add_column('training_trainer', sa.Column('told_seq', sa.Integer(), server_default='0', nullable=False))
    op.execute(
        'UPDATE training_trainer SET told_seq ='
        ' (SELECT history_seq FROM training WHERE training.id = training_trainer.training_id)'
    )
    practices = sa.table('practice', sa.column('id'))
    ids = op.get_bind().scalars(sa.select(practices.c.id).order_by(practices.c.id)).all()
    for practice_id in ids:
        _ship(practice_id)


def downgrade() -> None:
    # The release before has neither the task nor the letters: nothing of them would ever end.
    theirs = (
        'SELECT s.id FROM automation_schedule s JOIN automation_classes c'
        f" ON c.id = s.automation_class_id WHERE c.class_name = '{TASK}'"
    )
    for link in ('on_success_schedule_id', 'on_failure_schedule_id'):
        op.execute(f'UPDATE automation_schedule SET {link} = NULL WHERE {link} IN ({theirs})')
    for table in ('automation_run', 'automation_schedule_type'):
        op.execute(f'DELETE FROM {table} WHERE schedule_id IN ({theirs})')
    op.execute(f'DELETE FROM automation_schedule WHERE id IN ({theirs})')
    op.execute(
        "DELETE FROM outbox WHERE ended_at IS NULL AND kind IN ('trainer_digest', 'minimum_alert')"
    )
    op.drop_column('training_trainer', 'told_seq')


def _ship(practice_id: int) -> None:
    op.execute(schedules.insert().values(
        schedule_id=str(uuid.uuid4()), name=_free_name(practice_id), practice_id=practice_id,
        automation_class_id=_class_id(), beforeafter='after', schedule_type='daily', created_via='code',
        schedule_config={'hour': 18, 'minute': 0}, task_config={}, context_data={}, active=True,
        created_at=sa.func.current_timestamp(),
    ))


def _class_id() -> int:
    mine = sa.select(classes.c.id).where(classes.c.class_name == TASK)
    if (found := op.get_bind().scalar(mine)) is None:
        op.execute(classes.insert().values(
            workflow_id=str(uuid.uuid5(CLASSES, TASK)), class_name=TASK,
        ))
        found = op.get_bind().scalar(mine)
    return found


def _free_name(practice_id: int) -> str:
    """Names are unique among the schedules that are not deleted."""
    taken = set(op.get_bind().scalars(
        sa.select(schedules.c.name).where(schedules.c.deleted_at.is_(None))
    ))
    names = (NAME, f'{NAME} {practice_id}', f'{NAME} {uuid.uuid4()}')
    return next(name for name in names if name not in taken)
