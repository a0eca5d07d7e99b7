"""Lago's events as its documentation and its source say, on loopback: a small stateful HTTP server.

- `POST /api/v1/events`, `/events/batch` of 1 to 100; `Authorization: Bearer`: docs.getlago.com/api-reference/events
- `transaction_id` and `code` must be there; a batch is taken whole or not at all, with faults by place: lago-api,
  `Events::CreateBatchService`, `Event`
- one `transaction_id` in a subscription once, 422 `value_already_exist`; in the pipeline on ClickHouse one of another
  timestamp is a second event, one of the same replaces it: docs.getlago.com/guide/events/ingesting-usage
- errors are `{"status", "error", "code": "validation_errors", "error_details"}`: lago-api, `ApiErrors`

Its books add up the `quantity` of each metric and subscription, as a billable metric of `sum_agg` does.
"""

import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ALREADY = "value_already_exist"
FAULTS = ("reset_before", "reset_after", "hang_before", "hang_after", "429", "500", "500_after", "401")


class LagoServer:
    """``faults`` are those of the next requests, in order ("" for none); ``refuse`` says what is wrong with one."""

    def __init__(self, *, clickhouse: bool = False, places: bool = True) -> None:
        self.key = "lago-test"
        self.clickhouse = clickhouse
        self.places = places  # else a duplicate in a batch is told of without its place
        self.faults: list[str] = []
        self.log: list[tuple[str, int, int]] = []  # path, events, status (0: no answer)
        self.sent: Counter[str] = Counter()  # how often each event was sent, whatever was answered
        self.refuse: Callable[[dict[str, Any]], dict[str, list[str]]] = lambda event: {}
        self.events: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.hang_for = 1.0
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def books(self) -> dict[tuple[str, str], Decimal]:
        """By subscription and metric, what its events come to."""
        sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        for event in self.events.values():
            sums[event["external_subscription_id"], event["code"]] += Decimal(event["properties"]["quantity"])
        return dict(sums)

    def ids(self) -> list[str]:
        return sorted(event["transaction_id"] for event in self.events.values())

    # --- Answers ------------------------------------------------------------------------------------------------------

    def answer(self, path: str, authorization: str, body: Any) -> tuple[int, Any]:
        if authorization != f"Bearer {self.key}":
            return 401, {"status": 401, "error": "Unauthorized"}
        if path == "/api/v1/events":
            if not isinstance(body.get("event"), dict):
                return 400, {"status": 400, "error": "BadRequest: param is missing or the value is empty: event"}
            return self._take([body["event"]], batch=False)
        if path == "/api/v1/events/batch":
            events = body.get("events")
            if not events:
                return _invalid({"events": ["no_events"]})
            return _invalid({"events": ["too_many_events"]}) if len(events) > 100 else self._take(events, batch=True)
        return 404, {"status": 404, "error": "Not Found"}

    def _take(self, events: list[dict[str, Any]], *, batch: bool) -> tuple[int, Any]:
        with self.lock:
            faults = {place: fault for place, one in enumerate(events) if (fault := self._faults_of(one))}
            if faults and not batch:
                return _invalid(faults[0])
            if faults:
                duplicates = all(fault == {"transaction_id": [ALREADY]} for fault in faults.values())
                return _invalid({"transaction_id": [ALREADY]} if duplicates and not self.places else faults)
            for one in events:
                self.events[self._identity(one)] = one
        shown = [{**one, "lago_id": "1a901a90-1a90-1a90-1a90-1a901a901a90"} for one in events]
        return 200, {"events": shown} if batch else {"event": shown[0]}

    def _identity(self, event: dict[str, Any]) -> tuple[Any, ...]:
        plain = event.get("external_subscription_id"), event.get("transaction_id")
        return (*plain, event.get("timestamp")) if self.clickhouse else plain

    def _faults_of(self, event: dict[str, Any]) -> dict[str, list[str]]:
        found = {name: ["value_is_mandatory"] for name in ("transaction_id", "code") if not event.get(name)}
        if not isinstance(event.get("timestamp"), int):
            found["timestamp"] = ["invalid_format"]
        if not self.clickhouse and self._identity(event) in self.events:
            found["transaction_id"] = [ALREADY]
        return found | self.refuse(event)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        lago = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lago.lock:
                    lago.sent.update(one["transaction_id"] for one in body.get("events", [body.get("event")]))
                    fault = lago.faults.pop(0) if lago.faults else ""
                status, answer, headers = 0, None, {}
                if fault in ("", "reset_after", "hang_after", "500_after"):
                    status, answer = lago.answer(self.path, self.headers["Authorization"], body)
                if fault == "429":
                    status, answer, headers = 429, {"status": 429, "error": "Too Many Requests"}, {"Retry-After": "30"}
                elif fault in ("500", "500_after"):
                    status, answer = 500, {"status": 500, "error": "Internal Server Error"}
                elif fault == "401":
                    status, answer = 401, {"status": 401, "error": "Unauthorized"}
                elif fault:
                    status = 0
                lago.log.append((self.path, len(body.get("events", [1])), status))
                if fault.startswith("hang"):
                    time.sleep(lago.hang_for)
                if not status:
                    self.connection.close()
                    return
                text = json.dumps(answer).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(text))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args: object) -> None:
                pass

        return Handler


def _invalid(details: dict[Any, Any]) -> tuple[int, Any]:
    return 422, {
        "status": 422,
        "error": "Unprocessable Entity",
        "code": "validation_errors",
        "error_details": {str(name): value for name, value in details.items()},
        "error_extra": {},
    }
