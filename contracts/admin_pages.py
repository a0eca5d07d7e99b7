"""Pages of the admin on which rate cards and contracts are agreed and amended: inputs become a request of the API, go
through its use case, and what that refuses stands beside them. "Preview" shows what would be, and stores nothing; while
the inputs are edited, script asks the same page for the same, in parts (``_live``).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Field
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from rest_framework import serializers
from unfold import widgets

from access.errors import ApiError, Detail, flatten
from access.times import format_rfc3339
from conditions_dsl.words import plain as plain_text
from contracts import agreed, amendments, durations, pins, prices, queries, versions, windows
from contracts.admin_curves import by_label, curve_of
from contracts.admin_forms import area_field, moment_field, number_field, text_field
from contracts.admin_rows import CommitmentForm, FeeForm, PoolForm, PriceForm, Row, Rows
from contracts.admin_shown import CARD_BUTTONS, CARD_NOTES, TERMS_NOTES, picture_of
from contracts.agreements import create_contract, public_id
from contracts.apply.documents import DocumentError, parse_path, read_yaml
from contracts.changes import Change, Difference
from contracts.contract_serializers import AmendmentRequest, ContractRequest
from contracts.domain import rating
from contracts.domain.periods import BILLING_PERIODS
from contracts.history import History, history_of
from contracts.models import Contract, ContractVersion, Customer, Price, RateCard, RateCardVersion
from contracts.price_serializers import PriceRequest, RateCardRequest, prices_of
from contracts.prices import PriceFields
from contracts.rate_cards import put_rate_card
from contracts.refusals import conflict
from contracts.timeline import Amendment

TEMPLATE, LIVE = "contracts/terms_page.html", "contracts/terms_live.html"


def yaml_field(hint: str) -> forms.CharField:
    """Text in YAML, as in contracts.yaml; a few lines of it."""
    made = area_field(required=False, help_text=hint)
    made.widget.attrs["rows"] = 4
    return made


class RateCardHead(forms.Form):
    key = text_field(max_length=128, help_text="A new one, or that of a card whose next version this is.")
    currency = text_field(max_length=3, help_text="ISO 4217, such as USD; the same in all versions.")
    effective_from = moment_field(
        required=False, help_text="UTC. Left empty: a new card holds for everything, a later version from now on."
    )


def _choice(name: str) -> forms.ChoiceField:
    """One of the words that a term may be, said as the table of versions says it."""
    column = ContractVersion._meta.get_field(name)
    assert isinstance(column, Field)
    return forms.ChoiceField(
        choices=agreed.CHOICES[name].choices,
        initial=column.get_default(),
        widget=widgets.UnfoldAdminSelectWidget(),
        help_text=column.help_text,
    )


class TermsHead(forms.Form):
    """What a version says beside its rows."""

    YAML: ClassVar = ("settlement_windows", "conditions", "phases")

    rate_card = forms.ModelChoiceField(
        RateCard.objects.all(), to_field_name="key", widget=widgets.UnfoldAdminSelectWidget()
    )
    billing_period = forms.ChoiceField(
        choices=[(name, name) for name in BILLING_PERIODS],
        initial="monthly",
        widget=widgets.UnfoldAdminSelectWidget(),
    )
    anchor_day = number_field(initial=1, help_text="1 to 31; weekly 1 (Monday) to 7.")
    time_zone = text_field(max_length=64, required=False, help_text="Left empty: the customer's.")
    net_days = number_field(initial=30, help_text="Days from issue until an invoice is due.")
    discount_percent = text_field(required=False, help_text="Off what a period comes to: 10 means 10 %.")
    discount_amount = text_field(required=False, help_text="Or an amount off a full period.")
    minimum = text_field(required=False, help_text="A full period comes to at least so much.")
    cap = text_field(required=False, help_text="A full period comes to at most so much.")
    progressive_threshold = text_field(
        required=False, help_text="Unbilled usage of so much is invoiced inside the period."
    )
    zero_invoices = _choice("zero_invoices")
    credit_notes = _choice("credit_notes")
    credits = _choice("credits")
    collection_method = _choice("collection_method")
    pass_on = _choice("pass_on")
    trial = forms.BooleanField(
        required=False,
        widget=widgets.UnfoldBooleanWidget(),
        help_text="What is met is counted and shown, and nothing is charged.",
    )
    settlement_grace = text_field(required=False, help_text="For events that are delivered late: 12 hours.")
    settlement_windows = yaml_field(
        "Other durations for `settle after`, as under `settlement_windows:` in contracts.yaml: resolved_ticket: 14 days"
    )
    late_evidence = _choice("late_evidence")
    conditions = yaml_field("Pinned versions, as under `conditions:` in contracts.yaml: resolved_ticket: 2")

    def clean(self) -> dict[str, Any]:
        for name in self.YAML:
            if name in self.cleaned_data:
                try:
                    self.cleaned_data[name] = read_yaml(self.cleaned_data[name]).value
                except DocumentError as error:
                    self.add_error(name, f"Line {error.line}: {error.message}.")
        return self.cleaned_data

    def payload(self) -> dict[str, Any]:
        """As a request of the API has it; what is left empty is left out."""
        data = {name: _plain(value) for name, value in self.cleaned_data.items() if value not in (None, "")}
        parts = {name: data.pop(f"discount_{name}") for name in ("percent", "amount") if f"discount_{name}" in data}
        return {**data, "discount": parts} if parts else data


class ContractHead(TermsHead):
    customer = forms.ModelChoiceField(
        Customer.objects.all(), to_field_name="key", widget=widgets.UnfoldAdminSelect2Widget()
    )
    currency = text_field(max_length=3, required=False, help_text="The rate card's. Left empty: the customer's.")
    starts_at = moment_field(help_text="UTC.")
    ends_at = moment_field(required=False, help_text="UTC. Left empty: without an end.")
    phases = yaml_field(
        "Ramps and trials, as under `phases:` in contracts.yaml: - {starts_at: 2027-01-01T00:00:00Z, minimum: 100}"
    )
    field_order = ("customer", "currency", "starts_at", "ends_at")


class AmendHead(TermsHead):
    effective_at = moment_field(help_text="UTC. In the past for prices and other terms of money alone.")
    ends_at = moment_field(required=False, help_text="UTC. Sets the contract's end, or brings it forward.")
    based_on = forms.IntegerField(widget=forms.HiddenInput())
    field_order = ("based_on", "effective_at", "ends_at")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return format_rfc3339(value)
    if isinstance(value, RateCard | Customer):
        return value.key
    return value


class Page:
    """Inputs with what was wrong with them, and with what they would bring about."""

    ROWS: ClassVar[Mapping[str, type[Row]]] = {"prices": PriceForm}
    HEAD: ClassVar[type[forms.Form]]
    title = ""
    verb = ""
    more = ""
    """What "Preview" tells beside what is told while one types."""

    def __init__(
        self,
        data: Mapping[str, Any] | None,
        initial: Mapping[str, Any] | None = None,
        rows: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    ) -> None:
        self.head = self.HEAD(data, initial=dict(initial or {}))
        self.rows = {name: Rows(name, kind, data, (rows or {}).get(name, ())) for name, kind in self.ROWS.items()}
        self.preview: amendments.Preview | None = None
        self.previewed = False
        self.saving = False
        self.live = False
        self.differences: Sequence[Difference] = ()
        self.notes: list[SafeString] = []
        self.history: History | None = None

    def payload(self) -> dict[str, Any]:
        """The request of the API that the inputs say."""
        raise NotImplementedError

    def call(self, payload: Mapping[str, Any], now: datetime) -> Any:
        """Call the use case; the row that the admin goes on with."""
        raise NotImplementedError

    def currency(self) -> str:
        return str(self.head.cleaned_data.get("currency") or "")

    def in_force(self, now: datetime) -> Mapping[str, PriceFields]:
        """The prices in whose place those of the page are to stand, by what they are for."""
        raise NotImplementedError

    def submit(self, now: datetime, *, save: bool) -> Any:
        """The row that was written; None where something is wrong or this was a preview."""
        valid = self.head.is_valid()
        if not save:
            self._draw(now)
        if not valid:
            return None
        payload = self.payload()
        self.saving = save
        try:
            with transaction.atomic():
                row = self.call(payload, now)
                if not save:
                    transaction.set_rollback(True)
        except ApiError as refusal:
            self._complain(refusal.details or (Detail("", refusal.message, refusal.code),))
        except serializers.ValidationError as error:
            self._complain(list(flatten(error.detail)))
        else:
            self.previewed = not save
            return row if save else None
        return None

    def _complain(self, details: Sequence[Detail]) -> None:
        for detail in details:
            steps = parse_path(detail.path)
            name = str(steps[0]) if steps else ""
            if name in self.rows and self.rows[name].complain(_numbered(self.rows[name], steps[1:]), detail.message):
                continue
            if name == "discount":
                name = "discount_amount" if steps[1:] == ("amount",) else "discount_percent"
                steps = steps[:1]
            place = "" if len(steps) < 2 else f"{detail.path}: "
            self.head.add_error(name if name in self.head.fields else None, f"{place}{detail.message}")

    def _draw(self, now: datetime) -> None:
        """The curve of each price that can be read, beside the one in force."""
        before, currency = self.in_force(now), self.currency()
        for row, price in self.priced():
            row.curve = curve_of(price, currency, before.get(prices.label(price)))

    def priced(self) -> list[tuple[PriceForm, PriceFields]]:
        """The rows of prices that can be read, with what they say."""
        found = []
        for row in self.rows["prices"].meant:
            assert isinstance(row, PriceForm)
            request = PriceRequest(data=row.payload())
            if request.is_valid():
                [price] = prices_of([request.validated_data])
                if not rating.validate_prices([price.to_rating()]):
                    found.append((row, price))
        return found

    def problems(self) -> list[tuple[str, str]]:
        """What is wrong, as (input, message), for who does not look at the inputs."""
        rows = [row for one in self.rows.values() for row in one.meant]
        tiers = [tier for row in rows if isinstance(row, PriceForm) for tier in row.tiers.meant]
        found = []
        for form in (self.head, *rows, *tiers):
            for name, messages_ in form.errors.items():
                label = "" if name == "__all__" else str(form[name].label)
                found += [(label, str(message)) for message in messages_]
        return found

    def context(self) -> dict[str, Any]:
        return {
            "page": self, "head": self.head, "rows": self.rows.values(), "title": self.title, "verb": self.verb,
            "history": self.history and picture_of(self.history), "action": self.action(),
        }  # fmt: skip

    def action(self) -> str:
        """Where the inputs are sent."""
        raise NotImplementedError

    def note(self, request: HttpRequest, now: datetime) -> None:
        """Ask higher apps what they have to show of what was previewed."""

    def buttons(self, request: HttpRequest) -> list[tuple[str, str]]:
        """Further things that the inputs may be sent to: (text, URL)."""
        return []


def _numbered(rows: Rows, steps: Sequence[str | int]) -> Sequence[str | int]:
    """Pools are named by their name: find the row that says it."""
    if steps and isinstance(steps[0], str):
        names = [row.payload().get("name") for row in rows.meant]
        return [names.index(steps[0]), "units"] if steps[0] in names else steps
    return steps


class RateCardPage(Page):
    HEAD = RateCardHead
    title = "Rate card"
    verb = "Put it into force"
    more = "what the last closed periods would have cost"

    def payload(self) -> dict[str, Any]:
        given = {name: _plain(value) for name, value in self.head.cleaned_data.items() if value and name != "key"}
        return {**given, "prices": self.rows["prices"].payload()}

    def call(self, payload: Mapping[str, Any], now: datetime) -> RateCard:
        request = RateCardRequest(data=payload)
        request.is_valid(raise_exception=True)
        change = put_rate_card(self.head.cleaned_data["key"], request.fields_of(), now=now)
        if not change.wrote:
            message = f"Version {change.value.number} in force says this already."
            raise conflict("rate_card_unchanged", message)
        self.differences = change.differences
        card: RateCard = change.value.rate_card
        return card

    def in_force(self, now: datetime) -> Mapping[str, PriceFields]:
        found = queries.rate_cards().filter(key=self.head.cleaned_data.get("key") or "").first()
        version = found and versions.in_force(
            list(found.versions.all()), self.head.cleaned_data.get("effective_from") or now
        )
        return by_label(prices.stored(version)) if version else {}

    def note(self, request: HttpRequest, now: datetime) -> None:
        listed = [price for _, price in self.priced()]
        key = self.head.cleaned_data["key"]
        self.notes = [show(request, key, self.currency(), listed, now) for show in CARD_NOTES]

    def action(self) -> str:
        return reverse("admin:contracts_ratecard_add")

    def buttons(self, request: HttpRequest) -> list[tuple[str, str]]:
        return [button for make in CARD_BUTTONS if (button := make(request))]


class ContractPage(Page):
    ROWS: ClassVar = {"prices": PriceForm, "fees": FeeForm, "pools": PoolForm, "commitments": CommitmentForm}
    HEAD: ClassVar[type[forms.Form]] = ContractHead
    title = "Contract"
    verb = "Agree"
    more = "what it makes of the running period and of those that have ended"
    request: HttpRequest | None = None

    def payload(self) -> dict[str, Any]:
        rows = {name: self.rows[name].payload() for name in ("prices", "fees", "commitments")}
        pools = {pool.get("name", ""): pool.get("units", "") for pool in self.rows["pools"].payload()}
        return {**self.head.payload(), **rows, "pools": pools}  # type: ignore[attr-defined]

    def currency(self) -> str:
        customer = self.head.cleaned_data.get("customer")
        return super().currency() or ("" if customer is None else customer.currency)

    def call(self, payload: Mapping[str, Any], now: datetime) -> Contract | None:
        request = ContractRequest(data=payload)
        request.is_valid(raise_exception=True)
        given = request.fields_of()
        customer = self.head.cleaned_data["customer"]
        return self._shown(customer.pk, lambda: create_contract(given, now=now), now)

    def _shown(self, customer_id: int, change: Callable[[], Any], now: datetime) -> Contract | None:
        """What the use case wrote; where nothing is to be kept, what it would change."""
        if self.saving:
            contract: Contract = change().value
            return contract
        if self.live:  # nothing is worked out that takes its time while the customer is locked
            made: Change[Contract] = change()
            self.differences, self.history = made.differences, history_of(made.value, now)
            return None
        looks: list[list[Any]] = []

        def tried() -> Change[Contract]:
            looks.append(self._look(self.standing(), now))
            return change()

        def stood(contract: Contract) -> None:
            looks.append(self._look(contract, now))
            self.history = history_of(contract, now)

        self.preview = amendments.preview(customer_id, tried, stood, now=now)
        self.differences = self.preview.differences
        self.notes = [
            note.show(before, after, self.preview) for note, before, after in zip(TERMS_NOTES, *looks, strict=True)
        ]
        return None

    def _look(self, contract: Contract | None, now: datetime) -> list[Any]:
        if contract is None or self.request is None:
            return [None] * len(TERMS_NOTES)
        return [note.look(self.request, contract, now) for note in TERMS_NOTES]

    def action(self) -> str:
        return reverse("admin:contracts_contract_add")

    def standing(self) -> Contract | None:
        """The contract as it stands; None before it is agreed."""
        return None

    def in_force(self, now: datetime) -> Mapping[str, PriceFields]:
        """Of the chosen rate card at the start of what is entered."""
        card = self.head.cleaned_data.get("rate_card")
        if card is None:
            return {}
        start = self.head.cleaned_data.get("starts_at") or self.head.cleaned_data.get("effective_at") or now
        found = versions.in_force(list(card.versions.prefetch_related("prices__condition")), start)
        return by_label(prices.stored(found)) if found else {}


class AmendPage(ContractPage):
    HEAD: ClassVar = AmendHead
    verb = "Amend"

    def __init__(self, data: Mapping[str, Any] | None, contract: Contract, now: datetime) -> None:
        self.contract = contract
        version = queries.version_in_force(contract, now)
        super().__init__(data, _head_of(version), _rows_of(version, contract.currency))
        self.title = f"Amend {public_id(contract)} of {contract.customer.key}"

    def currency(self) -> str:
        return self.contract.currency

    def action(self) -> str:
        return reverse("admin:contracts_contract_amend_this", args=[self.contract.pk])

    def standing(self) -> Contract | None:
        return self.contract

    def in_force(self, now: datetime) -> Mapping[str, PriceFields]:
        """With the contract's own prices, which go before those of the card."""
        start = self.head.cleaned_data.get("effective_at") or now
        started = [one for one in self.contract.versions.all() if one.effective_at <= start]
        version = max(started, key=lambda one: (one.effective_at, one.number), default=None)
        own = {} if version is None else by_label(prices.stored(version))
        return {**super().in_force(now), **own}

    def call(self, payload: Mapping[str, Any], now: datetime) -> Contract | None:
        given = {name: value for name, value in payload.items() if name != "based_on"}
        for name in ("discount", "minimum", "cap", "progressive_threshold"):
            given.setdefault(name, None)
        for name in ("settlement_windows", "conditions"):
            given.setdefault(name, {})
        request = AmendmentRequest(data=given)
        request.is_valid(raise_exception=True)
        amendment = self._changes(request.fields_of())
        customer_id = self.contract.customer_id

        def amend() -> Any:
            change = amendments.amend_contract(self.contract.pk, amendment, now=now)
            if not change.wrote:
                raise conflict("contract_unchanged", "That changes nothing.")
            return change

        return self._shown(customer_id, amend, now)

    def _changes(self, given: Amendment) -> Amendment:
        """Only what differs from the version that the inputs were filled from: all else is as agreed at the time."""
        number = self.head.cleaned_data["based_on"]
        found = next((one for one in self.contract.versions.all() if one.number == number), None)
        if found is None:
            raise Http404
        base = replace(agreed.stored(found), commitments=())
        before = agreed.comparable(base)
        changes = {
            name: value
            for name, value in given.changes.items()
            if agreed.comparable(replace(base, **{name: value})) != before
        }
        return replace(given, changes=changes)


