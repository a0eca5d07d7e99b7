"""Every list of the admin as CSV: whatever is in the data, no cell begins a formula; the rows are those of the list;
and memory does not grow with their number.
"""

import csv
import io
import re
import tracemalloc
from copy import copy
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from access import exporting, ids
from invoicing import billing
from invoicing.models import Invoice
from outcomes.models import Outcome, Subject
from tests.invoicing.conftest import World, make_world, world
from workplace import exporting as lists

__all__ = ["make_world", "world"]

APRIL_1 = datetime(2026, 4, 1, tzinfo=UTC)
MARCH_15 = datetime(2026, 3, 15, tzinfo=UTC)

# What an attacker has to play with, between anything else.
PIECES = st.sampled_from([*"=+-@\t\r\n\"';,| ＝＋－＠0A", " ", "\ufeff", "​", "−", 'cmd|"/C calc"!A0', "=1+1"])
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=3)), max_size=12).map("".join)
BLANK = "\ufeff​‎⁠\u00ad\u180e"
FORMULA = re.compile("[=+\\-@＝＋－＠﹢﹣﹦﹫−]\\s*\\S")


def begins_a_formula(cell: str) -> bool:
    """As the most forgiving of readers has it, who drops blanks, quotes and what cannot be seen."""
    seen = cell
    while seen and (seen[0].isspace() or seen[0] in '"`‘’“”' + BLANK or ord(seen[0]) < 32):
        seen = seen[1:]
    return FORMULA.match(seen) is not None


# --- A cell -----------------------------------------------------------------------------------------------------------


@given(TEXTS)
def test_no_text_is_a_formula_however_the_file_is_cut(text: str) -> None:
    line = "".join(exporting.lines([["x", exporting.cell(text), "y"]]))
    [[_, cell, _]] = csv.reader(io.StringIO(line, newline=""))
    assert not begins_a_formula(cell)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    # Where a semicolon or a tab begins a cell, and where a quote inside a line means nothing.
    for one in re.split("[;\t\r\n]", cell):
        assert not begins_a_formula(one), cell


@given(TEXTS)
def test_what_is_marked_comes_back(text: str) -> None:
    cell = exporting.text_cell(text)
    assert cell.replace("'", "") == text.replace("'", "")
    if text.isalnum():
        assert cell == text


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_figure_stays_what_it_is(figure: Decimal) -> None:
    text = exporting.cell(figure)
    assert Decimal(text) == figure
    assert re.fullmatch(r"-?\d+(\.\d*[1-9])?", text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (-5, "-5"),
        (Decimal("1.50"), "1.5"),
        (Decimal(f"-2.{'3' * 33}1"), f"-2.{'3' * 33}1"),
        (MARCH_15, "2026-03-15T00:00:00Z"),
        (MARCH_15.date(), "2026-03-15"),
        ("-5", "'-5"),
        (" =1+1", "' =1+1"),
        ("fine; =1+1", "fine;' =1+1"),
        ("A = B; 5 + 5 - x@y", "A = B; 5 + 5 - x@y"),
    ],
)
def test_values(value: Any, text: str) -> None:
    assert exporting.cell(value) == text


# --- Every list -------------------------------------------------------------------------------------------------------

EVIL = '=HYPERLINK("http://evil.example","you win")'


@pytest.fixture
def owner(db: None) -> Client:
    user = User.objects.create_user("owner", is_staff=True, first_name=EVIL, last_name="＝1")
    user.groups.add(Group.objects.get(name="owner"))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def issued(world: World) -> Invoice:
    """An invoice of 4.00 and three outcomes, of a customer with an evil name."""
    acme = world.customer("+acme", name=EVIL, email="@SUM(1)")
    world.contract(acme)
    world.outcomes(acme, 2, MARCH_15)
    billing.run(now=APRIL_1)
    world.outcome(acme, APRIL_1, state="provisional")
    return Invoice.objects.get()


def exported(client: Client, address: str) -> list[dict[str, str]]:
    answer = client.post(address)
    assert answer.status_code == 200 and answer.streaming, answer
    assert answer["Content-Type"].startswith("text/csv; charset=utf-8")
    text = b"".join(answer.streaming_content).decode()
    assert text.startswith("\ufeff")
    rows = list(csv.DictReader(io.StringIO(text[1:], newline="")))
    for row in rows:
        for cell in row.values():
            assert re.fullmatch(r"-?\d+(\.\d+)?", cell) or not begins_a_formula(cell), cell
    return rows


