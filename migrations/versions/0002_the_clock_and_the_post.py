"""The clock and the post

Columns come and go by ALTER TABLE alone: SQLite's batch mode would copy a table without its CHECKs.

Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('channel_state',
    sa.Column('channel', sa.String(length=20), nullable=False),
    sa.Column('paused_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('failures', sa.Integer(), server_default='0', nullable=False),
    sa.Column('tokens', sa.Double(), nullable=True),
    sa.Column('refilled_at', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('channel', name=op.f('pk_channel_state'))
    )
    op.add_column('outbox', sa.Column('first_tried_at', sa.DateTime(timezone=True), nullable=True))
    failing = sa.text('ended_at IS NULL AND last_error IS NOT NULL')
    op.create_index('ix_outbox_failing', 'outbox', ['enrolment_id'], unique=False, postgresql_where=failing, sqlite_where=failing)
    op.create_table('scheduler_epoch',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('epoch', sa.Integer(), server_default='0', nullable=False),
    sa.Column('environment', sa.String(length=20), nullable=True),
    sa.Column('holder', sa.String(length=200), nullable=True),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('seen_at', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_scheduler_epoch'))
    )
    op.create_table('setback',
    sa.Column('duty', sa.String(length=60), nullable=False),
    sa.Column('item', sa.String(length=100), nullable=False),
    sa.Column('failures', sa.Integer(), nullable=False),
    sa.Column('not_before', sa.DateTime(timezone=True), nullable=False),
    sa.Column('error', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('duty', 'item', name=op.f('pk_setback'))
    )
    op.create_table('system_duty',
    sa.Column('name', sa.String(length=60), nullable=False),
    sa.Column('last_run_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('last_error', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_system_duty'))
    )
    op.create_table('link_token',
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('purpose', sa.String(length=20), nullable=False),
    sa.Column('enrolment_id', sa.Integer(), nullable=False),
    sa.Column('user_id', sa.Integer(), nullable=False),
    sa.Column('invite_no', sa.Integer(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['enrolment_id'], ['training_enroll.id'], name=op.f('fk_link_token_enrolment_id_training_enroll')),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_link_token_user_id_users')),
    sa.PrimaryKeyConstraint('digest', name=op.f('pk_link_token'))
    )
    op.create_index(op.f('ix_link_token_enrolment_id'), 'link_token', ['enrolment_id'], unique=False)
    op.create_index(op.f('ix_link_token_user_id'), 'link_token', ['user_id'], unique=False)

    op.add_column('automation_run', sa.Column('trigger', sa.String(length=20), server_default='schedule', nullable=False))
    op.add_column('automation_run', sa.Column('not_before', sa.DateTime(timezone=True), nullable=True))
    op.add_column('automation_run', sa.Column('interruptions', sa.Integer(), server_default='0', nullable=False))
    op.add_column('automation_run', sa.Column('deadline_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('automation_run', sa.Column('duration_ms', sa.Integer(), nullable=True))
    op.add_column('automation_run', sa.Column('worker', sa.String(length=100), nullable=True))
    op.add_column('automation_run', sa.Column('messages_sent', sa.Integer(), server_default='0', nullable=False))
    op.add_column('automation_run', sa.Column('error_type', sa.String(length=200), nullable=True))
    op.create_index('ix_automation_run_status', 'automation_run', ['status', 'not_before'], unique=False)

    op.add_column('automation_schedule', sa.Column('misfire_grace_time', sa.Integer(), nullable=True))
    op.add_column('automation_schedule', sa.Column('timeout_seconds', sa.Integer(), nullable=True))
    op.add_column('automation_schedule', sa.Column('last_execution_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('automation_schedule', sa.Column('last_execution_id', sa.String(length=36), nullable=True))
    op.add_column('automation_schedule', sa.Column('last_run_status', sa.String(length=20), nullable=True))
    op.add_column('automation_schedule', sa.Column('last_run_error', sa.Text(), nullable=True))
    op.add_column('automation_schedule', sa.Column('execution_count', sa.Integer(), server_default='0', nullable=False))
    op.add_column('automation_schedule', sa.Column('consecutive_failures', sa.Integer(), server_default='0', nullable=False))



def downgrade() -> None:
    op.drop_column('automation_schedule', 'consecutive_failures')
    op.drop_column('automation_schedule', 'execution_count')
    op.drop_column('automation_schedule', 'last_run_error')
    op.drop_column('automation_schedule', 'last_run_status')
    op.drop_column('automation_schedule', 'last_execution_id')
    op.drop_column('automation_schedule', 'last_execution_at')
    op.drop_column('automation_schedule', 'timeout_seconds')
    op.drop_column('automation_schedule', 'misfire_grace_time')

    op.drop_index('ix_automation_run_status', table_name='automation_run')
    op.drop_column('automation_run', 'error_type')
    op.drop_column('automation_run', 'messages_sent')
    op.drop_column('automation_run', 'worker')
    op.drop_column('automation_run', 'duration_ms')
    op.drop_column('automation_run', 'deadline_at')
    op.drop_column('automation_run', 'interruptions')
    op.drop_column('automation_run', 'not_before')
    op.drop_column('automation_run', 'trigger')

    op.drop_index(op.f('ix_link_token_user_id'), table_name='link_token')
    op.drop_index(op.f('ix_link_token_enrolment_id'), table_name='link_token')

    op.drop_table('link_token')
    op.drop_table('system_duty')
    op.drop_table('setback')
    op.drop_table('scheduler_epoch')
    op.drop_table('channel_state')
    op.drop_index('ix_outbox_failing', table_name='outbox')
    op.drop_column('outbox', 'first_tried_at')
