"""Serializers in which every accepted field has an effect: the unknown is refused, with the nearest known name."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from rest_framework import exceptions, serializers


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def unknown_message(name: str, known: Iterable[str], what: str = "field") -> str:
    """Says that there is no such field, and what to write instead."""
    names = sorted(known)
    guess = nearest(name, names)
    if guess is not None:
        return f"There is no {what} of this name. Did you mean {guess}?"
    if not names:
        return f"No {what}s are taken here."
    return f"There is no {what} of this name; known are: {', '.join(names)}."


class StrictListSerializer(serializers.ListSerializer[Any]):
    """What ``many=True`` makes of a StrictSerializer."""

    default_error_messages = {"not_a_list": "Expected a list."}


class StrictSerializer(serializers.Serializer[Any]):
    """Base of every serializer that reads a request.

    Unknown and read-only fields are errors beside those of the fields themselves, so that one answer names everything
    that is wrong. An explicit ``null`` counts as a value: it is refused unless the field says ``allow_null=True``.
    """

    class Meta:
        list_serializer_class = StrictListSerializer

    default_error_messages = {"invalid": "Expected an object, but got {datatype}."}
    reads_query_string = False
    refuses_unknown = True  # told in the OpenAPI document

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, Mapping):
            raise exceptions.ValidationError(
                {
                    "non_field_errors": [
                        exceptions.ErrorDetail(f"Expected an object, but got {_json_type(data)}.", "invalid")
                    ]
                }
            )
        errors: dict[str, Any] = self._refused_names(data)
        try:
            value = super().to_internal_value(data)
        except exceptions.ValidationError as error:
            if not isinstance(error.detail, dict):
                raise
            errors = {**error.detail, **errors}
        if errors:
            raise exceptions.ValidationError(errors)
        return value

    def _refused_names(self, data: Mapping[str, Any]) -> dict[str, Any]:
        writable = {name for name, field in self.fields.items() if not field.read_only}
        errors: dict[str, Any] = {}
        for name in data:
            if name in writable:
                continue
            if name in self.fields:
                message, code = "This field is answered, not taken: leave it out.", "read_only"
            else:
                what = "parameter" if self.reads_query_string else "field"
                message, code = unknown_message(str(name), writable, what), f"unknown_{what}"
            errors[str(name)] = [exceptions.ErrorDetail(message, code)]
        return errors


class NoBody(StrictSerializer):
    """Actions take no fields; an empty object or no body at all."""


class QuerySerializer(StrictSerializer):
    """Base of serializers that read a query string: everything arrives as text, unknown parameters are errors."""

    reads_query_string = True


class ErrorDetailSerializer(serializers.Serializer[Any]):
    """One entry of `details`."""

    path = serializers.CharField(help_text="Where, such as `prices[0].unit_price`; empty for the whole request.")
    message = serializers.CharField()
    code = serializers.CharField()


class ErrorSerializer(serializers.Serializer[Any]):
    """The inside of the error envelope."""

    type = serializers.CharField(help_text="The broad kind.")
    code = serializers.CharField(help_text="For programs; see `doc_url`.")
    message = serializers.CharField(help_text="For people: what is wrong and the way out.")
    status = serializers.IntegerField()
    details = ErrorDetailSerializer(many=True)
    request_id = serializers.CharField()
    doc_url = serializers.CharField()


class ErrorEnvelopeSerializer(serializers.Serializer[Any]):
    """The body of every error answer."""

    error = ErrorSerializer()


def _json_type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, list):
        return "a list"
    return "a string" if isinstance(value, str) else "a number"