def _head_of(version: ContractVersion) -> dict[str, Any]:
    """What stands in the inputs of a page that amends a version."""

    def plain(amount: Decimal | None) -> str:
        return "" if amount is None else plain_text(amount)

    return {
        "based_on": version.number,
        "rate_card": version.rate_card.key,
        "billing_period": version.billing_period,
        "anchor_day": version.anchor_day,
        "time_zone": version.time_zone,
        "net_days": version.net_days,
        "discount_percent": plain(version.discount_percent),
        "discount_amount": plain(version.discount_amount),
        "minimum": plain(version.minimum),
        "cap": plain(version.cap),
        "progressive_threshold": plain(version.progressive_threshold),
        "trial": version.trial,
        "settlement_grace": durations.text_of(version.settlement_grace_seconds),
        "settlement_windows": _lines(windows.texts(version)),
        **{name: getattr(version, name) for name in agreed.CHOICES},
        "conditions": _lines(pins.of_version(version)),
    }


def _lines(mapping: Mapping[str, Any]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in mapping.items())


def _rows_of(version: ContractVersion, currency: str) -> dict[str, list[dict[str, Any]]]:
    told = queries.contract_version_json(version, currency)
    return {
        "prices": [_price_row(price, currency) for price in version.prices.all()],
        "fees": told["fees"],
        "pools": [{"name": name, "units": units} for name, units in version.pools.items()],
    }


