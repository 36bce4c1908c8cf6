"""Who is in the demo. Nobody is real: family names are made of two words that no family bears."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

DOMAIN = "demo.example"
STUDENTS = 120


@dataclass(frozen=True)
class Account:
    """Somebody with an address, and the roles they act in."""

    address: str  # the part before the @
    first_name: str
    last_name: str
    roles: tuple[str, ...] = ("student",)

    @property
    def email(self) -> str:
        """The whole address."""
        return f"{self.address}@{DOMAIN}"


# Those who sign in, all with one password (people PF2).
ACCOUNTS = (
    Account("admin", "Robin", "Deskwell", ("admin",)),
    Account("trainer", "Tara", "Kilnworth", ("trainer",)),
    Account("enrolled", "Enno", "Seatfield"),
    Account("waiting", "Wanda", "Linegate"),
    Account("invited", "Iris", "Nextwell"),
)
TRAINERS = (
    Account("hugo.planeridge", "Hugo", "Planeridge", ("trainer",)),
    Account("mira.loomfield", "Mira", "Loomfield", ("trainer",)),
)
UNREACHABLE = "nobody.here"  # the mail server of the demo takes nothing for this address

NAMES = (
    "Adil Alba Bas Britt Cas Chiara Dana Dirk Eda Elin Femke Finn Gaia Goran Hana Hidde Ilse Ivo"
    " Jade Jonas Kaat Kofi Lars Leila Maud Milan Nadia Niels Otis Otto Pien Priya Quinn Rafi Roos"
    " Sami Sanne Thijs Tilda Uma Viggo Vera Wies Yara Yusuf Zoe"
)
BEGINNINGS = "Alder Amber Birch Copper Ember Fern Hazel Ivory Juniper Linen Maple Ochre Slate"
ENDINGS = "bench brush by clay craft field glaze knot lamp mill spool thread yard"


def students(chance: random.Random) -> list[Account]:
    """As many as make `STUDENTS` together with those who have an account of their own."""
    own = [account for account in ACCOUNTS if account.roles == ("student",)]
    families = [
        first + last for first, last in itertools.product(BEGINNINGS.split(), ENDINGS.split())
    ]
    chance.shuffle(families)
    others = [
        Account(f"{first}.{family}".lower(), first, family)
        for first, family in zip(_first_names(chance), families, strict=False)
    ]
    nobody = Account(UNREACHABLE, "Noah", "Emberyard")
    return [*own, nobody, *others[: STUDENTS - len(own) - 1]]


def _first_names(chance: random.Random) -> list[str]:
    names = NAMES.split()
    return [name for _ in range(4) for name in chance.sample(names, len(names))]
