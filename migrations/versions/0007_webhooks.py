"""Programs are told what schedules do

What they are told stands in the outbox; going down takes with it what had no other reader.

Revises: 0006
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    json = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), 'postgresql')
    op.create_table('webhook',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('uuid', sa.String(length=36), nullable=False),
    sa.Column('practice_id', sa.Integer(), nullable=True),
    sa.Column('user_id', sa.Integer(), nullable=True),
    sa.Column('name', sa.String(length=100), nullable=False),
    sa.Column('url', sa.String(length=500), nullable=False),
    sa.Column('secret', sa.String(length=100), nullable=False),
    sa.Column('types', json, nullable=False),
    sa.Column('active', sa.Boolean(), server_default=sa.true(), nullable=False),
    sa.Column('off_because', sa.String(length=200), nullable=True),
    sa.Column('created_by', sa.String(length=80), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint('length(name) BETWEEN 1 AND 100', name=op.f('ck_webhook_name_length')),
    sa.CheckConstraint("substr(url, 1, 8) = 'https://'", name=op.f('ck_webhook_https')),
    sa.ForeignKeyConstraint(['practice_id'], ['practice.id'], name=op.f('fk_webhook_practice_id_practice')),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_webhook_user_id_users')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_webhook')),
    sa.UniqueConstraint('uuid', name=op.f('uq_webhook_uuid'))
    )
    op.create_index(op.f('ix_webhook_practice_id'), 'webhook', ['practice_id'], unique=False)
    op.create_index(op.f('ix_webhook_user_id'), 'webhook', ['user_id'], unique=False)


def downgrade() -> None:
    # The release before knows no such channel: it would neither send nor end them.
    op.execute("DELETE FROM outbox WHERE substr(channel, 1, 8) = 'webhook:'")
    op.execute("DELETE FROM channel_state WHERE substr(channel, 1, 8) = 'webhook:'")
    op.drop_table('webhook')