def _price_row(price: Price, currency: str) -> dict[str, Any]:
    told = queries.price_json(price, currency)
    return {**told, "match": "; ".join(f"{name}={value}" for name, value in price.match.items())}


# --- Views ------------------------------------------------------------------------------------------------------------


def rate_card_page(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """A new rate card; with ``?card=ID`` the next version of one, filled with what is in force."""
    if not model_admin.has_add_permission(request):
        raise PermissionDenied
    now = timezone.now()
    wanted = request.GET.get("card", "")
    card = queries.rate_cards().filter(pk=int(wanted) if wanted.isdecimal() else 0).first()
    initial: dict[str, Any] = {}
    listed: list[dict[str, Any]] = []
    if card is not None:
        version: RateCardVersion = queries.shown_version(list(card.versions.all()), now)
        initial = {"key": card.key, "currency": version.currency}
        listed = [_price_row(price, version.currency) for price in version.prices.all()]
    posted = request.POST if request.method == "POST" else None
    page = RateCardPage(posted, initial, {"prices": [] if posted else listed})
    return _answer(model_admin, request, page, now, reverse("admin:contracts_ratecard_changelist"))


def contract_page(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """A new contract."""
    if not model_admin.has_add_permission(request):
        raise PermissionDenied
    page = ContractPage(request.POST if request.method == "POST" else None)
    return _answer(model_admin, request, page, timezone.now(), reverse("admin:contracts_contract_changelist"))


def amend_page(model_admin: Any, request: HttpRequest, object_id: Any) -> HttpResponse:
    """An amendment of a contract, filled with its terms in force."""
    if not request.user.has_perm("contracts.change_contract"):
        raise PermissionDenied
    contract = queries.contracts().filter(pk=object_id).first()
    if contract is None:
        raise Http404
    now = timezone.now()
    page = AmendPage(request.POST if request.method == "POST" else None, contract, now)
    return _answer(model_admin, request, page, now, reverse("admin:contracts_contract_change", args=[object_id]))


def _answer(model_admin: Any, request: HttpRequest, page: Page, now: datetime, back: str) -> HttpResponse:
    live = page.live = "_live" in request.POST
    if isinstance(page, ContractPage) and request.method == "POST":
        page.request = request
    if request.method == "POST":
        row = page.submit(now, save="_preview" not in request.POST and not live)
        if row is not None:
            log = model_admin.log_change if isinstance(page, AmendPage) else model_admin.log_addition
            log(request, row, f"{page.title}: {page.verb}")
            messages.success(request, f"{row}: done.")
            return redirect(reverse(f"admin:contracts_{row._meta.model_name}_change", args=[row.pk]))
        if page.previewed and not live:
            page.note(request, now)
    if live:
        return TemplateResponse(request, LIVE, page.context())
    return rendered(model_admin, request, page, back)


def rendered(model_admin: Any, request: HttpRequest, page: Page, back: str) -> HttpResponse:
    """The page as it stands, whatever address the inputs came to."""
    context = {
        **model_admin.admin_site.each_context(request),
        **page.context(),
        "back": back,
        "buttons": page.buttons(request),
    }
    return TemplateResponse(request, TEMPLATE, context)
