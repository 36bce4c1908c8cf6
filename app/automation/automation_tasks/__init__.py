"""Every automation an administrator can schedule. To add one: a file, and a line here."""

from app.automation.automation_tasks.automatic_waitlist import AutomaticWaitList
from app.automation.automation_tasks.birthday import BirthdayTask
from app.automation.automation_tasks.student_reminder import StudentReminderTask
from app.automation.automation_tasks.trainer_reminder import TrainerReminderTask
from app.automation.automation_tasks.visitor import VisitorTask

TASKS = (
    AutomaticWaitList,  # ends the invitations that nobody answered, fills the places
    BirthdayTask,  # congratulates people on their birthday
    StudentReminderTask,  # writes to students before their training
    TrainerReminderTask,  # writes to trainers before their training
    VisitorTask,  # looks at students' profiles, and asks them to check these
)

__all__ = [
    "TASKS",
    "AutomaticWaitList",
    "BirthdayTask",
    "StudentReminderTask",
    "TrainerReminderTask",
    "VisitorTask",
]
