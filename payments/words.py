"""What a customer reads of us at Stripe, in the languages that documents have."""

from typing import Final

from invoicing.localised import Catalogue

_MESSAGES: Final = {
    "en": {
        "line.at": "{price} each",
        "line.others": "{count} further lines: see the PDF of invoice {number}",
        "line.others_at": "{count} further lines, each of them at {where}",
        "field.period": "Period",
        "interim": "Interim invoice: it bills what its period came to so far.",
    },
    "de": {
        "line.at": "je {price}",
        "line.others": "{count} weitere Positionen: siehe PDF der Rechnung {number}",
        "line.others_at": "{count} weitere Positionen, einzeln unter {where}",
        "field.period": "Zeitraum",
        "interim": "Zwischenrechnung über das, was der Zeitraum bisher ergeben hat.",
    },
    "fr": {
        "line.at": "{price} l’unité",
        "line.others": "{count} autres lignes : voir le PDF de la facture {number}",
        "line.others_at": "{count} autres lignes, détaillées sur {where}",
        "field.period": "Période",
        "interim": "Facture intermédiaire : elle porte sur ce que la période a produit jusqu’ici.",
    },
    "ja": {
        "line.at": "単価 {price}",
        "line.others": "その他 {count} 明細：請求書 {number} の PDF をご覧ください",
        "line.others_at": "その他 {count} 明細の内訳：{where}",
        "field.period": "対象期間",
        "interim": "中間請求書：対象期間のこれまでの実績を請求するものです。",
    },
}

t: Final = Catalogue(_MESSAGES).text
"""``t(locale, key, **values)``: a message (`Catalogue.text`)."""
