"""Floor 1: tables, statuses, and the rules that the database keeps."""

from app.models.automation import (
    AutomationClasses,
    AutomationRun,
    AutomationSchedule,
    BeforeAfterEnum,
    EventsEnum,
    RunStatus,
)
from app.models.enrolment import EnrolmentStatus, TrainingEnroll
from app.models.enrolment_history import EnrolmentHistory
from app.models.job import Job
from app.models.link import LinkToken
from app.models.outbox import ChannelState, LetterText, Outbox, OutboxState
from app.models.person import PersonStatus, Student, Trainer
from app.models.practice import OnBounce, Practice
from app.models.system import SchedulerEpoch, Setback, SystemDuty
from app.models.training import (
    AssignmentStatus,
    Location,
    Training,
    TrainingEvent,
    TrainingTrainer,
    TrainingType,
)
from app.models.user import Role, TrainerLetters, User, UserSettings, WebAuthn

__all__ = [
    "AssignmentStatus",
    "AutomationClasses",
    "AutomationRun",
    "AutomationSchedule",
    "BeforeAfterEnum",
    "ChannelState",
    "EnrolmentHistory",
    "EnrolmentStatus",
    "EventsEnum",
    "Job",
    "LetterText",
    "LinkToken",
    "Location",
    "OnBounce",
    "Outbox",
    "OutboxState",
    "PersonStatus",
    "Practice",
    "Role",
    "RunStatus",
    "SchedulerEpoch",
    "Setback",
    "Student",
    "SystemDuty",
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
]
