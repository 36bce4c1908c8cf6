"""Every automation an administrator can schedule. To add one: a file, and a line here."""

from app.automation.automation_tasks.automatic_waitlist import AutomaticWaitList
from app.automation.automation_tasks.student_reminder import StudentReminderTask
from app.automation.automation_tasks.trainer_reminder import TrainerReminderTask

TASKS = (
    AutomaticWaitList,  # ends the invitations that nobody answered, fills the places
    StudentReminderTask,  # writes to students before their training
    TrainerReminderTask,  # writes to trainers before their training
)

__all__ = ["TASKS", "AutomaticWaitList", "StudentReminderTask", "TrainerReminderTask"]
