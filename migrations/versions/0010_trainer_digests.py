"""Trainer digests

Who chose one letter a day got none so far. What happened until now is no news: each digest begins
with what comes. The schedules that send them are made when the scheduler starts.

Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None

TASK = 'TrainerDigestTask'


def upgrade() -> None:
    op.add_column('training_trainer', sa.Column('told_seq', sa.Integer(), server_default='0', nullable=False))
    op.execute(
        'UPDATE training_trainer SET told_seq ='
        ' (SELECT history_seq FROM training WHERE training.id = training_trainer.training_id)'
    )


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
