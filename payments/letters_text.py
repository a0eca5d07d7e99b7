"""What customers read in mails about unpaid invoices, in the languages that documents have, side by side: English,
German, French, Japanese.
"""

from typing import Final

from invoicing.localised import Catalogue
from payments.domain.dunning import NO_METHOD

_LANGUAGES: Final = ("en", "de", "fr", "ja")

_TEXTS: Final[dict[str, tuple[str, str, str, str]]] = {
    # --- Subjects -----------------------------------------------------------------------------------------------------
    "failed.subject": (
        "Payment of invoice {number} failed",
        "Zahlung der Rechnung {number} fehlgeschlagen",
        "Échec du paiement de la facture {number}",
        "請求書 {number} のお支払いが完了できませんでした",
    ),
    "failed_last.subject": (
        "Payment of invoice {number} failed: please pay it yourself",
        "Zahlung der Rechnung {number} fehlgeschlagen: Bitte zahlen Sie selbst",
        "Échec du paiement de la facture {number} : veuillez la régler vous-même",
        "請求書 {number} のお支払い手続きのお願い",
    ),
    "other_means.subject": (
        "Invoice {number}: please choose another way to pay",
        "Rechnung {number}: Bitte wählen Sie eine andere Zahlungsart",
        "Facture {number} : veuillez choisir un autre moyen de paiement",
        "請求書 {number}：別のお支払い方法のご指定をお願いします",
    ),
    "reminder.subject": (
        "Reminder: invoice {number} is due",
        "Zahlungserinnerung: Rechnung {number} ist fällig",
        "Rappel : la facture {number} est échue",
        "お支払いのお願い：請求書 {number}",
    ),
    "reminder_again.subject": (
        "Another reminder: invoice {number} is not paid yet",
        "Erneute Zahlungserinnerung: Rechnung {number} ist noch offen",
        "Nouveau rappel : la facture {number} reste impayée",
        "お支払いの再度のお願い：請求書 {number}",
    ),
    "reminder_last.subject": (
        "Last reminder: invoice {number} is not paid yet",
        "Letzte Zahlungserinnerung: Rechnung {number} ist noch offen",
        "Dernier rappel : la facture {number} reste impayée",
        "最終のお知らせ：請求書 {number} のお支払いについて",
    ),
    # --- What they say ------------------------------------------------------------------------------------------------
    "greeting": ("Hello {name},", "Guten Tag {name},", "Bonjour {name},", "{name} 御中"),
    "failed.text": (
        "We could not collect the amount of the invoice below. {reason}",
        "den Betrag der unten genannten Rechnung konnten wir nicht einziehen. {reason}",
        "Nous n’avons pas pu encaisser le montant de la facture ci-dessous. {reason}",
        "下記の請求書の金額をお引き落としできませんでした。{reason}",
    ),
    "failed.next": (
        "We will try again on {day}. You can also pay it yourself before then.",
        "Wir versuchen es am {day} erneut. Sie können vorher auch selbst zahlen.",
        "Nous réessaierons le {day}. Vous pouvez aussi la régler vous-même avant cette date.",
        "{day}に再度お手続きいたします。それまでにお客様ご自身でお支払いいただくこともできます。",
    ),
    "failed_last.next": (
        "We will not try again. Please pay the invoice yourself.",
        "Wir versuchen es nicht noch einmal. Bitte zahlen Sie die Rechnung selbst.",
        "Nous ne ferons pas d’autre tentative. Veuillez régler la facture vous-même.",
        "これ以上の自動的なお手続きはいたしません。お客様ご自身でのお支払いをお願いいたします。",
    ),
    "other_means.next": (
        "Please pay the invoice yourself, with another means of payment where this one can no longer be used.",
        "Bitte zahlen Sie die Rechnung selbst, mit einem anderen Zahlungsmittel, falls sich dieses nicht mehr nutzen "
        "lässt.",
        "Veuillez régler la facture vous-même, avec un autre moyen de paiement si celui-ci n’est plus utilisable.",
        "お客様ご自身でお支払いをお願いいたします。現在のお支払い方法がご利用いただけない場合は、別の方法をお選びください。",
    ),
    "reminder.text": (
        "The invoice below is due, and we have not received your payment yet.",
        "die unten genannte Rechnung ist fällig, und Ihre Zahlung ist noch nicht bei uns eingegangen.",
        "La facture ci-dessous est échue et nous n’avons pas encore reçu votre paiement.",
        "下記の請求書のお支払期限が過ぎておりますが、ご入金を確認できておりません。",
    ),
    "reminder_again.text": (
        "We wrote to you about the invoice below, and still have not received your payment.",
        "wir haben Ihnen wegen der unten genannten Rechnung bereits geschrieben; Ihre Zahlung ist noch immer nicht bei "
        "uns eingegangen.",
        "Nous vous avons déjà écrit au sujet de la facture ci-dessous et n’avons toujours pas reçu votre paiement.",
        "下記の請求書について先日ご連絡いたしましたが、まだご入金を確認できておりません。",
    ),
    "reminder_last.text": (
        "This is our last reminder of the invoice below. We still have not received your payment.",
        "dies ist unsere letzte Erinnerung an die unten genannte Rechnung. Ihre Zahlung ist noch immer nicht bei uns "
        "eingegangen.",
        "Ceci est notre dernier rappel pour la facture ci-dessous. Nous n’avons toujours pas reçu votre paiement.",
        "下記の請求書について最後のご連絡をいたします。まだご入金を確認できておりません。",
    ),
    "please_pay": (
        "Please pay it now. If you think that something on it is wrong, tell us.",
        "Bitte begleichen Sie sie jetzt. Falls Sie meinen, dass etwas daran nicht stimmt, sagen Sie es uns.",
        "Veuillez la régler dès maintenant. Si vous pensez qu’elle contient une erreur, dites-le-nous.",
        "お早めにお支払いくださいますようお願いいたします。内容に誤りがあると思われる場合はご連絡ください。",
    ),
    "crossed": (
        "If you have paid in the meantime, please disregard this message.",
        "Falls Sie inzwischen gezahlt haben, betrachten Sie diese Nachricht bitte als gegenstandslos.",
        "Si vous avez payé entre-temps, veuillez ne pas tenir compte de ce message.",
        "すでにお支払い済みの場合は、行き違いですのでご容赦ください。",
    ),
    # --- Why a charge failed ------------------------------------------------------------------------------------------
    "reason.declined": (
        "Your means of payment was declined.",
        "Ihr Zahlungsmittel wurde abgelehnt.",
        "Votre moyen de paiement a été refusé.",
        "ご登録のお支払い方法が承認されませんでした。",
    ),
    "reason.funds": (
        "Your account or card did not have enough funds.",
        "Ihr Konto oder Ihre Karte war nicht ausreichend gedeckt.",
        "Le solde de votre compte ou de votre carte était insuffisant.",
        "ご登録の口座またはカードの残高が不足しておりました。",
    ),
    "reason.expired": (
        "Your card has expired.",
        "Ihre Karte ist abgelaufen.",
        "Votre carte a expiré.",
        "ご登録のカードの有効期限が切れています。",
    ),
    "reason.confirm": (
        "Your bank asks that you confirm the payment yourself.",
        "Ihre Bank verlangt, dass Sie die Zahlung selbst bestätigen.",
        "Votre banque demande que vous confirmiez le paiement vous-même.",
        "金融機関より、お客様ご本人による確認が求められています。",
    ),
    "reason.none": (
        "There is no means of payment on file that we can charge.",
        "Es ist kein Zahlungsmittel hinterlegt, das wir belasten können.",
        "Aucun moyen de paiement utilisable n’est enregistré.",
        "ご利用いただけるお支払い方法が登録されていません。",
    ),
    # --- Facts and links ----------------------------------------------------------------------------------------------
    "fact": ("{label}: {value}", "{label}: {value}", "{label}\u00a0: {value}", "{label}：{value}"),
    "fact.invoice": ("Invoice", "Rechnung", "Facture", "請求書番号"),
    "fact.due": ("Amount due", "Offener Betrag", "Montant dû", "お支払い金額"),
    "fact.date": ("Due date", "Fällig am", "Date d’échéance", "お支払期限"),
    "pay": ("Pay now", "Jetzt bezahlen", "Payer maintenant", "お支払いはこちら"),
    "portal": ("See your invoices", "Ihre Rechnungen ansehen", "Voir vos factures", "請求書一覧を見る"),
}

_REASONS: Final = {
    "insufficient_funds": "reason.funds",
    "expired_card": "reason.expired",
    "authentication_required": "reason.confirm",
    "invoice_payment_intent_requires_action": "reason.confirm",
    NO_METHOD: "reason.none",
}

t: Final = Catalogue(
    {language: {key: texts[n] for key, texts in _TEXTS.items()} for n, language in enumerate(_LANGUAGES)}
).text
"""``t(locale, key, **values)``: a message (`Catalogue.text`)."""


def reason_text(locale: str, code: str) -> str:
    """Why a charge failed, in words that are fit for the customer: that a card is reported as lost or stolen, or looks
    like fraud, is told to nobody (docs.stripe.com/declines/codes).
    """
    return t(locale, _REASONS.get(code, "reason.declined"))
