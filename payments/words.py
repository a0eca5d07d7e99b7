"""What a customer reads of us at Stripe, in the languages that documents have."""

from typing import Final

from invoicing.localised import Catalogue

_MESSAGES: Final = {
    "en": {
        "line.at": "{price} each",
        "line.others": "{count} further lines: see below, or the PDF of invoice {number}",
        "footer.others": "Further lines:",
        "footer.more": "And {count} more: see the PDF of invoice {number}",
        "field.period": "Period",
        "interim": "Interim invoice: it bills what its period came to so far.",
    },
    "de": {
        "line.at": "je {price}",
        "line.others": "{count} weitere Positionen: siehe unten oder PDF der Rechnung {number}",
        "footer.others": "Weitere Positionen:",
        "footer.more": "Und {count} mehr: siehe PDF der Rechnung {number}",
        "field.period": "Zeitraum",
        "interim": "Zwischenrechnung über das, was der Zeitraum bisher ergeben hat.",
    },
    "fr": {
        "line.at": "{price} l’unité",
        "line.others": "{count} autres lignes : voir plus bas ou le PDF de la facture {number}",
        "footer.others": "Autres lignes :",
        "footer.more": "Et {count} de plus : voir le PDF de la facture {number}",
        "field.period": "Période",
        "interim": "Facture intermédiaire : elle porte sur ce que la période a produit jusqu’ici.",
    },
    "ja": {
        "line.at": "単価 {price}",
        "line.others": "その他 {count} 明細：下記または請求書 {number} の PDF をご覧ください",
        "footer.others": "その他の明細：",
        "footer.more": "ほか {count} 件：請求書 {number} の PDF をご覧ください",
        "field.period": "対象期間",
        "interim": "中間請求書：対象期間のこれまでの実績を請求するものです。",
    },
}

t: Final = Catalogue(_MESSAGES).text
"""``t(locale, key, **values)``: a message (`Catalogue.text`)."""
