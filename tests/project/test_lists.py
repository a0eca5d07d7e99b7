"""Every list of the admin asks as much for many rows as for few, and nothing of it reads a big table.

Both are asked of all lists that are registered, with rows of every kind (`benchmarks.lists_stored`): a new list fails
until it has rows there. What a query would cost among millions the planner says, once the tables are said to be so big.
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.test import Client, RequestFactory
from unfold.templatetags.unfold_list import results

from access import lists
from benchmarks.lists_stored import TINY, Filling
from invoicing.models import Invoice
from tests.database import analyse
from workplace.queue_outcomes import Incomplete

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label_lower)
NAMES = [model._meta.label_lower for model in MODELS]
FEW, MANY = 3, 15
MOST_QUERIES = 25
NO_MORE = {"payments.connection": 2}
"""Lists that never have many rows."""
ALL_ROWS = {"outcomes.inboxitem": "status=all", "settlement.hold": "status=all"}
"""Lists that begin with a choice of their rows."""

SMALL, MIDDLE, BIG = 2_000, 200_000, 5_000_000
"""Rows that the planner is told of: of what grows with customers and staff; with trouble and decisions; and of the
rest, which is events, outcomes, invoices, messages, operations.
"""
OF_CUSTOMERS_AND_STAFF = (
    *("contracts_", "auth_", "access_apikey", "simulation_", "django_content_type", "portal_", "workplace_"),
    *("webhooks_endpoint", "webhooks_secret", "invoicing_parkedcustomer", "invoicing_numberseries", "settlement_hold"),
    *("outcomes_import", "outcomes_archivedmonth", "outcomes_backfill", "outcomes_customerbackfill"),
    *("payments_connection", "payments_stripecustomer", "payments_taxlookup", "payments_reconciliation"),
)
OF_TROUBLE = (
    *(
        "django_admin_log",
        "access_trailentry",
        "outcomes_lateevidence",
        "outcomes_decision",
        "outcomes_pending",
        "settlement_dispute",
        "payments_finding",
    ),
    *("payments_dunning", "payments_stripecredit", "invoicing_creditallocation", "invoicing_creditapplication"),
)
RARE = {"webhooks.delivery": {"type"}}
"""Filters of which a rare value makes the list look through all rows. An index would be written by each message several
times, and messages are kept for a month only: so it is left to the time that a list has.
"""
TOO_MUCH = 50_000.0
"""In the planner's unit, and not counting pages: reading a big table takes more, a page of rows by an index a tenth."""


@pytest.fixture(scope="module", autouse=True)
def filled(django_db_setup: None, django_db_blocker: Any) -> Iterator[User]:
    """Rows of every kind, gone when the module is done."""
    with django_db_blocker.unblock(), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL max_parallel_workers_per_gather = 0")
            Filling(connection.connection, TINY, lambda _: None).fill()
        analyse()
        owner = User.objects.create_user("keeper", is_staff=True)
        owner.groups.set([Group.objects.get(name="owner")])
        yield owner
        transaction.set_rollback(True)


@pytest.fixture
def big(filled: User) -> Iterator[None]:
    """The planner takes the tables for big ones, with the values that they have."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE pg_class SET
                relpages = greatest(1, pg_relation_size(oid) / 8192),
                reltuples = CASE WHEN relname LIKE ANY(%s) THEN %s WHEN relname LIKE ANY(%s) THEN %s ELSE %s END
            WHERE relkind IN ('r', 'i') AND relnamespace = 'public'::regnamespace
            """,
            [_like(OF_CUSTOMERS_AND_STAFF), SMALL, _like(OF_TROUBLE), MIDDLE, BIG],
        )
        # So many different values as were seen, not such a part of the rows.
        cursor.execute(
            """
            UPDATE pg_statistic s SET stadistinct = greatest(1, round(-s.stadistinct * 500))
            FROM pg_class c WHERE c.oid = s.starelid AND c.relnamespace = 'public'::regnamespace
                AND s.stadistinct < 0 AND s.stadistinct > -1
            """
        )
        yield
        transaction.set_rollback(True)


def _like(names: tuple[str, ...]) -> list[str]:
    return [f"{name}%" for name in names]


class Asked:
    """Statements and their parameters, as an execute wrapper."""

    def __init__(self) -> None:
        self.statements: list[tuple[str, Any]] = []

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self.statements.append((sql, params))
        return execute(sql, params, many, context)


def model_admin_of(name: str) -> tuple[Any, Any]:
    model = MODELS[NAMES.index(name)]
    return model, admin.site._registry[model]


