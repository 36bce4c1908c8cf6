"""The first tables

Revises: 
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('apscheduler_jobs',
    sa.Column('id', sa.String(length=300), nullable=False),
    sa.Column('next_run_time', sa.Double(), nullable=True),
    sa.Column('job_state', sa.LargeBinary(), nullable=False),
    sa.Column('due', sa.DateTime(timezone=True), nullable=True),
    sa.Column('attempts', sa.Integer(), server_default='0', nullable=False),
    sa.Column('claim', sa.String(length=36), nullable=True),
    sa.Column('last_error', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_apscheduler_jobs'))
    )
    with op.batch_alter_table('apscheduler_jobs', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_apscheduler_jobs_next_run_time'), ['next_run_time'], unique=False)

    op.create_table('automation_classes',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('workflow_id', sa.String(length=36), nullable=False),
    sa.Column('class_name', sa.String(length=100), nullable=False),
    sa.Column('description', sa.String(length=500), server_default='', nullable=False),
    sa.Column('module_path', sa.String(length=300), server_default='', nullable=False),
    sa.Column('qualified_name', sa.String(length=400), server_default='', nullable=False),
    sa.Column('enabled', sa.Boolean(), server_default=sa.true(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_automation_classes')),
    sa.UniqueConstraint('class_name', name=op.f('uq_automation_classes_class_name')),
    sa.UniqueConstraint('workflow_id', name=op.f('uq_automation_classes_workflow_id'))
    )
    op.create_table('practice',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('shortname', sa.String(length=40), nullable=False),
    sa.Column('timezone', sa.String(length=64), nullable=False),
    sa.Column('language', sa.String(length=10), nullable=False),
    sa.Column('sender', sa.String(length=254), nullable=True),
    sa.Column('invite_cutoff', sa.Interval(), nullable=True),
    sa.Column('four_eyes', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.Column('on_bounce', sa.Enum('keep', 'release', name='on_bounce', native_enum=False, create_constraint=True, length=40), server_default='keep', nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_practice')),
    sa.UniqueConstraint('shortname', name=op.f('uq_practice_shortname'))
    )
    op.create_table('roles',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('name', sa.String(length=80), nullable=False),
    sa.Column('description', sa.String(length=255), nullable=True),
    sa.Column('permissions', sa.UnicodeText(), nullable=True),
    sa.Column('update_datetime', sa.DateTime(), server_default=sa.func.now(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_roles')),
    sa.UniqueConstraint('name', name=op.f('uq_roles_name'))
    )
    op.create_table('automation_schedule',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('schedule_id', sa.String(length=36), nullable=False),
    sa.Column('practice_id', sa.Integer(), nullable=True),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('description', sa.String(length=500), nullable=True),
    sa.Column('automation_class_id', sa.Integer(), nullable=True),
    sa.Column('beforeafter', sa.Enum('before', 'after', name='beforeafter', native_enum=False, create_constraint=True, length=40), nullable=False),
    sa.Column('events', sa.Enum('first', 'last', 'all', 'invited', name='events', native_enum=False, create_constraint=True, length=40), nullable=True),
    sa.Column('interval', sa.Interval(), nullable=True),
    sa.Column('active', sa.Boolean(), server_default=sa.true(), nullable=False),
    sa.Column('active_since', sa.DateTime(timezone=True), nullable=True),
    sa.Column('paused_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('task_config', sa.JSON().with_variant(postgresql.JSONB(), 'postgresql'), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('deleted_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('version', sa.Integer(), server_default='1', nullable=False),
    sa.CheckConstraint("name NOT LIKE '%/%'", name=op.f('ck_automation_schedule_name_without_slash')),
    sa.CheckConstraint('length(name) BETWEEN 1 AND 200', name=op.f('ck_automation_schedule_name_length')),
    sa.ForeignKeyConstraint(['automation_class_id'], ['automation_classes.id'], name=op.f('fk_automation_schedule_automation_class_id_automation_classes')),
    sa.ForeignKeyConstraint(['practice_id'], ['practice.id'], name=op.f('fk_automation_schedule_practice_id_practice')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_automation_schedule')),
    sa.UniqueConstraint('schedule_id', name=op.f('uq_automation_schedule_schedule_id'))
    )
    with op.batch_alter_table('automation_schedule', schema=None) as batch_op:
        batch_op.create_index('ix_automation_schedule_class', ['automation_class_id'], unique=False)
        batch_op.create_index('ix_automation_schedule_practice', ['practice_id'], unique=False)
        batch_op.create_index('uq_automation_schedule_name', ['name'], unique=True, postgresql_where=sa.text('deleted_at IS NULL'), sqlite_where=sa.text('deleted_at IS NULL'))

    op.create_table('letter_text',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('practice_id', sa.Integer(), nullable=False),
    sa.Column('key', sa.String(length=40), nullable=False),
    sa.Column('language', sa.String(length=10), nullable=False),
    sa.Column('variant', sa.String(length=40), server_default='', nullable=False),
    sa.Column('subject', sa.String(length=200), nullable=False),
    sa.Column('text', sa.Text(), nullable=False),
    sa.Column('html', sa.Text(), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['practice_id'], ['practice.id'], name=op.f('fk_letter_text_practice_id_practice')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_letter_text')),
    sa.UniqueConstraint('practice_id', 'key', 'language', 'variant', name=op.f('uq_letter_text_practice_id_key_language_variant'))
    )
    op.create_table('location',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('practice_id', sa.Integer(), nullable=False),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('address', sa.String(length=500), server_default='', nullable=False),
    sa.ForeignKeyConstraint(['practice_id'], ['practice.id'], name=op.f('fk_location_practice_id_practice')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_location'))
    )
    with op.batch_alter_table('location', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_location_practice_id'), ['practice_id'], unique=False)

    op.create_table('training_type',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('practice_id', sa.Integer(), nullable=False),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('description', sa.Text(), server_default='', nullable=False),
    sa.ForeignKeyConstraint(['practice_id'], ['practice.id'], name=op.f('fk_training_type_practice_id_practice')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_training_type')),
    sa.UniqueConstraint('practice_id', 'name', name=op.f('uq_training_type_practice_id_name'))
    )
    op.create_table('users',
    sa.Column('practice_id', sa.Integer(), nullable=True),
    sa.Column('first_name', sa.String(length=100), server_default='', nullable=False),
    sa.Column('last_name', sa.String(length=100), server_default='', nullable=False),
    sa.Column('phone', sa.String(length=16), nullable=True),
    sa.Column('birthday', sa.Date(), nullable=True),
    sa.Column('undeliverable_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('erased_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('fs_webauthn_user_handle', sa.String(length=64), nullable=True),
    sa.Column('mf_recovery_codes', sa.UnicodeText(), nullable=True),
    sa.Column('password', sa.String(length=255), nullable=True),
    sa.Column('us_phone_number', sa.String(length=128), nullable=True),
    sa.Column('username', sa.String(length=255), nullable=True),
    sa.Column('us_totp_secrets', sa.Text(), nullable=True),
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('email', sa.String(length=255), nullable=False),
    sa.Column('active', sa.Boolean(), nullable=False),
    sa.Column('fs_uniquifier', sa.String(length=64), nullable=False),
    sa.Column('confirmed_at', sa.DateTime(), nullable=True),
    sa.Column('last_login_at', sa.DateTime(), nullable=True),
    sa.Column('current_login_at', sa.DateTime(), nullable=True),
    sa.Column('last_login_ip', sa.String(length=64), nullable=True),
    sa.Column('current_login_ip', sa.String(length=64), nullable=True),
    sa.Column('login_count', sa.Integer(), nullable=True),
    sa.Column('tf_primary_method', sa.String(length=64), nullable=True),
    sa.Column('tf_totp_secret', sa.String(length=255), nullable=True),
    sa.Column('tf_phone_number', sa.String(length=128), nullable=True),
    sa.Column('create_datetime', sa.DateTime(), server_default=sa.func.now(), nullable=False),
    sa.Column('update_datetime', sa.DateTime(), server_default=sa.func.now(), nullable=False),
    sa.ForeignKeyConstraint(['practice_id'], ['practice.id'], name=op.f('fk_users_practice_id_practice')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_users')),
    sa.UniqueConstraint('email', name=op.f('uq_users_email')),
    sa.UniqueConstraint('fs_uniquifier', name=op.f('uq_users_fs_uniquifier')),
    sa.UniqueConstraint('fs_webauthn_user_handle', name=op.f('uq_users_fs_webauthn_user_handle')),
    sa.UniqueConstraint('us_phone_number', name=op.f('uq_users_us_phone_number')),
    sa.UniqueConstraint('username', name=op.f('uq_users_username'))
    )
    with op.batch_alter_table('users', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_users_practice_id'), ['practice_id'], unique=False)

    op.create_table('automation_run',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('execution_id', sa.String(length=36), nullable=False),
    sa.Column('schedule_id', sa.Integer(), nullable=False),
    sa.Column('item', sa.String(length=100), nullable=False),
    sa.Column('occurrence', sa.String(length=100), nullable=False),
    sa.Column('status', sa.Enum('queued', 'running', 'success', 'failed', 'cancelled', 'timeout', 'missed', 'skipped', name='status', native_enum=False, create_constraint=True, length=40), nullable=False),
    sa.Column('reason', sa.String(length=100), nullable=True),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('attempt', sa.Integer(), server_default='1', nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('result', sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True, ), 'postgresql'), nullable=True),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('traceback', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['schedule_id'], ['automation_schedule.id'], name=op.f('fk_automation_run_schedule_id_automation_schedule')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_automation_run')),
    sa.UniqueConstraint('execution_id', name=op.f('uq_automation_run_execution_id')),
    sa.UniqueConstraint('schedule_id', 'item', 'occurrence', name=op.f('uq_automation_run_schedule_id_item_occurrence'))
    )
    with op.batch_alter_table('automation_run', schema=None) as batch_op:
        batch_op.create_index('ix_automation_run_due', ['schedule_id', 'due_at'], unique=False)
        batch_op.create_index('ix_automation_run_started', ['started_at'], unique=False)

    op.create_table('automation_schedule_type',
    sa.Column('schedule_id', sa.Integer(), nullable=False),
    sa.Column('training_type_id', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['schedule_id'], ['automation_schedule.id'], name=op.f('fk_automation_schedule_type_schedule_id_automation_schedule')),
    sa.ForeignKeyConstraint(['training_type_id'], ['training_type.id'], name=op.f('fk_automation_schedule_type_training_type_id_training_type')),
    sa.PrimaryKeyConstraint('schedule_id', 'training_type_id', name=op.f('pk_automation_schedule_type'))
    )
    with op.batch_alter_table('automation_schedule_type', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_automation_schedule_type_training_type_id'), ['training_type_id'], unique=False)

    op.create_table('roles_users',
    sa.Column('user_id', sa.Integer(), nullable=False),
    sa.Column('role_id', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['role_id'], ['roles.id'], name=op.f('fk_roles_users_role_id_roles')),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_roles_users_user_id_users')),
    sa.PrimaryKeyConstraint('user_id', 'role_id', name=op.f('pk_roles_users'))
    )
    op.create_table('student',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('user_id', sa.Integer(), nullable=False),
    sa.Column('practice_id', sa.Integer(), nullable=False),
    sa.Column('status', sa.Enum('active', 'inactive', name='status', native_enum=False, create_constraint=True, length=40), nullable=False),
    sa.ForeignKeyConstraint(['practice_id'], ['practice.id'], name=op.f('fk_student_practice_id_practice')),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_student_user_id_users')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_student')),
    sa.UniqueConstraint('user_id', 'practice_id', name=op.f('uq_student_user_id_practice_id'))
    )
    with op.batch_alter_table('student', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_student_practice_id'), ['practice_id'], unique=False)

    op.create_table('trainer',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('user_id', sa.Integer(), nullable=False),
    sa.Column('practice_id', sa.Integer(), nullable=False),
    sa.Column('status', sa.Enum('active', 'inactive', name='status', native_enum=False, create_constraint=True, length=40), nullable=False),
    sa.ForeignKeyConstraint(['practice_id'], ['practice.id'], name=op.f('fk_trainer_practice_id_practice')),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_trainer_user_id_users')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_trainer')),
    sa.UniqueConstraint('user_id', 'practice_id', name=op.f('uq_trainer_user_id_practice_id'))
    )
    with op.batch_alter_table('trainer', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_trainer_practice_id'), ['practice_id'], unique=False)

    op.create_table('training',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('practice_id', sa.Integer(), nullable=False),
    sa.Column('training_type_id', sa.Integer(), nullable=True),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('description', sa.Text(), server_default='', nullable=False),
    sa.Column('import_key', sa.String(length=100), nullable=True),
    sa.Column('max_participants', sa.Integer(), nullable=False),
    sa.Column('min_participants', sa.Integer(), nullable=True),
    sa.Column('active', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.Column('apply_policies', sa.Boolean(), server_default=sa.true(), nullable=False),
    sa.Column('invite_cutoff', sa.Interval(), nullable=True),
    sa.Column('waitlist_paused', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.Column('seats_kept', sa.Integer(), server_default='0', nullable=False),
    sa.Column('seats_taken', sa.Integer(), server_default='0', nullable=False),
    sa.Column('overbooked_by', sa.Integer(), server_default='0', nullable=False),
    sa.Column('history_seq', sa.Integer(), server_default='0', nullable=False),
    sa.Column('last_position', sa.Integer(), server_default='0', nullable=False),
    sa.Column('cancelled_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('archived_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('version', sa.Integer(), server_default='1', nullable=False),
    sa.CheckConstraint('max_participants BETWEEN 0 AND 10000', name=op.f('ck_training_capacity')),
    sa.CheckConstraint('min_participants IS NULL OR min_participants >= 0', name=op.f('ck_training_min_participants')),
    sa.CheckConstraint('overbooked_by >= 0', name=op.f('ck_training_overbooked_by')),
    sa.CheckConstraint('seats_kept >= 0', name=op.f('ck_training_seats_kept')),
    sa.CheckConstraint('seats_taken <= max_participants + overbooked_by', name=op.f('ck_training_oversold')),
    sa.ForeignKeyConstraint(['practice_id'], ['practice.id'], name=op.f('fk_training_practice_id_practice')),
    sa.ForeignKeyConstraint(['training_type_id'], ['training_type.id'], name=op.f('fk_training_training_type_id_training_type')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_training')),
    sa.UniqueConstraint('practice_id', 'import_key', name=op.f('uq_training_practice_id_import_key'))
    )
    with op.batch_alter_table('training', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_training_practice_id'), ['practice_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_training_training_type_id'), ['training_type_id'], unique=False)

    op.create_table('user_settings',
    sa.Column('user_id', sa.Integer(), nullable=False),
    sa.Column('msg_transactional_emails', sa.Boolean(), server_default=sa.true(), nullable=False),
    sa.Column('msg_last_min_spots', sa.Boolean(), server_default=sa.true(), nullable=False),
    sa.Column('msg_sms', sa.Boolean(), server_default=sa.true(), nullable=False),
    sa.Column('msg_push', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.Column('trainer_letters', sa.Enum('each', 'digest', 'centre', name='trainer_letters', native_enum=False, create_constraint=True, length=40), server_default='each', nullable=False),
    sa.Column('language', sa.String(length=10), nullable=True),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_user_settings_user_id_users')),
    sa.PrimaryKeyConstraint('user_id', name=op.f('pk_user_settings'))
    )
    op.create_table('webauthn',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('credential_id', sa.LargeBinary(length=1024), nullable=False),
    sa.Column('public_key', sa.LargeBinary(), nullable=False),
    sa.Column('sign_count', sa.Integer(), nullable=True),
    sa.Column('transports', sa.UnicodeText(), nullable=True),
    sa.Column('backup_state', sa.Boolean(), nullable=False),
    sa.Column('device_type', sa.String(length=64), nullable=False),
    sa.Column('extensions', sa.String(length=255), nullable=True),
    sa.Column('create_datetime', sa.DateTime(), server_default=sa.func.now(), nullable=False),
    sa.Column('lastuse_datetime', sa.DateTime(), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('usage', sa.String(length=64), nullable=False),
    sa.Column('user_id', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_webauthn_user_id_users'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_webauthn'))
    )
    with op.batch_alter_table('webauthn', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_webauthn_credential_id'), ['credential_id'], unique=True)

    op.create_table('training_enroll',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('uuid', sa.String(length=36), nullable=False),
    sa.Column('training_id', sa.Integer(), nullable=False),
    sa.Column('student_id', sa.Integer(), nullable=False),
    sa.Column('status', sa.Enum('waitlist', 'waitlist-invited', 'enrolled', 'waitlist-invite-expired', 'waitlist-declined', 'derolled', name='status', native_enum=False, create_constraint=True, length=40), nullable=False),
    sa.Column('seats', sa.Integer(), server_default='1', nullable=False),
    sa.Column('queue_position', sa.Integer(), nullable=True),
    sa.Column('joined_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('terms_accepted_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('invite_no', sa.Integer(), server_default='0', nullable=False),
    sa.Column('invite_date', sa.DateTime(timezone=True), nullable=True),
    sa.Column('invite_expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('invite_promised_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('invite_remind_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('invite_planned_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('invite_schedule_id', sa.Integer(), nullable=True),
    sa.Column('invite_undelivered_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('expiry_exempt', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.Column('skipped', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.Column('not_before', sa.DateTime(timezone=True), nullable=True),
    sa.Column('missed_invites', sa.Integer(), server_default='0', nullable=False),
    sa.Column('passes', sa.Integer(), server_default='0', nullable=False),
    sa.Column('more_time_used', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.Column('ical_sequence', sa.Integer(), server_default='0', nullable=False),
    sa.Column('paid', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.Column('version', sa.Integer(), server_default='1', nullable=False),
    sa.CheckConstraint("status <> 'waitlist' OR queue_position IS NOT NULL", name=op.f('ck_training_enroll_waiting_has_position')),
    sa.CheckConstraint("status <> 'waitlist-invited' OR invite_date IS NOT NULL", name=op.f('ck_training_enroll_invited_has_date')),
    sa.CheckConstraint('seats >= 1', name=op.f('ck_training_enroll_seats')),
    sa.ForeignKeyConstraint(['invite_schedule_id'], ['automation_schedule.id'], name=op.f('fk_training_enroll_invite_schedule_id_automation_schedule')),
    sa.ForeignKeyConstraint(['student_id'], ['student.id'], name=op.f('fk_training_enroll_student_id_student')),
    sa.ForeignKeyConstraint(['training_id'], ['training.id'], name=op.f('fk_training_enroll_training_id_training')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_training_enroll')),
    sa.UniqueConstraint('student_id', 'training_id', name=op.f('uq_training_enroll_student_id_training_id')),
    sa.UniqueConstraint('uuid', name=op.f('uq_training_enroll_uuid'))
    )
    with op.batch_alter_table('training_enroll', schema=None) as batch_op:
        batch_op.create_index('idx_training_enroll_invite_date', ['invite_date'], unique=False)
        batch_op.create_index('idx_training_enroll_status', ['status'], unique=False)
        batch_op.create_index('ix_training_enroll_deadline', ['invite_expires_at'], unique=False, postgresql_where=sa.text("status = 'waitlist-invited'"), sqlite_where=sa.text("status = 'waitlist-invited'"))
        batch_op.create_index('ix_training_enroll_planned', ['invite_planned_at'], unique=False, postgresql_where=sa.text('invite_planned_at IS NOT NULL'), sqlite_where=sa.text('invite_planned_at IS NOT NULL'))
        batch_op.create_index('ix_training_enroll_queue', ['training_id', 'status', 'queue_position'], unique=False)
        batch_op.create_index('uq_training_enroll_waiting_position', ['training_id', 'queue_position'], unique=True, postgresql_where=sa.text("status = 'waitlist'"), sqlite_where=sa.text("status = 'waitlist'"))

    op.create_table('training_event',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('training_id', sa.Integer(), nullable=False),
    sa.Column('location_id', sa.Integer(), nullable=True),
    sa.Column('start_time', sa.DateTime(timezone=True), nullable=False),
    sa.Column('end_time', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint('start_time < end_time', name=op.f('ck_training_event_starts_before_it_ends')),
    sa.ForeignKeyConstraint(['location_id'], ['location.id'], name=op.f('fk_training_event_location_id_location')),
    sa.ForeignKeyConstraint(['training_id'], ['training.id'], name=op.f('fk_training_event_training_id_training')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_training_event')),
    sqlite_autoincrement=True
    )
    with op.batch_alter_table('training_event', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_training_event_training_id'), ['training_id'], unique=False)

    op.create_table('training_trainer',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('training_id', sa.Integer(), nullable=False),
    sa.Column('trainer_id', sa.Integer(), nullable=False),
    sa.Column('rank', sa.Integer(), server_default='1', nullable=False),
    sa.Column('answer_by', sa.DateTime(timezone=True), nullable=True),
    sa.Column('status', sa.Enum('accepted', 'proposed', 'declined', name='status', native_enum=False, create_constraint=True, length=40), server_default='accepted', nullable=False),
    sa.ForeignKeyConstraint(['trainer_id'], ['trainer.id'], name=op.f('fk_training_trainer_trainer_id_trainer')),
    sa.ForeignKeyConstraint(['training_id'], ['training.id'], name=op.f('fk_training_trainer_training_id_training')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_training_trainer')),
    sa.UniqueConstraint('training_id', 'trainer_id', name=op.f('uq_training_trainer_training_id_trainer_id'))
    )
    with op.batch_alter_table('training_trainer', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_training_trainer_trainer_id'), ['trainer_id'], unique=False)

    op.create_table('enrolment_history',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('training_id', sa.Integer(), nullable=False),
    sa.Column('seq', sa.Integer(), nullable=False),
    sa.Column('enrolment_id', sa.Integer(), nullable=True),
    sa.Column('student_id', sa.Integer(), nullable=True),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('actor', sa.String(length=80), nullable=False),
    sa.Column('event', sa.String(length=40), nullable=False),
    sa.Column('from_status', sa.String(length=40), nullable=True),
    sa.Column('to_status', sa.String(length=40), nullable=True),
    sa.Column('invite_no', sa.Integer(), nullable=True),
    sa.Column('queue_position', sa.Integer(), nullable=True),
    sa.Column('reason', sa.String(length=40), nullable=True),
    sa.Column('note', sa.String(length=500), nullable=True),
    sa.Column('data', sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True, ), 'postgresql'), nullable=True),
    sa.ForeignKeyConstraint(['enrolment_id'], ['training_enroll.id'], name=op.f('fk_enrolment_history_enrolment_id_training_enroll'), ondelete='RESTRICT'),
    sa.ForeignKeyConstraint(['student_id'], ['student.id'], name=op.f('fk_enrolment_history_student_id_student'), ondelete='RESTRICT'),
    sa.ForeignKeyConstraint(['training_id'], ['training.id'], name=op.f('fk_enrolment_history_training_id_training'), ondelete='RESTRICT'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_enrolment_history')),
    sa.UniqueConstraint('training_id', 'seq', name=op.f('uq_enrolment_history_training_id_seq'))
    )
    with op.batch_alter_table('enrolment_history', schema=None) as batch_op:
        batch_op.create_index('ix_enrolment_history_enrolment', ['enrolment_id', 'seq'], unique=False)
        batch_op.create_index('ix_enrolment_history_invitations', ['student_id', 'at'], unique=False, postgresql_where=sa.text("event = 'invited'"), sqlite_where=sa.text("event = 'invited'"))
        batch_op.create_index('uq_enrolment_history_invitation_ends_once', ['enrolment_id', 'invite_no'], unique=True, postgresql_where=sa.text("from_status = 'waitlist-invited' AND to_status <> 'waitlist-invited'"), sqlite_where=sa.text("from_status = 'waitlist-invited' AND to_status <> 'waitlist-invited'"))

    op.create_table('outbox',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('uuid', sa.String(length=36), nullable=False),
    sa.Column('key', sa.String(length=200), nullable=False),
    sa.Column('channel', sa.String(length=20), nullable=False),
    sa.Column('aggregate', sa.String(length=80), nullable=False),
    sa.Column('kind', sa.String(length=40), nullable=False),
    sa.Column('user_id', sa.Integer(), nullable=True),
    sa.Column('enrolment_id', sa.Integer(), nullable=True),
    sa.Column('invite_no', sa.Integer(), nullable=True),
    sa.Column('sequence', sa.Integer(), nullable=True),
    sa.Column('payload', sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True, ), 'postgresql'), nullable=False),
    sa.Column('state', sa.Enum('pending', 'sending', 'sent', 'skipped', 'dead', 'bounced', name='state', native_enum=False, create_constraint=True, length=40), nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('attempts', sa.Integer(), server_default='0', nullable=False),
    sa.Column('claim', sa.String(length=36), nullable=True),
    sa.Column('last_error', sa.Text(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("(ended_at IS NULL) = (state IN ('pending', 'sending'))", name=op.f('ck_outbox_ended_or_under_way')),
    sa.ForeignKeyConstraint(['enrolment_id'], ['training_enroll.id'], name=op.f('fk_outbox_enrolment_id_training_enroll')),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_outbox_user_id_users')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_outbox')),
    sa.UniqueConstraint('key', name=op.f('uq_outbox_key'))
    )
    with op.batch_alter_table('outbox', schema=None) as batch_op:
        batch_op.create_index('ix_outbox_aggregate', ['channel', 'aggregate', 'id'], unique=False, postgresql_where=sa.text('ended_at IS NULL'), sqlite_where=sa.text('ended_at IS NULL'))
        batch_op.create_index('ix_outbox_channel', ['channel', 'id'], unique=False, postgresql_where=sa.text('ended_at IS NULL'), sqlite_where=sa.text('ended_at IS NULL'))
        batch_op.create_index(batch_op.f('ix_outbox_enrolment_id'), ['enrolment_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_outbox_user_id'), ['user_id'], unique=False)



def downgrade() -> None:
    with op.batch_alter_table('outbox', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_outbox_user_id'))
        batch_op.drop_index(batch_op.f('ix_outbox_enrolment_id'))
        batch_op.drop_index('ix_outbox_channel', postgresql_where=sa.text('ended_at IS NULL'), sqlite_where=sa.text('ended_at IS NULL'))
        batch_op.drop_index('ix_outbox_aggregate', postgresql_where=sa.text('ended_at IS NULL'), sqlite_where=sa.text('ended_at IS NULL'))

    op.drop_table('outbox')
    with op.batch_alter_table('enrolment_history', schema=None) as batch_op:
        batch_op.drop_index('uq_enrolment_history_invitation_ends_once', postgresql_where=sa.text("from_status = 'waitlist-invited' AND to_status <> 'waitlist-invited'"), sqlite_where=sa.text("from_status = 'waitlist-invited' AND to_status <> 'waitlist-invited'"))
        batch_op.drop_index('ix_enrolment_history_invitations', postgresql_where=sa.text("event = 'invited'"), sqlite_where=sa.text("event = 'invited'"))
        batch_op.drop_index('ix_enrolment_history_enrolment')

    op.drop_table('enrolment_history')
    with op.batch_alter_table('training_trainer', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_training_trainer_trainer_id'))

    op.drop_table('training_trainer')
    with op.batch_alter_table('training_event', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_training_event_training_id'))

    op.drop_table('training_event')
    with op.batch_alter_table('training_enroll', schema=None) as batch_op:
        batch_op.drop_index('uq_training_enroll_waiting_position', postgresql_where=sa.text("status = 'waitlist'"), sqlite_where=sa.text("status = 'waitlist'"))
        batch_op.drop_index('ix_training_enroll_queue')
        batch_op.drop_index('ix_training_enroll_planned', postgresql_where=sa.text('invite_planned_at IS NOT NULL'), sqlite_where=sa.text('invite_planned_at IS NOT NULL'))
        batch_op.drop_index('ix_training_enroll_deadline', postgresql_where=sa.text("status = 'waitlist-invited'"), sqlite_where=sa.text("status = 'waitlist-invited'"))
        batch_op.drop_index('idx_training_enroll_status')
        batch_op.drop_index('idx_training_enroll_invite_date')

    op.drop_table('training_enroll')
    with op.batch_alter_table('webauthn', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_webauthn_credential_id'))

    op.drop_table('webauthn')
    op.drop_table('user_settings')
    with op.batch_alter_table('training', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_training_training_type_id'))
        batch_op.drop_index(batch_op.f('ix_training_practice_id'))

    op.drop_table('training')
    with op.batch_alter_table('trainer', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_trainer_practice_id'))

    op.drop_table('trainer')
    with op.batch_alter_table('student', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_student_practice_id'))

    op.drop_table('student')
    op.drop_table('roles_users')
    with op.batch_alter_table('automation_schedule_type', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_automation_schedule_type_training_type_id'))

    op.drop_table('automation_schedule_type')
    with op.batch_alter_table('automation_run', schema=None) as batch_op:
        batch_op.drop_index('ix_automation_run_started')
        batch_op.drop_index('ix_automation_run_due')

    op.drop_table('automation_run')
    with op.batch_alter_table('users', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_users_practice_id'))

    op.drop_table('users')
    op.drop_table('training_type')
    with op.batch_alter_table('location', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_location_practice_id'))

    op.drop_table('location')
    op.drop_table('letter_text')
    with op.batch_alter_table('automation_schedule', schema=None) as batch_op:
        batch_op.drop_index('uq_automation_schedule_name', postgresql_where=sa.text('deleted_at IS NULL'), sqlite_where=sa.text('deleted_at IS NULL'))
        batch_op.drop_index('ix_automation_schedule_practice')
        batch_op.drop_index('ix_automation_schedule_class')

    op.drop_table('automation_schedule')
    op.drop_table('roles')
    op.drop_table('practice')
    op.drop_table('automation_classes')
    with op.batch_alter_table('apscheduler_jobs', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_apscheduler_jobs_next_run_time'))

    op.drop_table('apscheduler_jobs')
