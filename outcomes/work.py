"""One subject in the middle of an evaluation: what is stored of it, the events that came for it, what is to be
written.
"""

from dataclasses import dataclass, field
from datetime import datetime

from conditions_dsl import Event
from outcomes.booking import Booked
from outcomes.domain.lifecycle import Fold

# First number of the advisory lock (class, partition) that says who evaluates a partition.
EVALUATION_LOCK = 7301


@dataclass(slots=True)
class Work:
    """A subject that a batch touches. ``state`` is its stored fold ("" where it is new), ``last`` the newest folded
    event as (time, seq), ``events`` those of this batch, ``rows`` the outcomes to write. ``clock`` is the now of the
    customer's test clock, where it has one.
    """

    customer: int
    condition: int
    key: str
    partition: int
    clock: datetime | None = None
    id: int = 0
    state: str = ""
    last: tuple[int, int] = (-(2**63), 0)
    events: list[Event] = field(default_factory=list)
    fold: Fold | None = None
    rows: list[Booked] = field(default_factory=list)

    @property
    def is_new(self) -> bool:
        return not self.state
