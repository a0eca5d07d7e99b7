"""What must hold of the terms: `manage.py audit` proves it."""

from typing import Any

from django.db.models import Count, F, Max, Q

from access.invariants import Findings, Invariant, Scope
from conditions_dsl import ConditionError, parse
from contracts import windows
from contracts.models import Condition, Contract, Customer
from contracts.partitions import partition_of

_PRICES = """
SELECT CASE WHEN p.unit_price = 'NaN' OR p.unit_price < 0 OR p.unit_price >= 1e15
                THEN 'a price is no sane amount'
            ELSE 'a price hangs on a card and on a contract, or on neither' END AS problem,
       p.id AS price
FROM contracts_price p
WHERE %(customer)s::bigint IS NULL
  AND (p.unit_price = 'NaN' OR p.unit_price < 0 OR p.unit_price >= 1e15
       OR num_nonnulls(p.rate_card_version_id, p.contract_version_id) <> 1)
"""

_OVERLAPS = """
SELECT 'two contracts of one customer overlap' AS problem, a.customer_id AS customer, a.id AS contract
FROM contracts_contract a JOIN contracts_contract b ON b.customer_id = a.customer_id AND b.id <> a.id
     AND tstzrange(a.starts_at, a.ends_at) && tstzrange(b.starts_at, b.ends_at)
WHERE %(customer)s::bigint IS NULL OR a.customer_id = %(customer)s
"""

_WINDOWS = """
SELECT CASE WHEN k.id IS NULL THEN 'a settlement window names no condition'
            ELSE 'a settlement window is no sane duration' END AS problem,
       c.customer_id AS customer, c.id AS contract, w.key AS condition_id, w.value AS seconds
FROM contracts_contractversion v JOIN contracts_contract c ON c.id = v.contract_id
CROSS JOIN LATERAL jsonb_each(v.settlement_windows) AS w(key, value)
LEFT JOIN contracts_condition k ON k.id::text = w.key
WHERE (k.id IS NULL OR CASE WHEN jsonb_typeof(w.value) = 'number'
                            THEN w.value::numeric NOT BETWEEN 0 AND %(longest)s ELSE true END)
  AND (%(customer)s::bigint IS NULL OR c.customer_id = %(customer)s)
"""

_PINS = """
SELECT CASE WHEN k.id IS NULL THEN 'a pinned version is of no condition'
            ELSE 'a pinned version does not exist' END AS problem,
       c.customer_id AS customer, c.id AS contract, p.key AS condition_id, p.value AS version
FROM contracts_contractversion v JOIN contracts_contract c ON c.id = v.contract_id
CROSS JOIN LATERAL jsonb_each(v.conditions) AS p(key, value)
LEFT JOIN contracts_condition k ON k.id::text = p.key
WHERE NOT EXISTS (SELECT FROM contracts_conditionversion n
                  WHERE n.condition_id = k.id AND to_jsonb(n.number) = p.value)
  AND (%(customer)s::bigint IS NULL OR c.customer_id = %(customer)s)
"""

_LIMITS = """
SELECT CASE WHEN k.limited THEN 'the condition is limited and names no customer'
            ELSE 'the condition is for everybody and names customers' END AS problem, k.slug AS condition
FROM contracts_condition k
WHERE k.limited <> EXISTS (SELECT FROM contracts_conditioncustomer n WHERE n.condition_id = k.id)
  AND %(customer)s::bigint IS NULL
"""


def _partitions(scope: Scope, findings: Findings) -> None:
    """Every customer sits in the partition of its key: evaluation locks it, settlement reads its watermark."""
    customers = Customer.objects.order_by("id")
    if scope.customer is not None:
        customers = customers.filter(id=scope.customer)
    for pk, key, partition in customers.values_list("id", "key", "partition").iterator():
        findings.checked += 1
        if partition != partition_of(key):
            findings.violation(
                {
                    "problem": f"the customer is in partition {partition}, its key belongs in {partition_of(key)}",
                    "customer": pk,
                }
            )


def _windows(scope: Scope, findings: Findings) -> None:
    """Every settlement window is of a condition that exists, and as long as the language lets one be."""
    findings.add_sql(_WINDOWS, {"customer": scope.customer, "longest": windows.MAX_SECONDS})


def _contracts(scope: Scope, findings: Findings) -> None:
    """Every contract has versions, numbered 1, 2, 3 ..., the first from its start on."""
    contracts = Contract.objects.annotate(count=Count("versions"), latest=Max("versions__number"))
    if scope.customer is not None:
        contracts = contracts.filter(customer=scope.customer)
    broken = contracts.filter(Q(count=0) | ~Q(latest=F("count")))
    for contract in broken.iterator():
        findings.violation(
            {
                "problem": f"the contract has {contract.count} versions, the latest numbered {contract.latest}",
                "customer": contract.customer_id,
                "contract": contract.pk,
            }
        )


def _conditions(scope: Scope, findings: Findings) -> None:
    """Every condition has versions, numbered 1, 2, 3 ..., that read as its slug and share one key."""
    for condition in Condition.objects.order_by("id").prefetch_related("versions"):
        versions = sorted(condition.versions.all(), key=lambda version: version.number)
        findings.checked += len(versions)

        def say(problem: str, slug: str = condition.slug, **more: Any) -> None:
            findings.violation({"problem": problem, "condition": slug} | more)

        if [version.number for version in versions] != list(range(1, len(versions) + 1)) or not versions:
            say("the condition's versions are not numbered 1, 2, 3 ...")
        keys = None
        for version in versions:
            try:
                parsed = parse(version.canonical)
            except ConditionError as error:
                say(f"the text cannot be read: {error}", version=version.number)
                continue
            if parsed.slug != condition.slug:
                say(f"the text is that of {parsed.slug}", version=version.number)
            if keys is not None and parsed.keys != keys:
                say("the text has another key than the version before", version=version.number)
            keys = parsed.keys


INVARIANTS = (
    Invariant(
        name="partitions",
        sentence="Each customer is in the partition of its key.",
        way_out="Two workers may evaluate the customer at once. Stop the workers, put the number the row names into "
        "contracts_customer.partition, outcomes_outcome.partition and outcomes_pending.partition, start them again.",
        of="customers",
        functions=(_partitions,),
    ),
    Invariant(
        name="conditions",
        sentence="Each condition's versions are numbered without a gap, can be read, and share one key; it names "
        "customers exactly where it is limited to them.",
        way_out="Versions are rows that never change: put the row back from a backup. What was evaluated meanwhile is "
        "found by the invariant `replay`.",
        of="versions",
        violations=(_LIMITS,),
        functions=(_conditions,),
    ),
    Invariant(
        name="contracts",
        sentence="Each contract has its versions, no two of a customer overlap, and each price, window and "
        "pin is sane.",
        way_out="Terms are rows that never change: put the row back from a backup. Invoices issued meanwhile are "
        "found by the invariant `amounts`; void and bill them again.",
        of="contracts",
        checked="SELECT count(*) FROM contracts_contract c "
        "WHERE %(customer)s::bigint IS NULL OR c.customer_id = %(customer)s",
        violations=(_PRICES, _OVERLAPS, _PINS),
        functions=(_contracts, _windows),
    ),
)
