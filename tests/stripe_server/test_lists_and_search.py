"""Pages of lists, and search that is behind."""

from typing import Any

import pytest

from tests.stripe_server import StripeServer

Refused = Any


def test_lists_come_newest_first_in_pages(v1: Any, refused: Refused) -> None:
    made = [v1.customers.create({"name": str(n)}).id for n in range(25)][::-1]
    first = v1.customers.list()
    assert ([found.id for found in first.data], first.has_more) == (made[:10], True)
    assert [found.id for found in v1.customers.list({"limit": 7}).auto_paging_iter()] == made
    second = v1.customers.list({"limit": 10, "starting_after": made[9]})
    assert [found.id for found in second.data] == made[10:20]
    back = v1.customers.list({"limit": 5, "ending_before": made[10]})
    assert ([found.id for found in back.data], back.has_more) == (made[5:10], True)
    for limit in (0, 101):
        assert refused(v1.customers.list, {"limit": limit})["param"] == "limit"
    assert refused(v1.customers.list, {"starting_after": "cus_none"})["param"] == "starting_after"


def test_invoices_are_listed_by_customer_status_and_time(
    stripe: StripeServer, v1: Any, customer: str, draft: Any
) -> None:
    stripe.clock.set(1_800_000_000)
    other = v1.customers.create({"email": "b@x.example"}).id
    ids = []
    for n in range(6):
        ids.append(draft(1000, customer=other if n % 2 else customer).id)
        stripe.clock.advance(seconds=60)
    v1.invoices.finalize_invoice(ids[0])

    def listed(**params: Any) -> list[str]:
        return [invoice.id for invoice in v1.invoices.list(params).auto_paging_iter()]

    assert listed(customer=customer) == [ids[4], ids[2], ids[0]]
    assert listed(customer=customer, status="open") == [ids[0]]
    assert listed(status="draft", limit=2) == ids[:0:-1]
    assert listed(created={"gte": 1_800_000_060, "lt": 1_800_000_180}) == [ids[2], ids[1]]
    assert listed(created=1_800_000_300) == [ids[5]]
    assert listed(collection_method="charge_automatically") == []


def test_search_sees_what_is_old_enough(v1: Any, customer: str, draft: Any) -> None:
    invoice = draft(1000, metadata={"holdfast_invoice": "i1"})  # two requests: made, and its line added
    query = {"query": "metadata['holdfast_invoice']:'i1'"}
    seen = [len(v1.invoices.search(query).data) for _ in range(5)]
    assert seen == sorted(seen) and seen[0] == 0 and seen[-1] == 1
    v1.invoices.update(invoice.id, {"metadata": {"holdfast_invoice": "i2"}})
    assert len(v1.invoices.search(query).data) == 1, "the index still has the old value"
    for _ in range(3):
        v1.customers.list()
    assert len(v1.invoices.search(query).data) == 0
    assert [invoice.id for invoice in v1.invoices.list({"customer": customer}).data] == [invoice.id]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ('name:"anna"', ["Anna"]),
        ('name~"ann"', ["Hannes", "Anna"]),
        ('email:"b@x.example" AND metadata["plan"]:"pro"', ["Bert"]),
        ('email:"b@x.example" metadata["plan"]:"free"', []),
        ('name:"anna" OR name:"bert"', ["Bert", "Anna"]),
        ('-metadata["plan"]:null', ["Bert"]),
        ('metadata["plan"]:null', ["Hannes", "Anna"]),
        ("created>=0 AND created<1", []),
    ],
)
def test_the_query_language(stripe: StripeServer, v1: Any, query: str, names: list[str]) -> None:
    for name, metadata in (("Anna", {}), ("Bert", {"plan": "pro"}), ("Hannes", {})):
        v1.customers.create({"name": name, "email": f"{name[0].lower()}@x.example", "metadata": metadata})
    for _ in range(4):
        v1.customers.list()
    assert [found.name for found in v1.customers.search({"query": query, "limit": 1}).auto_paging_iter()] == names


@pytest.mark.parametrize("query", ["", "shoe:'9'", "name='x'", "name:'a' AND name:'b' OR name:'c'", "metadata:'x'"])
def test_queries_that_are_none(v1: Any, refused: Refused, query: str) -> None:
    assert refused(v1.customers.search, {"query": query})["status"] == 400


def test_expanding(v1: Any, customer: str, opened: Any, refused: Refused) -> None:
    invoice = opened(1000)
    found = v1.invoices.retrieve(invoice.id, {"expand": ["customer", "payments.data.payment.payment_intent"]})
    assert (found.customer.name, found.payments.data[0].payment.payment_intent.amount) == ("Acme", 1000)
    assert v1.invoices.list({"expand": ["data.customer"]}).data[0].customer.id == customer
    note = v1.credit_notes.create({"invoice": invoice.id, "amount": 1, "expand": ["invoice.customer"]})
    assert note.invoice.customer.id == customer
    assert "payments" not in v1.invoices.retrieve(invoice.id)
    for wrong in ("total", "customer.name", "lines.invoice", "a.b.c.d.e"):
        assert refused(v1.invoices.retrieve, invoice.id, {"expand": [wrong]})["param"] == "expand"
    assert refused(v1.customers.create, {"expand": ["nothing"]})["param"] == "expand"
    assert len(v1.customers.list().data) == 1, "refused before it was made"
