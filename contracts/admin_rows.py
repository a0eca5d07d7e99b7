"""Rows of inputs on the admin's pages of terms: prices with their tiers, fees, pools, commitments.

Inputs are text; what they say is checked by the same serializers and use cases as a request of the API, whose errors
are put beside the inputs they name. Rows are added by a few lines of script; without it spare ones are there to fill.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django import forms
from unfold import widgets

from contracts.admin_curves import Curve
from contracts.domain import rating
from contracts.models import Condition
from contracts.models import Price as PriceRow

SPARE = 2
"""Empty rows at the end, for whoever has no script."""


def text(label: str = "", hint: str = "", **attrs: Any) -> forms.CharField:
    widget = widgets.UnfoldAdminTextInputWidget(attrs=attrs)
    return forms.CharField(required=False, label=label or None, help_text=hint, widget=widget)


def choice(choices: Iterable[tuple[str, str]], label: str = "", **kwargs: Any) -> forms.ChoiceField:
    widget = widgets.UnfoldAdminSelectWidget()
    return forms.ChoiceField(choices=choices, required=False, label=label or None, widget=widget, **kwargs)


class Row(forms.Form):
    """One row; ``telling`` are the inputs of which one is filled where the row is meant at all."""

    telling: Sequence[str] = ()

    @property
    def meant(self) -> bool:
        return any(self.data.get(self.add_prefix(name), "").strip() for name in self.telling)

    def payload(self) -> dict[str, Any]:
        """The row as a request of the API has it: inputs left empty are left out."""
        self.full_clean()
        return {name: value for name, value in self.cleaned_data.items() if value not in ("", False)}

    def complain(self, steps: Sequence[str | int], message: str) -> None:
        """Put a complaint beside the input that the path names, or above the row."""
        name = str(steps[0]) if steps else ""
        self.add_error(name if name in self.fields else None, message)


class Rows:
    """Rows of one kind, as posted or as they begin. ``mark`` stands for the number in what script copies."""

    def __init__(
        self,
        name: str,
        kind: type[Row],
        data: Mapping[str, Any] | None,
        initial: Sequence[Mapping[str, Any]] = (),
        *,
        spare: int = SPARE,
        mark: str = "__row__",
    ) -> None:
        self.name, self.mark, self.title = name, mark, name.rpartition("-")[2]
        found = re.compile(rf"{re.escape(name)}-([0-9]{{1,4}})-")
        numbers = sorted({int(match[1]) for key in data or () if (match := found.match(key))})
        posted = [kind(data, prefix=f"{name}-{number}") for number in numbers]
        self.meant = [row for row in posted if row.meant]
        begun = [kind(None, prefix=f"{name}-{n}", initial=dict(values)) for n, values in enumerate(initial)]
        after = max([*numbers, len(begun) - 1], default=-1) + 1
        self.shown = [*self.meant, *begun, *(kind(None, prefix=f"{name}-{after + n}") for n in range(spare))]
        self.next = after + spare
        self.kind = kind

    @property
    def pattern(self) -> Row:
        """What script copies."""
        return self.kind(None, prefix=f"{self.name}-{self.mark}")

    def payload(self) -> list[dict[str, Any]]:
        return [row.payload() for row in self.meant]

    def complain(self, steps: Sequence[str | int], message: str) -> bool:
        """Whether there is a row that the path names; it has the complaint now."""
        if not steps or not isinstance(steps[0], int) or steps[0] >= len(self.meant):
            return False
        self.meant[steps[0]].complain(steps[1:], message)
        return True


class TierRow(Row):
    telling = ("up_to", "unit_price", "flat_fee", "percent")
    up_to = text("Up to", "Empty on the last.", inputmode="decimal")
    unit_price = text("Unit price", inputmode="decimal")
    flat_fee = text("Flat fee", inputmode="decimal")
    percent = text("Percent", inputmode="decimal")

    def payload(self) -> dict[str, Any]:
        return {"up_to": None, **super().payload()}


class PriceForm(Row):
    telling = ("condition",)
    condition = choice((), "Condition")
    model = choice(PriceRow.Model.choices, "Model")
    unit_price = text("Unit price", "Per unit, or per package.", inputmode="decimal")
    package_size = text("Package size", "Units.", inputmode="decimal")
    percent = text("Percent", "Of the outcome's amount.", inputmode="decimal")
    minimum = text("Minimum", "Of a percentage, per outcome.", inputmode="decimal")
    maximum = text("Maximum", "Of a percentage, per outcome.", inputmode="decimal")
    included = text("Included", "Units a period at no charge.", inputmode="decimal")
    pool = text("Pool", "The contract's allowance it draws on.")
    period_maximum = text("Maximum a period", inputmode="decimal")
    match = text("Only where", "priority=high; region=eu. Empty: for all.")

    curve: Curve | None = None

    def __init__(self, data: Any = None, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        slugs = [(slug, slug) for slug in Condition.objects.order_by("slug").values_list("slug", flat=True)]
        self.fields["condition"].choices = [("", "—"), *slugs]  # type: ignore[attr-defined]
        tiers = self.initial.get("tiers", ())
        self.tiers = Rows(f"{self.prefix}-tiers", TierRow, data, tiers, spare=0 if tiers else SPARE, mark="__tier__")

    def payload(self) -> dict[str, Any]:
        price = super().payload()
        tiers = self.tiers.payload()
        if tiers:
            price["tiers"] = tiers
        if "match" in price:
            price["match"] = dict(_pair(part) for part in price["match"].split(";") if part.strip())
        return price

    def complain(self, steps: Sequence[str | int], message: str) -> None:
        if steps and steps[0] == "tiers" and self.tiers.complain(steps[1:], message):
            return
        super().complain(steps, message)


def _pair(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name.strip(), value.strip()


class FeeForm(Row):
    telling = ("name", "amount")
    name = text("Name", "The customer reads it.")
    kind = choice([(kind, kind) for kind in rating.FEE_KINDS], "Kind")
    amount = text("Amount", "Of a full period, of each seat, or once.", inputmode="decimal")
    seats = text("Seats", inputmode="decimal")
    timing = choice([("", "—"), *((timing, timing) for timing in rating.TIMINGS)], "Timing")
    counts = forms.BooleanField(
        required=False, label="Counts towards discount, minimum and cap", widget=widgets.UnfoldBooleanWidget()
    )


class PoolForm(Row):
    telling = ("name", "units")
    name = text("Name")
    units = text("Units a period", inputmode="decimal")


class CommitmentForm(Row):
    telling = ("amount",)
    amount = text("Amount", inputmode="decimal")
    payment = choice([(timing, timing) for timing in rating.TIMINGS], "Paid in")
    starts_at = text("Starts at", "2026-01-01T00:00:00Z. Empty: when charging begins.")
    ends_at = text("Ends at", "Empty: with the contract.")