def address_of(model: Any) -> str:
    return f"/admin/{model._meta.app_label}/{model._meta.model_name}/"


# --- As much for many as for few --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_list_asks_as_much_for_many_rows_as_for_few(name: str, filled: User, monkeypatch: pytest.MonkeyPatch) -> None:
    model, model_admin = model_admin_of(name)
    assert isinstance(model_admin, lists.ModelAdmin)
    query = dict(parse_qsl(ALL_ROWS.get(name, "")))
    asked = []
    for rows in (FEW, MANY):
        monkeypatch.setattr(model_admin, "list_per_page", rows)
        statements = Asked()
        with connection.execute_wrapper(statements):
            cl = opened(model, model_admin, query)
            assert len(list(results(cl))) == len(cl.result_list)
        assert len(cl.result_list) == min(rows, NO_MORE.get(name, rows)), "benchmarks/lists_stored.py has to make more"
        asked.append([sql for sql, _ in statements.statements])
    few, many = asked
    assert len(many) == len(few), [sql for sql in many if many.count(sql) > 1]
    # What is around the rows asks little, and nothing of each.
    client, statements = Client(), Asked()
    client.force_login(filled)
    with connection.execute_wrapper(statements):
        answer = client.get(address_of(model), query)
    assert answer.status_code == 200 and len(answer.context_data["cl"].result_list) == len(cl.result_list)
    assert len(many) < len(statements.statements) <= MOST_QUERIES


# --- What a list does -------------------------------------------------------------------------------------------------


@pytest.fixture
def client(filled: User) -> Client:
    found = Client()
    found.force_login(filled)
    return found


def changelist(client: Client, name: str, **query: str) -> Any:
    answer = client.get(address_of(MODELS[NAMES.index(name)]), query)
    assert answer.status_code == 200
    return answer.context_data["cl"], " ".join(answer.content.decode().split())


def test_rows_are_counted_and_paged_up_to_a_bound(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MOST", 70)
    cl, page = changelist(client, "outcomes.outcome")
    assert (cl.result_count, cl.paginator.num_pages, len(cl.result_list)) == (70, 2, 50)
    assert "more than 70 outcomes; the pages have the first 70: filter or search for others" in page
    cl, _ = changelist(client, "outcomes.outcome", p="2")
    assert len(cl.result_list) == 20
    beyond = client.get("/admin/outcomes/outcome/", {"p": "3"})
    assert beyond.status_code == 302 and beyond.url.endswith("?e=1")


def test_what_is_all_on_the_first_page_is_not_counted(client: Client) -> None:
    statements = Asked()
    with connection.execute_wrapper(statements):
        cl, page = changelist(client, "outcomes.outcome", q="INC00000440")
    assert [outcome.subject.key for outcome in cl.result_list] == ["INC00000440"]
    assert "1 outcome" in page
    assert not [sql for sql, _ in statements.statements if "COUNT(" in sql]


def test_what_takes_too_long_is_given_up_and_said(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "SECONDS", 0.05)
    slow = admin.site._registry[MODELS[NAMES.index("outcomes.event")]]
    rows = slow.get_queryset

    def sleeping(request: Any) -> Any:
        return rows(request).extra(where=["pg_sleep(0.1) IS NOT NULL"])

    monkeypatch.setattr(slow, "get_queryset", sleeping)
    cl, page = changelist(client, "outcomes.event")
    assert cl.too_long and list(cl.result_list) == []
    assert "given up: filter or search for fewer" in page and "not found within 0.05 seconds" in page
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.1)")  # only the list has no time


