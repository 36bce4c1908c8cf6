"""Every automation an administrator can schedule. To add one: a file, and a line here."""

from app.automation.automation_tasks.attendee_list import SendAttendeeListTask
from app.automation.automation_tasks.automatic_waitlist import AutomaticWaitList
from app.automation.automation_tasks.birthday import BirthdayTask
from app.automation.automation_tasks.delete_training import DeleteTrainingTask
from app.automation.automation_tasks.minimum_alert import MinimumNumberAlert
from app.automation.automation_tasks.open_spot_reminder import StudentOpenSpotReminder
from app.automation.automation_tasks.student_reminder import StudentReminderTask
from app.automation.automation_tasks.trainer_digest import TrainerDigestTask
from app.automation.automation_tasks.trainer_reminder import TrainerReminderTask
from app.automation.automation_tasks.visitor import VisitorTask
from app.automation.automation_tasks.waitlist_reminder import WaitlistReminderTask

TASKS = (
    SendAttendeeListTask,  # tells trainers who comes
    AutomaticWaitList,  # ends the invitations that nobody answered, fills the places
    BirthdayTask,  # congratulates people on their birthday
    DeleteTrainingTask,  # puts trainings away that are over
    MinimumNumberAlert,  # tells trainers that too few are enrolled
    StudentOpenSpotReminder,  # tells students of places that are still free
    StudentReminderTask,  # writes to students before their training
    TrainerDigestTask,  # tells trainers once a day what happened
    TrainerReminderTask,  # writes to trainers before their training
    VisitorTask,  # looks at students' profiles, and asks them to check these
    WaitlistReminderTask,  # asks who waits whether they still want a place
)

__all__ = [
    "TASKS",
    "AutomaticWaitList",
    "BirthdayTask",
    "DeleteTrainingTask",
    "MinimumNumberAlert",
    "SendAttendeeListTask",
    "StudentOpenSpotReminder",
    "StudentReminderTask",
    "TrainerDigestTask",
    "TrainerReminderTask",
    "VisitorTask",
    "WaitlistReminderTask",
]
