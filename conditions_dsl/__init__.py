"""The condition language: what one billable outcome is, said so that a finance person can read it aloud.

A pure library: text -> tree -> program -> verdict. It knows no clock, no database and no settings.
"""

from conditions_dsl.checker import check
from conditions_dsl.compiler import compile
from conditions_dsl.english import describe
from conditions_dsl.errors import ConditionError, Diagnostic
from conditions_dsl.explain import explain, explain_node, explain_value
from conditions_dsl.jsonform import from_json, to_json
from conditions_dsl.model import Condition, EventName
from conditions_dsl.parser import parse
from conditions_dsl.printer import format
from conditions_dsl.program import Event, Program, Settle
from conditions_dsl.witn import from_witn

__all__ = [
    "Condition",
    "ConditionError",
    "Diagnostic",
    "Event",
    "EventName",
    "Program",
    "Settle",
    "check",
    "compile",
    "describe",
    "explain",
    "explain_node",
    "explain_value",
    "format",
    "from_json",
    "from_witn",
    "parse",
    "to_json",
]
