"""One event by `serializer.save()`, many by `bulk_create(ignore_conflicts=True)`."""

from django.db import IntegrityError
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from benchmarks.handwritten.models import Event


class EventSerializer(serializers.ModelSerializer):
    id = serializers.CharField(source="event_id", max_length=255)

    class Meta:
        model = Event
        fields = ["id", "type", "customer", "time", "data"]
        # The validator that the constraint brings would ask the database for each event; the constraint decides.
        validators = []


class EventList(APIView):
    def post(self, request: Request) -> Response:
        serializer = EventSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        try:
            serializer.save()
        except IntegrityError:
            return Response({"id": serializer.validated_data["event_id"], "status": "duplicate"}, status=200)
        return Response({"id": serializer.validated_data["event_id"], "status": "accepted"}, status=201)


class EventBatch(APIView):
    def post(self, request: Request) -> Response:
        """A list of events. How many were duplicates is not known: `ignore_conflicts` does not tell."""
        serializer = EventSerializer(data=request.data, many=True)
        serializer.is_valid(raise_exception=True)
        events = [Event(**values) for values in serializer.validated_data]
        Event.objects.bulk_create(events, ignore_conflicts=True)
        return Response({"accepted": len(events), "duplicates": 0}, status=202)
