"""The page of a hosted invoice and its PDF: enough to try Holdfast without an account."""

import html

from tests.stripe_server.money import THREE_DECIMAL, ZERO_DECIMAL
from tests.stripe_server.world import Object

PAYABLE = ("open", "uncollectible")
_STYLE = "body{font:16px system-ui;max-width:42rem;margin:3rem auto;padding:0 1rem}td{padding:.2rem 1rem .2rem 0}"


def _amount(amount: int, currency: str) -> str:
    digits = 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2
    return f"{amount / 10**digits:,.{digits}f} {currency.upper()}"


def page(invoice: Object, lines: list[Object], note: str = "") -> bytes:
    """HTML, with a button for each thing a buyer may do while it is to be paid. `note`: what just went wrong."""
    currency = invoice["currency"]
    number, status = html.escape(invoice["number"]), html.escape(invoice["status"])
    name = html.escape(invoice["customer_name"] or invoice["customer"])
    left, total = _amount(invoice["amount_remaining"], currency), _amount(invoice["total"], currency)
    rows = "".join(
        f"<tr><td>{html.escape(line['description'] or '')}</td><td>{_amount(line['amount'], currency)}</td></tr>"
        for line in lines
    )
    base = html.escape(invoice["hosted_invoice_url"])
    actions = (("pay", "Pay"), ("decline", "Pay with a card that is declined")) if status in PAYABLE else ()
    forms = "".join(
        f'<form method="post" action="{base}/{action}"><button>{label}</button></form>' for action, label in actions
    )
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Invoice {number}</title>
<style>{_STYLE}</style><h1>Invoice {number}</h1>
<p>For {name}: <b>{status}</b>, to pay: <b>{left}</b> of {total}</p><p role="status">{html.escape(note)}</p>
<table>{rows}</table>{forms}
<p><a href="{base}/pdf">PDF</a> · This is tests.stripe_server, not Stripe: no money moves.</p></html>""".encode()


def pdf(invoice: Object, lines: list[Object]) -> bytes:
    """One page of plain text, as small as a PDF can be."""
    texts = [
        f"Invoice {invoice['number']}",
        *(f"{line['description'] or ''}  {_amount(line['amount'], line['currency'])}" for line in lines),
    ]
    texts.append(f"Total  {_amount(invoice['total'], invoice['currency'])}")
    escaped = [text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)") for text in texts[:60]]
    content = ("BT /F1 10 Tf 50 800 Td 12 TL " + " ".join(f"({text}) Tj T*" for text in escaped) + " ET").encode(
        "cp1252", "replace"
    )
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    ]
    out = b"%PDF-1.4\n"
    places = []
    for n, obj in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj%s endobj\n" % (n, obj)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    return out + head + table + b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, len(out))
