"""``/v1/conditions/try``: what a condition makes of a list of events. Pure; nothing is stored."""

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import msgspec
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from access.errors import ApiError, Detail, InvalidInput
from access.times import MAX_YEAR, MIN_YEAR
from access.views import ApiView
from conditions_dsl import Event, Program, compile, explain
from contracts.condition_text import examine
from outcomes.api.parsers import BatchParser, body_of, detail_of, unreadable
from outcomes.domain.instants import from_us, to_us
from outcomes.domain.trial import TrialOutcome, run_trial
from outcomes.queries import plain
from outcomes.wire import MAX_BATCH_EVENTS, Name, say

Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class _TrialEvent(msgspec.Struct, forbid_unknown_fields=True):
    id: Name
    type: Name
    time: Moment
    data: dict[str, Any] = {}


class _TrialBody(msgspec.Struct, forbid_unknown_fields=True):
    text: str
    events: list[_TrialEvent]
    now: Moment | None = None


_FIELDS = {"events[": _TrialEvent.__struct_fields__, "": _TrialBody.__struct_fields__}


def _number(text: str) -> Decimal:
    """A number as it was written: which ones are none to the language is for the language to say."""
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent that not even Decimal holds
        return Decimal("Infinity")


_decode = msgspec.json.Decoder(_TrialBody, float_hook=_number).decode


class TrialEventSerializer(serializers.Serializer):
    refuses_unknown = True

    id = serializers.CharField(max_length=255, help_text="Unique in the list.")
    type = serializers.CharField(max_length=255)
    time = serializers.DateTimeField(help_text="RFC 3339 with a zone; ties count in the order given.")

    def get_fields(self) -> dict[str, Any]:
        # `data` is a name of the serializer's own, so it cannot be declared as an attribute.
        return {**super().get_fields(), "data": serializers.DictField(required=False)}


class TrialRequest(serializers.Serializer):
    refuses_unknown = True

    text = serializers.CharField(help_text="The condition.")
    events = TrialEventSerializer(many=True)
    now = serializers.DateTimeField(
        required=False,
        help_text="The outcomes as they stand then; events after it do not count. Left out: the end of all windows.",
    )


class TrialOutcomeSerializer(serializers.Serializer):
    subject = serializers.CharField()
    state = serializers.ChoiceField(["open", "provisional", "confirmed", "reversed", "void", "missed"])
    met_by = serializers.CharField(allow_null=True)
    met_at = serializers.DateTimeField(allow_null=True)
    settles_at = serializers.DateTimeField(allow_null=True)
    settled_at = serializers.DateTimeField(allow_null=True)
    ended_by = serializers.CharField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    quantity = serializers.CharField(allow_null=True, help_text="Null unless confirmed or reversed.")
    amount = serializers.CharField(allow_null=True)
    dimensions = serializers.DictField(allow_null=True)
    explanation = serializers.DictField(help_text="`bill when` as a tree: verdicts, values, deciding events.")


class TrialAnswer(serializers.Serializer):
    outcomes = TrialOutcomeSerializer(many=True)


class ConditionTry(ApiView):
    # Nothing is stored, so a key that may only read may ask, and a repetition needs no key.
    scopes = {"POST": "read"}
    idempotency = "off"
    parser_classes = [BatchParser]

    @extend_schema(summary="Try a text on events", request=TrialRequest, responses=TrialAnswer, tags=["conditions"])
    def post(self, request: Request) -> Response:
        """Runs a condition over events and answers every outcome, with its explanation. Stores nothing."""
        body = _read(body_of(request))
        finding = examine(body.text)
        if finding.reading is None or not finding.ok:
            problems = [
                Detail("text", f"Line {found.line}, column {found.column}: {found.message}", "invalid_condition")
                for found in finding.diagnostics
                if found.severity == "error"
            ]
            raise ApiError(422, "invalid_condition", problems[0].message, details=problems)
        program = compile(finding.reading.condition)
        events = [Event(event.id, event.type, to_us(event.time), n, event.data) for n, event in enumerate(body.events)]
        outcomes = run_trial(program, events, now=None if body.now is None else to_us(body.now))
        return Response({"outcomes": [_outcome_json(outcome, program) for outcome in outcomes]})


def _read(body: bytes) -> _TrialBody:
    try:
        trial = _decode(body)
    except msgspec.ValidationError as error:
        raise InvalidInput([detail_of(say(error), _FIELDS)]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise unreadable(body) from None
    if len(trial.events) > MAX_BATCH_EVENTS:
        raise ApiError(413, "too_many_events", f"A trial takes at most {MAX_BATCH_EVENTS} events.")
    seen: set[str] = set()
    for index, event in enumerate(trial.events):
        if event.id in seen:
            raise InvalidInput([Detail(f"events[{index}].id", f"The id {event.id!r} comes twice.", "repeated")])
        if not MIN_YEAR <= event.time.year <= MAX_YEAR:
            wrong = f"The year must be {MIN_YEAR} to {MAX_YEAR}."
            raise InvalidInput([Detail(f"events[{index}].time", wrong, "out_of_range")])
        seen.add(event.id)
    if trial.now is not None and not MIN_YEAR <= trial.now.year <= MAX_YEAR:
        raise InvalidInput([Detail("now", f"The year must be {MIN_YEAR} to {MAX_YEAR}.", "out_of_range")])
    return trial


def _outcome_json(outcome: TrialOutcome, program: Program) -> dict[str, Any]:
    value = outcome.value
    return {
        "subject": outcome.subject,
        "state": outcome.state,
        "met_by": outcome.met_by,
        "met_at": _moment(outcome.met_at),
        "settles_at": _moment(outcome.settles_at),
        "settled_at": _moment(outcome.settled_at),
        "ended_by": outcome.ended_by,
        "ended_at": _moment(outcome.ended_at),
        "quantity": None if value is None else plain(value.quantity),
        "amount": None if value is None else plain(value.amount),
        "dimensions": None if value is None else value.dimensions,
        "explanation": explain(program, outcome.events, history=outcome.history if program.has_history else None),
    }


def _moment(instant: int | None) -> datetime | None:
    return None if instant is None else from_us(instant)
