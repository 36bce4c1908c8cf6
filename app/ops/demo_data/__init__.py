"""The data of the demo: who is there, what they can join, and what has happened (people PF3)."""

from app.ops.demo_data.courses import COURSES, PRACTICE
from app.ops.demo_data.people import ACCOUNTS, DOMAIN
from app.ops.demo_data.scene import Scene
from app.ops.demo_data.story import Act, Story, opening

__all__ = ["ACCOUNTS", "COURSES", "DOMAIN", "PRACTICE", "Act", "Scene", "Story", "opening"]
