"""Roles: what staff may see and do in the admin, out of the box.

Each is a group of Django's that every `migrate` makes, and makes so again: its permissions follow the models of the
installation. Who is in it is for people to say; what it means is said here (``docs/security.md`` has the table).

| role     | is for                                                                       |
|----------|------------------------------------------------------------------------------|
| viewer   | who reads everything that is billed, and changes nothing                     |
| finance  | who runs the month: contracts, invoices, goodwill, refunds, disputes, dunning |
| approver | who decides what another prepared: credit notes, voids, disputes             |
| engineer | who runs the machinery and writes conditions, and sees no invoice            |
| owner    | everything, staff accounts included                                          |
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from django.apps import AppConfig
from django.apps import apps as installed
from django.http import HttpRequest

BILLING: Final = (
    "contracts", "outcomes", "settlement", "invoicing", "payments", "handover", "webhooks", "portal", "simulation",
)  # fmt: skip
TRAIL: Final = "admin.logentry"


class Role(NamedTuple):
    """``sees`` are apps or single models (``app.model``), ``may`` are permissions beside seeing (``app.codename``).
    None is everything.
    """

    name: str
    sees: tuple[str, ...] | None
    may: tuple[str, ...] | None

    def has(self, app: str, codename: str, model: str) -> bool:
        """Whether a permission belongs to the role."""
        if self.sees is None or self.may is None:
            return True
        seen = codename == f"view_{model}" and (app in self.sees or f"{app}.{model}" in self.sees)
        return seen or f"{app}.{codename}" in self.may


ROLES: Final = (
    Role("viewer", sees=BILLING, may=()),
    Role(
        "finance",
        sees=BILLING,
        may=(
            "contracts.add_customer",
            "contracts.add_taxrate",
            "contracts.add_ratecard",
            "contracts.add_contract",
            "contracts.change_contract",
            "outcomes.change_outcome",
            "outcomes.change_lateevidence",
            "settlement.change_hold",
            "settlement.change_dispute",
            "access.decide_disputes",
            "access.issue_invoices",
            "access.settle_invoices",
            "access.give_goodwill",
            "access.note_refunds",
            "payments.change_dunning",
            "payments.change_operation",
            "payments.change_stripecredit",
            "simulation.add_simulation",
            "simulation.change_simulation",
            "simulation.add_shadow",
            "simulation.change_shadow",
            "portal.add_portallink",
            "portal.change_portallink",
        ),
    ),
    Role(
        "approver",
        sees=(*BILLING, TRAIL),
        may=(
            "access.approve_credit_notes",
            "access.void_invoices",
            "access.decide_disputes",
            "access.skip_operations",
            "settlement.change_hold",
        ),
    ),
    Role(
        "engineer",
        sees=(
            "contracts",
            "outcomes",
            "settlement",
            "handover",
            "webhooks",
            "simulation",
            "access.apikey",
            "payments.operation",
            "payments.step",
            "payments.connection",
            "payments.stripecustomer",
            "payments.stripeevent",
            "payments.taxlookup",
        ),
        may=(
            "contracts.add_condition",
            "contracts.add_testclock",
            "contracts.change_testclock",
            "outcomes.change_inboxitem",
            "outcomes.change_import",
            "payments.change_operation",
            "payments.change_stripeevent",
            "simulation.add_simulation",
            "simulation.change_simulation",
            "simulation.add_shadow",
            "simulation.change_shadow",
            "handover.change_handover",
            "webhooks.change_endpoint",
            "webhooks.change_delivery",
            "access.change_apikey",
        ),
    ),
    Role("owner", sees=None, may=None),
)
NAMES: Final = frozenset(role.name for role in ROLES)


def sync(app_config: AppConfig, using: str = "default", apps: Any = installed, **kwargs: Any) -> None:
    """Give each role's group exactly those permissions of one app that the role has: after each `migrate`, for each
    app, once Django has made the app's permissions (`post_migrate`).
    """
    try:
        permission_model, group_model = apps.get_model("auth", "Permission"), apps.get_model("auth", "Group")
    except LookupError:  # migrated back to before there are groups
        return
    rows = permission_model.objects.using(using).filter(content_type__app_label=app_config.label)
    known = list(rows.values_list("pk", "codename", "content_type__model"))
    for role in ROLES:
        group, _ = group_model.objects.using(using).get_or_create(name=role.name)
        wanted = {pk for pk, codename, model in known if role.has(app_config.label, codename, model)}
        held = group.permissions.filter(content_type__app_label=app_config.label)
        present = set(held.values_list("pk", flat=True))
        group.permissions.add(*wanted - present)
        group.permissions.remove(*present - wanted)


def may(permission: str) -> Callable[..., bool]:
    """For an admin: ``has_issue_permission = may("access.issue_invoices")`` is what ``permissions=["issue"]`` of its
    actions asks.
    """

    def has_permission(self: Any, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(request.user.has_perm(permission))

    return has_permission
