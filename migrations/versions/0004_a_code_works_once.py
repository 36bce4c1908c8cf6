"""A code works once

Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('users', sa.Column('totp_counter', sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column('users', 'totp_counter')
