"""What customers read in mails about unpaid invoices, in every language."""

import re
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from invoicing.models import Invoice
from payments import letters
from payments.letters import one_line
from payments.models import Dunning, DunningMail, StripeInvoice
from tests.invoicing.conftest import World
from tests.payments.test_reminders import MARCH_1, issue

PAGE = "https://invoice.stripe.com/i/acct_1/test_1?s=ap&t=1"
LETTERS = list(DunningMail.Letter.values)


class Text(HTMLParser):
    """The words of a page, without its title."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.links: list[str] = []
        self.inside: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.inside.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        if data.strip() and self.inside[-1] != "title":
            self.words += data.split()


def written(invoice: Invoice, letter: str, code: str = "insufficient_funds", late: bool = False) -> letters.Written:
    dunning, _ = Dunning.objects.get_or_create(
        invoice=invoice, defaults={"kind": "charge", "next_at": MARCH_1, "started_at": MARCH_1}
    )
    mail = DunningMail(
        dunning=dunning, step=1, letter=letter, code=code, retry_at=MARCH_1 + timedelta(days=3), created_at=MARCH_1
    )
    return letters.write(mail, now=MARCH_1 + timedelta(days=4 if late else 0))


@pytest.fixture
def invoice(world: World) -> Invoice:
    made = issue(world.customer(email="ap@acme.example", name="Acme & Co"), "1234.50")
    StripeInvoice.objects.create(
        invoice=made, account="acct_1", livemode=False, stripe_id="in_1", status="open",
        collection_method="charge_automatically", amount_remaining=123450, hosted_url=PAGE, seen_at=MARCH_1,
    )  # fmt: skip
    return made


@pytest.mark.parametrize("letter", LETTERS)
@pytest.mark.parametrize(
    ("locale", "language", "amount", "day"),
    [
        ("en", "en", "US$1,234.50", "1 March 2026"),
        ("en-US", "en", "$1,234.50", "March 1, 2026"),
        ("de-CH", "de", "$\xa01’234.50", "1. März 2026"),
        ("fr", "fr", "1\u202f234,50\xa0$US", "1 mars 2026"),
        ("ja", "ja", "$1,234.50", "2026年3月1日"),
        # A language without words of its own has English ones.
        ("sv", "en", "1\xa0234,50\xa0US$", "1 mars 2026"),
    ],
)
def test_every_letter_in_every_language(
    invoice: Invoice, letter: str, locale: str, language: str, amount: str, day: str
) -> None:
    invoice.customer.locale = locale
    invoice.customer.save()
    found = written(invoice, letter)
    assert "HF-000001" in found.subject and "\n" not in found.subject
    facts = [value for _, value in found.facts]
    assert facts == ["HF-000001", amount, day]
    for text in (found.subject, found.text, found.html):
        assert not re.search(r"\{\w*\}|\{[{%]", text), "a place was left open"
    assert f'<html lang="{language}">' in found.html
    shown = Text(found.html)
    assert shown.links == [PAGE]
    # Both say the same, word for word.
    told = found.text.replace(PAGE, "").replace(":", " ").replace("：", " ").split()
    assert [word.strip(":：") for word in " ".join(shown.words).replace(":", " ").replace("：", " ").split()] == told


def test_no_two_letters_are_the_same(invoice: Invoice) -> None:
    for locale in ("en", "de", "fr", "ja"):
        invoice.customer.locale = locale
        invoice.customer.save()
        assert len({written(invoice, letter).text for letter in LETTERS}) == len(LETTERS)
        assert len({written(invoice, letter).subject for letter in LETTERS}) == len(LETTERS)


def test_a_day_that_is_over_is_not_promised(invoice: Invoice) -> None:
    assert "We will try again on 4 March 2026." in written(invoice, "failed").text
    late = written(invoice, "failed", late=True).text
    assert "try again" not in late and "Please pay it now." in late


@pytest.mark.parametrize("code", ["stolen_card", "lost_card", "pickup_card", "highest_risk_level", "something_new", ""])
def test_what_issuers_say_in_confidence_is_kept(invoice: Invoice, code: str) -> None:
    text = written(invoice, "other_means", code).text
    assert "Your means of payment was declined." in text
    assert not re.search("stolen|lost|risk|fraud", text)


def test_without_a_page_to_pay_on_there_is_no_link(invoice: Invoice) -> None:
    StripeInvoice.objects.update(hosted_url="javascript:alert(1)")
    found = written(invoice, "reminder")
    assert found.links == [] and "javascript" not in found.html + found.text


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("a\r\nBcc: b", "a Bcc: b"),
        ("a\u2028b\x0bc\x85d", "a b c d"),
        ("  a   b ", "a b"),
        ("", ""),
        ("Ünï 株", "Ünï 株"),
    ],
)
def test_one_line(given: str, line: str) -> None:
    assert one_line(given) == line
