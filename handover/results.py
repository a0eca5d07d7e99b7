"""What came of telling another system. Pure."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Done:
    """It is there; ``note`` where it was so before."""

    note: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """It will not be taken, however often it is sent: a person has to look."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Later:
    """Not now. ``uncertain``: it may be there nevertheless. ``stops``: nothing else need be tried there either, not
    before ``after`` where the other system says so.
    """

    code: str
    reason: str
    uncertain: bool = False
    stops: bool = True
    after: timedelta | None = None


OUT_OF_TIME = Later("no_time", "The other system was slow, so this one's turn did not come.", stops=False)
"""What was taken to be sent and was not."""

Result = Done | Refused | Later