def test_all_means_what_the_pages_show(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MOST", 70)
    data = {"action": "resend_chosen", "select_across": "1", "_selected_action": ["1"]}
    answer = client.post("/admin/webhooks/delivery/", data, follow=True)
    assert "These are more than 70: filter or search for fewer. Nothing was done." in answer.content.decode()


@pytest.mark.parametrize("keys", [1, 1000])
def test_words_are_found_through_other_tables(client: Client, monkeypatch: pytest.MonkeyPatch, keys: int) -> None:
    """However many rows of the other tables have them."""
    monkeypatch.setattr(lists, "KEYS", keys)
    for name, word in (
        ("invoicing.invoice", "cust-7"),
        ("payments.stripeinvoice", "cust-7"),
        ("payments.operation", '"Customer 7"'),
        ("settlement.dispute", "cust-1"),
        ("contracts.condition", "cust-9"),
    ):
        cl, _ = changelist(client, name, q=word)
        model = MODELS[NAMES.index(name)]
        paths = [path.lstrip("=^") for path in cl.model_admin.search_fields]
        wanted = {
            row[0]
            for row in model._base_manager.values_list("pk", *paths)
            if any(
                _has(field, value, word.strip('"'))
                for field, value in zip(cl.model_admin.search_fields, row[1:], strict=True)
            )
        }
        assert {row.pk for row in cl.queryset} == wanted != set(), name
        assert len(cl.queryset) == len(wanted), name


def _has(field: str, value: Any, word: str) -> bool:
    text = str(value or "")
    return (
        text == word if field[0] == "=" else text.startswith(word) if field[0] == "^" else word.lower() in text.lower()
    )


def test_a_word_that_is_nowhere_finds_nothing(client: Client) -> None:
    cl, _ = changelist(client, "invoicing.invoice", q="cust-7 nowhere")
    assert list(cl.result_list) == []


def test_a_list_is_sorted_by_what_it_offers_alone(client: Client) -> None:
    cl, _ = changelist(client, "outcomes.outcome", o="4")
    assert cl.queryset.query.order_by == ("-id",)
    cl, _ = changelist(client, "invoicing.invoice", o="5")
    assert cl.queryset.query.order_by == ("total_minor", "-id")


def test_a_long_invoice_shows_its_lines_by_pages(client: Client, filled: User) -> None:
    longest = Invoice.objects.order_by("-pk").first()
    assert longest is not None and longest.lines.count() > 400
    page = client.get(f"/admin/invoicing/invoice/{longest.pk}/change/").content.decode()
    assert 40 < page.count("Incident resolved</p>") + page.count("Incident resolved\n") <= 110
    assert "lines-page=2" in page


# --- Plans ------------------------------------------------------------------------------------------------------------


def queries_of(model: Any, model_admin: Any) -> Iterator[dict[str, Any]]:
    """What may be asked of a list, as parameters of its address; of a filter with many values, some."""
    yield {}
    cl = opened(model, model_admin, {})
    for spec in cl.filter_specs:
        choices = [one for one in spec.choices(cl) if not one["selected"] and one["query_string"].strip("?")]
        for choice in choices if len(choices) <= 10 else choices[:4] + choices[-2:]:
            yield dict(parse_qsl(choice["query_string"][1:], keep_blank_values=True))
    for text in model_admin.search_fields:
        path = text.lstrip("=^")
        values = model._base_manager.order_by("-pk").values_list(path, flat=True)
        yield {"q": next((f'"{value}"' for value in values if value not in (None, "")), "acme")}
    if model_admin.search_fields:
        yield {"q": "nothing-is-called-so"}
    for number, column in enumerate(cl.list_display):
        if column != "action_checkbox" and cl.get_ordering_field(column) is not None:
            yield {"o": f"-{number}"}


def opened(model: Any, model_admin: Any, query: dict[str, Any]) -> Any:
    request = RequestFactory().get(address_of(model), query)
    request.user = User.objects.get(username="keeper")
    return model_admin.get_changelist_instance(request)


def costs(sql: str, params: Any) -> tuple[float, str]:
    """What the planner reckons, and the plan."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
        [(found,)] = cursor.fetchall()
    plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return float(plan["Total Cost"]), " < ".join(told(plan))


def told(plan: dict[str, Any]) -> Iterator[str]:
    yield f"{plan['Node Type']} {plan.get('Index Name') or plan.get('Relation Name') or ''} ({plan['Total Cost']:.0f})"
    for child in plan.get("Plans", ()):
        yield from told(child)


@pytest.mark.parametrize("name", NAMES)
def test_no_query_of_a_list_reads_a_big_table(name: str, big: None) -> None:
    model, model_admin = model_admin_of(name)
    known: dict[tuple[str, str], float] = {}
    wrong = []
    for query in queries_of(model, model_admin):
        if RARE.get(name, set()) & set(query):
            continue
        statements = Asked()
        with connection.execute_wrapper(statements):
            cl = opened(model, model_admin, query)
        assert not cl.too_long
        for sql, params in statements.statements:
            if sql.startswith("SELECT") and " FROM " in sql and (sql, str(params)) not in known:
                cost, plan = costs(sql, params)
                known[sql, str(params)] = cost
                if cost > TOO_MUCH:
                    wrong.append((query, plan, sql))
    assert wrong == [], "\n".join(f"{query}: {plan}\n{sql[:2000]}\n" for query, plan, sql in wrong)
    assert known


def test_what_is_to_complete_is_found_by_its_index(big: None) -> None:
    """By the review queue, however many outcomes there are."""
    rows = Incomplete().waiting().order_by()
    for asked in (rows, rows.filter(customer__key="cust-1")):
        assert "outcome_to_complete" in asked.explain()
