"""Floor 1: tables, statuses, and the rules that the database keeps."""

from app.models.api_key import ApiKey
from app.models.audit import AuditEntry
from app.models.automation import (
    AutomationClasses,
    AutomationRun,
    AutomationSchedule,
    BeforeAfterEnum,
    EventsEnum,
    MadeBy,
    OverlapPolicy,
    RetryBackoff,
    RunStatus,
    RunTrigger,
    ScheduleState,
    ScheduleType,
    StoppedBecause,
)
from app.models.enrolment import EnrolmentStatus, TrainingEnroll
from app.models.enrolment_history import EnrolmentHistory
from app.models.greeting import Greeting
from app.models.job import Job
from app.models.link import LinkToken
from app.models.outbox import ChannelState, LetterText, Outbox, OutboxState
from app.models.person import PersonStatus, Student, Trainer
from app.models.policy import Policy, PolicyKind
from app.models.practice import OnBounce, Practice
from app.models.profile_review import ProfileReview
from app.models.schedule_audit import ScheduleAudit
from app.models.schedule_template import ScheduleTemplate
from app.models.system import SchedulerEpoch, Setback, SystemDuty, SystemState
from app.models.training import (
    AssignmentStatus,
    Location,
    Training,
    TrainingEvent,
    TrainingTrainer,
    TrainingType,
)
from app.models.user import Role, TrainerLetters, User, UserSettings, WebAuthn
from app.models.webhook import Webhook

__all__ = [
    "ApiKey",
    "AssignmentStatus",
    "AuditEntry",
    "AutomationClasses",
    "AutomationRun",
    "AutomationSchedule",
    "BeforeAfterEnum",
    "ChannelState",
    "EnrolmentHistory",
    "EnrolmentStatus",
    "EventsEnum",
    "Greeting",
    "Job",
    "LetterText",
    "LinkToken",
    "Location",
    "MadeBy",
    "OnBounce",
    "Outbox",
    "OutboxState",
    "OverlapPolicy",
    "PersonStatus",
    "Policy",
    "PolicyKind",
    "Practice",
    "ProfileReview",
    "RetryBackoff",
    "Role",
    "RunStatus",
    "RunTrigger",
    "ScheduleAudit",
    "ScheduleState",
    "ScheduleTemplate",
    "ScheduleType",
    "SchedulerEpoch",
    "Setback",
    "StoppedBecause",
    "Student",
    "SystemDuty",
    "SystemState",
    "Trainer",
    "TrainerLetters",
    "Training",
    "TrainingEnroll",
    "TrainingEvent",
    "TrainingTrainer",
    "TrainingType",
    "User",
    "UserSettings",
    "WebAuthn",
    "Webhook",
]
