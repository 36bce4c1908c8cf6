"""Policies

Each practice gets the two that the product ships. They name no type yet, so nothing changes until
an administrator says for which types they hold.

Revises: 0007
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None

KINDS = ('booking_limit', 'cancellation_window')
SHIPPED = (
    (
        'max-2-sessions-4-weeks', 'booking_limit', {'max': 2, 'days': 28},
        'You can have 2 trainings of one type within 4 weeks, so that there is room for everybody.',
        'Je kunt binnen 4 weken aan 2 trainingen van één soort meedoen, zodat er plaats is voor iedereen.',
    ),
    (
        '24h-cancellation', 'cancellation_window', {'hours': 24},
        'Cancel at least 24 hours before the start, so that somebody else can take your place.',
        'Meld je uiterlijk 24 uur voor het begin af, zodat een ander je plaats kan innemen.',
    ),
)


def upgrade() -> None:
    op.create_table('policy',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('practice_id', sa.Integer(), nullable=False),
    sa.Column('name', sa.String(length=80), nullable=False),
    sa.Column('kind', sa.Enum(*KINDS, name='kind', native_enum=False, create_constraint=True, length=40), nullable=False),
    sa.Column('parameters', _json(), nullable=False),
    sa.Column('text_en', sa.Text(), nullable=False),
    sa.Column('text_nl', sa.Text(), server_default='', nullable=False),
    sa.Column('active', sa.Boolean(), server_default=sa.true(), nullable=False),
    sa.Column('version', sa.Integer(), server_default='1', nullable=False),
    sa.ForeignKeyConstraint(['practice_id'], ['practice.id'], name=op.f('fk_policy_practice_id_practice')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_policy')),
    sa.UniqueConstraint('practice_id', 'name', name=op.f('uq_policy_practice_id_name'))
    )
    op.create_table('policy_type',
    sa.Column('policy_id', sa.Integer(), nullable=False),
    sa.Column('training_type_id', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['policy_id'], ['policy.id'], name=op.f('fk_policy_type_policy_id_policy')),
    sa.ForeignKeyConstraint(['training_type_id'], ['training_type.id'], name=op.f('fk_policy_type_training_type_id_training_type')),
    sa.PrimaryKeyConstraint('policy_id', 'training_type_id', name=op.f('pk_policy_type'))
    )
    op.create_index(op.f('ix_policy_type_training_type_id'), 'policy_type', ['training_type_id'], unique=False)
    op.add_column('training', sa.Column('limit_waived_at', sa.DateTime(timezone=True), nullable=True))
    for one in SHIPPED:
        _ship(*one)


def downgrade() -> None:
    op.drop_column('training', 'limit_waived_at')
    op.drop_table('policy_type')
    op.drop_table('policy')


def _json() -> sa.types.TypeEngine:
    return sa.JSON().with_variant(postgresql.JSONB(), 'postgresql')


def _ship(name: str, kind: str, parameters: dict[str, int], text_en: str, text_nl: str) -> None:
    practices = sa.table('practice', sa.column('id', sa.Integer))
    columns = ('practice_id', 'name', 'kind', 'text_en', 'text_nl')
    policies = sa.table('policy', *map(sa.column, columns), sa.column('parameters', _json()))
    rows = sa.select(
        practices.c.id, sa.literal(name), sa.literal(kind), sa.literal(text_en), sa.literal(text_nl),
        sa.literal(parameters, _json()),
    )
    op.execute(policies.insert().from_select([*columns, 'parameters'], rows))
