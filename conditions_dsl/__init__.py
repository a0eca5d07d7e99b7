"""The condition language: what one billable outcome is, said so that a finance person can read it aloud."""

from conditions_dsl.compiler import compile
from conditions_dsl.errors import ConditionError, Diagnostic
from conditions_dsl.model import Condition, EventName
from conditions_dsl.parser import parse
from conditions_dsl.printer import format
from conditions_dsl.program import Event, Program, Settle

__all__ = [
    "Condition",
    "ConditionError",
    "Diagnostic",
    "Event",
    "EventName",
    "Program",
    "Settle",
    "compile",
    "format",
    "parse",
]