def test_every_list_is_exported(issued: Invoice, owner: Client) -> None:
    """All that are registered, with the rows that the list has, and amounts only as figures."""
    with_rows = set()
    for model in admin.site._registry:
        page = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        shown = owner.get(page).context_data["cl"]
        ids_shown = [row.pk for row in shown.queryset]
        rows = exported(owner, f"{page}export/")
        assert len(rows) == len(ids_shown) + (model is LogEntry), (page, "the trail has the export itself, too")
        if rows:
            with_rows.add(model.__name__)
            assert len(rows[0]) == len(set(rows[0])), (page, "two columns of one name")
            assert not any(re.fullmatch("[A-Z]{3} -?[0-9,.]+", cell) for row in rows for cell in row.values()), page
    assert with_rows > {"Customer", "Contract", "Outcome", "Invoice", "User", "LogEntry", "Condition", "RateCard"}


def test_columns(issued: Invoice, owner: Client) -> None:
    [row] = exported(owner, "/admin/invoicing/invoice/export/")
    assert row["id"] == ids.encode("inv", issued.pk)
    assert (row["Total"], row["Credited"], row["Due"], row["Currency"]) == ("4.00", "0.00", "4.00", "USD")
    assert (row["Customer"], row["Customer key"]) == (f"'{EVIL}", "'+acme")
    assert row["created_at"] == "2026-04-01T00:00:00Z"
    assert "PDF" not in row, "a link, which tells nothing"
    rows = exported(owner, "/admin/outcomes/outcome/export/")
    assert {one["State"] for one in rows} == {"confirmed", "provisional"}
    assert all(one["id"].startswith("out_") for one in rows)
    assert {one["Met at"] for one in rows} == {"2026-03-12T00:00:00Z", "2026-03-29T00:00:00Z"}
    assert {one["Quantity"] for one in rows} == {"1"}


def test_filters_search_and_order_are_those_of_the_list(issued: Invoice, owner: Client) -> None:
    page = "/admin/outcomes/outcome/"
    for query in ("", "?state__exact=provisional", "?q=T-2", "?o=1", "?o=-1", "?q=nobody"):
        shown = [ids.encode("out", one.pk) for one in owner.get(f"{page}{query}").context_data["cl"].queryset]
        assert [row["id"] for row in exported(owner, f"{page}export/{query}")] == shown
    assert owner.post(f"{page}export/?next=//evil.example").url == page
    said = list(LogEntry.objects.order_by("id").values_list("object_repr", "change_message"))
    assert said[:2] == [
        ("list of outcomes", "Exported as CSV: all of it."),
        ("list of outcomes", "Exported as CSV, narrowed by ?state__exact=provisional"),
    ]
    assert len(said) == 6, "what was refused is none"


def test_it_is_for_who_sees_the_list_and_by_post_alone(issued: Invoice) -> None:
    engineer = User.objects.create_user("engineer", is_staff=True)
    engineer.groups.add(Group.objects.get(name="engineer"))
    client = Client(enforce_csrf_checks=True)
    client.force_login(engineer)
    led = client.get("/admin/outcomes/outcome/export/?state__exact=void")
    assert (led.status_code, led.url) == (302, "/admin/outcomes/outcome/?state__exact=void")
    assert client.post("/admin/outcomes/outcome/export/").status_code == 403, "without a token"
    client = Client()
    client.force_login(engineer)
    assert client.post("/admin/outcomes/outcome/export/").status_code == 200
    assert client.post("/admin/invoicing/invoice/export/").status_code == 403
    assert b"export/" in client.get("/admin/outcomes/outcome/").content


def test_memory_is_flat(issued: Invoice, owner: Client, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight times the rows take no more memory: rows are let go of as they are written."""
    monkeypatch.setattr(lists, "AT_ONCE", 50)
    monkeypatch.setattr(lists, "LINES_AT_ONCE", 50)
    model = Outcome.objects.order_by("id")[0]

    def more(count: int) -> None:
        keys = [Subject(customer=issued.customer, condition=world.condition, key=str(uuid4())) for _ in range(count)]
        fresh = []
        for subject in Subject.objects.bulk_create(keys):
            one = copy(model)
            one.pk, one.subject, one.state = uuid4(), subject, "provisional"
            fresh.append(one)
        Outcome.objects.bulk_create(fresh)

    def peak() -> tuple[int, int]:
        answer = owner.post("/admin/outcomes/outcome/export/")
        tracemalloc.start()
        lines = sum(piece.count(b"\n") for piece in answer.streaming_content)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return lines, highest

    peak()  # what is made once
    more(150)
    few, low = peak()
    more(1050)
    many, high = peak()
    assert many > few * 7
    assert high < low * 1.3, (few, low, many, high)
