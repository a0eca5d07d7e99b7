"""The portal's own texts, in the languages of invoices, side by side: English, German, French, Japanese. What stands on
the documents themselves is said in their words (`invoicing.localised`). What sellers write (titles, reasons), and what
Holdfast says in English alone (conditions, explanations), is in neither.
"""

from typing import Final

from invoicing.localised import Catalogue
from invoicing.localised.catalogue import Message

_LANGUAGES: Final = ("en", "de", "fr", "ja")

_TEXTS: Final[dict[str, tuple[Message, Message, Message, Message]]] = {
    # --- Paying -------------------------------------------------------------------------------------------------------
    "pay": ("Pay now", "Jetzt bezahlen", "Payer maintenant", "支払う"),
    "pay_where": (
        "Opens the secure page of our payment provider, Stripe.",
        "Öffnet die gesicherte Seite unseres Zahlungsdienstleisters Stripe.",
        "Ouvre la page sécurisée de notre prestataire de paiement, Stripe.",
        "決済サービス Stripe の安全なページを開きます。",
    ),
    "payment_failed": (
        "The last payment failed.",
        "Die letzte Zahlung ist fehlgeschlagen.",
        "Le dernier paiement a échoué.",
        "前回のお支払いは完了できませんでした。",
    ),
    # --- The frame ----------------------------------------------------------------------------------------------------
    "skip": ("Skip to content", "Zum Inhalt springen", "Aller au contenu", "本文へ移動"),
    "navigation": ("Sections", "Bereiche", "Rubriques", "メニュー"),
    "overview": ("Overview", "Überblick", "Vue d’ensemble", "概要"),
    "documents": ("Invoices", "Rechnungen", "Factures", "請求書"),
    "outcomes": ("Outcomes", "Ergebnisse", "Résultats", "成果"),
    "test_account": (
        "This is a test account: nothing on it is owed.",
        "Dies ist ein Testkonto: Nichts davon ist geschuldet.",
        "Ceci est un compte de test : rien n’y est dû.",
        "これはテスト用アカウントです。実際の請求は発生しません。",
    ),
    "leave": ("Leave", "Verlassen", "Quitter", "終了する"),
    "left": (
        "You have left the portal.",
        "Sie haben das Portal verlassen.",
        "Vous avez quitté le portail.",
        "ポータルを終了しました。",
    ),
    "left_text": (
        "You can close this window. To come back, open your link again.",
        "Sie können dieses Fenster schließen. Um zurückzukehren, öffnen Sie Ihren Link erneut.",
        "Vous pouvez fermer cette fenêtre. Pour revenir, ouvrez à nouveau votre lien.",
        "このウィンドウを閉じてかまいません。もう一度見るには、リンクを開き直してください。",
    ),
    "link_until": (
        "Your link is valid until {day}. Times are in {zone}.",
        "Ihr Link ist gültig bis {day}. Zeiten in {zone}.",
        "Votre lien est valable jusqu’au {day}. Heures : {zone}.",
        "リンクの有効期限は{day}です。時刻の表示：{zone}。",
    ),
    "clock": (
        "It is {day} on your test clock.",
        "Ihre Testuhr zeigt den {day}.",
        "Votre horloge de test indique le {day}.",
        "テスト時計の日付：{day}",
    ),
    # --- Pages that show nothing --------------------------------------------------------------------------------------
    "no_link": (
        "This link cannot be opened",
        "Dieser Link lässt sich nicht öffnen",
        "Ce lien ne s’ouvre pas",
        "このリンクは開けません",
    ),
    "no_link_text": (
        "It may have expired, been replaced or not been copied completely, or you may have been away for a while. "
        "Open the link that you were sent once more. If that does not help, ask {seller} for a new one.",
        "Er ist vielleicht abgelaufen, ersetzt oder unvollständig kopiert worden, oder Sie waren länger nicht hier. "
        "Öffnen Sie den Link, den Sie erhalten haben, noch einmal. Hilft das nicht, bitten Sie {seller} um "
        "einen neuen.",
        "Il a peut-être expiré, été remplacé ou été copié incomplètement, ou votre visite a été interrompue. "
        "Ouvrez encore une fois le lien que vous avez reçu. Sinon, demandez-en un nouveau à {seller}.",
        "有効期限切れ、無効化、コピーの途中欠落、または一定時間操作がなかったことが考えられます。"
        "届いたリンクをもう一度開いてください。それでも開けない場合は、{seller}に新しいリンクをご依頼ください。",
    ),
    "not_found": ("There is nothing here", "Hier ist nichts", "Il n’y a rien ici", "ページが見つかりません"),
    "not_found_text": (
        "The address leads to nothing that belongs to you.",
        "Unter dieser Adresse liegt nichts, das Ihnen gehört.",
        "Cette adresse ne mène à rien qui vous appartienne.",
        "このアドレスには、お客様のデータはありません。",
    ),
    "to_overview": ("Go to the overview", "Zum Überblick", "Aller à la vue d’ensemble", "概要へ"),
    "stale": (
        "The form was too old",
        "Das Formular war zu alt",
        "Le formulaire était trop ancien",
        "フォームの有効期限が切れました",
    ),
    "stale_text": (
        "Nothing was sent. Go back, load the page again and repeat what you did; your browser must accept cookies.",
        "Es wurde nichts gesendet. Gehen Sie zurück, laden Sie die Seite neu und wiederholen Sie die Eingabe; "
        "Ihr Browser muss Cookies annehmen.",
        "Rien n’a été envoyé. Revenez en arrière, rechargez la page et recommencez ; "
        "votre navigateur doit accepter les cookies.",
        "送信されませんでした。前のページに戻り、再読み込みしてやり直してください。Cookie を有効にする必要があります。",
    ),
    # --- Overview -----------------------------------------------------------------------------------------------------
    "running_period": (
        "Running period, {period}",
        "Laufender Zeitraum, {period}",
        "Période en cours, {period}",
        "現在の期間：{period}",
    ),
    "no_contract": (
        "No contract is running at this time, so nothing is being counted.",
        "Zurzeit läuft kein Vertrag, es wird also nichts gezählt.",
        "Aucun contrat n’est en cours : rien n’est compté.",
        "現在有効な契約はないため、何も計上されていません。",
    ),
    "expected": ("Expected total", "Voraussichtlicher Betrag", "Total prévu", "予想合計額"),
    "expected_before_tax": (
        "Expected total, before tax",
        "Voraussichtlicher Betrag vor Steuern",
        "Total prévu hors taxes",
        "予想合計額（税抜）",
    ),
    "confirmed": ("Confirmed so far", "Bisher bestätigt", "Confirmé à ce jour", "確定済み"),
    "confirmed_text": (
        "Held through its settlement window: this will be invoiced.",
        "Hat seine Bestätigungsfrist überstanden: Das wird in Rechnung gestellt.",
        "A tenu pendant tout son délai de confirmation : ce sera facturé.",
        "確定期間を経て維持された成果です。請求の対象になります。",
    ),
    "nothing_confirmed": (
        "Nothing is confirmed in this period so far.",
        "In diesem Zeitraum ist bisher nichts bestätigt.",
        "Rien n’est confirmé pour l’instant dans cette période.",
        "この期間に確定した成果はまだありません。",
    ),
    "provisional": ("Provisional", "Vorläufig", "Provisoire", "暫定"),
    "provisional_text": (
        "Reached, but still inside its settlement window. What is undone before its date is not charged.",
        "Erreicht, aber noch in der Bestätigungsfrist. Was vor dem genannten Tag rückgängig wird, kostet nichts.",
        "Atteint, mais encore dans son délai de confirmation. Ce qui est annulé avant la date n’est pas facturé.",
        "達成済みですが、まだ確定期間中です。期日までに取り消された成果は請求されません。",
    ),
    "nothing_provisional": (
        "Nothing is waiting to settle.",
        "Nichts wartet auf Bestätigung.",
        "Rien n’est en attente de validation.",
        "確定待ちの成果はありません。",
    ),
    "when_it_settles": ("When it settles", "Wann es bestätigt wird", "Quand il sera confirmé", "確定の予定"),
    "what_it_adds": (
        "What it adds if it holds",
        "Was hinzukommt, wenn es Bestand hat",
        "Ce qu’il ajoutera s’il tient",
        "維持された場合に加わる額",
    ),
    "settles": ("Settles", "Bestätigt am", "Validation", "確定日"),
    "how_many": ("How many", "Wie viele", "Combien", "件数"),
    "due_now": ("now", "jetzt", "maintenant", "まもなく"),
    "date_open": ("date not known yet", "Tag noch offen", "date encore inconnue", "日付未定"),
    "and_later": ("{day} and later", "{day} und später", "{day} et après", "{day}以降"),
    "next_period": ("next period", "nächster Zeitraum", "période suivante", "次の期間"),
    "undone": (
        "Undone and not charged",
        "Rückgängig und nicht berechnet",
        "Annulé et non facturé",
        "取消済み・請求対象外",
    ),
    "undone_count": (
        {
            "one": "{count} outcome was undone inside its settlement window in this period.",
            "other": "{count} outcomes were undone inside their settlement window in this period.",
        },
        {
            "one": "{count} Ergebnis wurde in diesem Zeitraum innerhalb der Bestätigungsfrist rückgängig.",
            "other": "{count} Ergebnisse wurden in diesem Zeitraum innerhalb der Bestätigungsfrist rückgängig.",
        },
        {
            "one": "{count} résultat a été annulé pendant son délai de confirmation dans cette période.",
            "other": "{count} résultats ont été annulés pendant leur délai de confirmation dans cette période.",
        },
        {"other": "この期間中に{count}件の成果が確定期間内に取り消されました。"},
    ),
    "undone_why": (
        "You are charged for what held, and for nothing else.",
        "Sie zahlen für das, was Bestand hatte, und für nichts anderes.",
        "Vous ne payez que ce qui a tenu, et rien d’autre.",
        "請求されるのは、最後まで維持された成果だけです。",
    ),
    "nothing_undone": (
        "Nothing was undone inside its settlement window in this period.",
        "In diesem Zeitraum wurde nichts innerhalb der Bestätigungsfrist rückgängig.",
        "Rien n’a été annulé pendant son délai de confirmation dans cette période.",
        "この期間中に確定期間内で取り消された成果はありません。",
    ),
    "kept_off": (
        "Not on an invoice for now",
        "Derzeit auf keiner Rechnung",
        "Sur aucune facture pour l’instant",
        "現在請求書に載らないもの",
    ),
    "why": ("Why", "Warum", "Pourquoi", "理由"),
    "reason.dispute": (
        "Disputed, not decided yet",
        "Beanstandet, noch nicht entschieden",
        "Contesté, pas encore décidé",
        "異議申し立て中",
    ),
    "reason.hold": ("Held back by {seller}", "Von {seller} zurückgehalten", "Retenu par {seller}", "{seller}が保留中"),
    "reason.review": (
        "A person at {seller} is looking at it",
        "Wird bei {seller} geprüft",
        "En cours d’examen chez {seller}",
        "{seller}が確認中",
    ),
    "reason.no_contract": (
        "Reached while no contract was running",
        "Erreicht, als kein Vertrag lief",
        "Atteint alors qu’aucun contrat n’était en cours",
        "契約期間外に達成",
    ),
    "reason.not_priced": (
        "No price is agreed for it",
        "Dafür ist kein Preis vereinbart",
        "Aucun prix n’est convenu",
        "価格の取り決めなし",
    ),
    "reason.passed_on": (
        "Invoiced through another system of {seller}",
        "Wird über ein anderes System von {seller} abgerechnet",
        "Facturé par un autre système de {seller}",
        "{seller}の別システムで請求",
    ),
    "reason.draft": (
        "On an invoice that is being prepared",
        "Auf einer Rechnung in Vorbereitung",
        "Sur une facture en préparation",
        "作成中の請求書に記載",
    ),
    "reason.carried": (
        "Waits for the next invoice",
        "Wartet auf die nächste Rechnung",
        "Attend la prochaine facture",
        "次回の請求書を待っています",
    ),
    "reason.period_open": (
        "Waits for the end of the period, or for the next invoice",
        "Wartet auf das Ende des Zeitraums oder die nächste Rechnung",
        "Attend la fin de la période ou la prochaine facture",
        "期間の終了または次回の請求書を待っています",
    ),
    "open_invoices": ("Open invoices", "Offene Rechnungen", "Factures ouvertes", "未払いの請求書"),
    "no_open_invoices": (
        "No invoice is open.",
        "Keine Rechnung ist offen.",
        "Aucune facture n’est ouverte.",
        "未払いの請求書はありません。",
    ),
    "to_pay": ("To pay", "Zu zahlen", "À payer", "お支払い額"),
    "of_which_overdue": (
        "{amount} of it is overdue",
        "davon {amount} überfällig",
        "dont {amount} en retard",
        "うち{amount}は支払期限超過",
    ),
    "credit": ("Credit", "Guthaben", "Avoir disponible", "クレジット残高"),
    "credit_text": ("not used yet", "noch nicht verwendet", "pas encore utilisé", "未使用"),
    "to_credit": (
        "To be credited soon, for earlier periods",
        "Wird demnächst gutgeschrieben, für frühere Zeiträume",
        "À créditer prochainement, pour des périodes antérieures",
        "過去の期間につき近日中に返金予定",
    ),
    "all_documents": (
        "All invoices and credit notes",
        "Alle Rechnungen und Rechnungskorrekturen",
        "Toutes les factures et tous les avoirs",
        "すべての請求書と返還請求書",
    ),
    "all_outcomes": ("See them one by one", "Einzeln ansehen", "Les voir un par un", "一件ずつ見る"),
    # --- Documents ----------------------------------------------------------------------------------------------------
    "invoices_and_notes": (
        "Invoices and credit notes",
        "Rechnungen und Rechnungskorrekturen",
        "Factures et avoirs",
        "請求書と返還請求書",
    ),
    "credit_notes": ("Credit notes", "Rechnungskorrekturen", "Avoirs", "返還請求書"),
    "no_invoices": (
        "There are no invoices yet.",
        "Es gibt noch keine Rechnungen.",
        "Il n’y a pas encore de facture.",
        "請求書はまだありません。",
    ),
    "number": ("Number", "Nummer", "Numéro", "番号"),
    "status": ("Status", "Status", "État", "状態"),
    "amount": ("Amount", "Betrag", "Montant", "金額"),
    "status.open": ("Open", "Offen", "Ouverte", "未払い"),
    "status.overdue": ("Overdue", "Überfällig", "En retard", "期限超過"),
    "status.paid": ("Paid", "Bezahlt", "Payée", "支払済み"),
    "status.void": ("Void", "Storniert", "Annulée", "無効"),
    "more": ("Next page", "Nächste Seite", "Page suivante", "次のページ"),
    "first_page": ("First page", "Erste Seite", "Première page", "最初のページ"),
    "pages": ("Pages", "Seiten", "Pages", "ページ"),
    # --- One document -------------------------------------------------------------------------------------------------
    "issued_by": ("Issued by", "Aussteller", "Émise par", "発行者"),
    "downloads": ("Downloads", "Downloads", "Téléchargements", "ダウンロード"),
    "pdf": ("PDF", "PDF", "PDF", "PDF"),
    "csv": ("Lines as CSV", "Positionen als CSV", "Lignes en CSV", "明細（CSV）"),
    "evidence": ("Evidence pack", "Nachweispaket", "Dossier de preuves", "証拠パック"),
    "recount": ("Recount it yourself", "Selbst nachzählen", "Recompter vous-même", "ご自身で検算する"),
    "recount_text": (
        "The evidence pack leads from every line to the events behind it. A small program recounts it on your own "
        "computer, offline; compare the hash that it prints with the one below.",
        "Das Nachweispaket führt von jeder Position zu den Ereignissen dahinter. Ein kleines Programm zählt es auf "
        "Ihrem eigenen Rechner nach, ohne Netz; vergleichen Sie den Hash, den es ausgibt, mit dem unten.",
        "Le dossier de preuves mène de chaque ligne aux événements qui la fondent. Un petit programme le recompte sur "
        "votre propre ordinateur, hors ligne ; comparez l’empreinte qu’il affiche avec celle ci-dessous.",
        "証拠パックで各明細からもとのイベントまで確認できます。小さなプログラムがお手元のコンピューターで、"
        "オフラインで検算します。表示されるハッシュを下のものと比べてください。",
    ),
    "verifier": (
        "Download the program (Python)",
        "Programm herunterladen (Python)",
        "Télécharger le programme (Python)",
        "プログラムをダウンロード（Python）",
    ),
    "lines": ("Lines", "Positionen", "Lignes", "明細"),
    "corrections": (
        "Credit notes on this invoice",
        "Rechnungskorrekturen zu dieser Rechnung",
        "Avoirs sur cette facture",
        "この請求書に対する返還請求書",
    ),
    "corrects": ("Invoices it corrects", "Berichtigte Rechnungen", "Factures corrigées", "訂正対象の請求書"),
    "used_for": ("Where the credit went", "Verwendung des Guthabens", "Utilisation de l’avoir", "クレジットの使い道"),
    "refunded": ("Paid back", "Ausgezahlt", "Remboursé", "返金"),
    "remaining": ("Credit left", "Restguthaben", "Avoir restant", "残高"),
    "undone_since": (
        {"one": "{count} of them no longer holds today.", "other": "{count} of them no longer hold today."},
        {
            "one": "{count} davon hat heute keinen Bestand mehr.",
            "other": "{count} davon haben heute keinen Bestand mehr.",
        },
        {
            "one": "{count} d’entre eux ne tient plus aujourd’hui.",
            "other": "{count} d’entre eux ne tiennent plus aujourd’hui.",
        },
        {"other": "うち{count}件は現在取り消されています。"},
    ),
    "what_counts": ("What counts", "Was zählt", "Ce qui compte", "成果の条件"),
    # --- A line -------------------------------------------------------------------------------------------------------
    "on_invoice": ("On invoice {number}", "Auf Rechnung {number}", "Sur la facture {number}", "請求書 {number} に記載"),
    "on_credit_note": (
        "On credit note {number}",
        "Auf Rechnungskorrektur {number}",
        "Sur l’avoir {number}",
        "返還請求書 {number} に記載",
    ),
    "arithmetic": ("How the amount comes about", "So ergibt sich der Betrag", "Calcul du montant", "金額の内訳"),
    "no_outcomes": (
        "This line follows from the terms of the contract, not from single outcomes.",
        "Diese Position folgt aus dem Vertrag, nicht aus einzelnen Ergebnissen.",
        "Cette ligne découle du contrat, et non de résultats individuels.",
        "この行は個々の成果ではなく、契約条件によるものです。",
    ),
    "outcomes_on_line": (
        "Outcomes on this line",
        "Ergebnisse dieser Position",
        "Résultats de cette ligne",
        "この行の成果",
    ),
    "taken_back_by": (
        "Outcomes this line gives back",
        "Ergebnisse, die diese Position zurückgibt",
        "Résultats que cette ligne rend",
        "この行で差し戻された成果",
    ),
    "subject": ("About", "Betrifft", "Concerne", "対象"),
    "quantity": ("Quantity", "Menge", "Quantité", "数量"),
    "disputed_here": (
        {"one": "{count} outcome of this line is disputed.", "other": "{count} outcomes of this line are disputed."},
        {
            "one": "{count} Ergebnis dieser Position ist beanstandet.",
            "other": "{count} Ergebnisse dieser Position sind beanstandet.",
        },
        {
            "one": "{count} résultat de cette ligne est contesté.",
            "other": "{count} résultats de cette ligne sont contestés.",
        },
        {"other": "この行の{count}件に異議が申し立てられています。"},
    ),
    # --- An outcome ---------------------------------------------------------------------------------------------------
    "outcome_list": ("Your outcomes", "Ihre Ergebnisse", "Vos résultats", "成果一覧"),
    "show": ("Show", "Anzeigen", "Afficher", "表示"),
    "no_such_outcomes": ("There are none.", "Es gibt keine.", "Il n’y en a pas.", "該当する成果はありません。"),
    "state.open": ("Begun", "Begonnen", "Commencé", "進行中"),
    "state.provisional": ("Provisional", "Vorläufig", "Provisoire", "暫定"),
    "state.confirmed": ("Confirmed", "Bestätigt", "Confirmé", "確定"),
    "state.reversed": ("Given back", "Zurückgegeben", "Rendu", "返還済み"),
    "state.void": ("Undone, not charged", "Rückgängig, nicht berechnet", "Annulé, non facturé", "取消・請求なし"),
    "state.missed": ("Not reached", "Nicht erreicht", "Non atteint", "未達成"),
    "state.superseded": ("Replaced", "Ersetzt", "Remplacé", "差し替え"),
    "disputed": ("Disputed", "Beanstandet", "Contesté", "異議申し立て中"),
    "all": ("All", "Alle", "Tous", "すべて"),
    "last_change": ("Last change", "Letzte Änderung", "Dernier changement", "最終更新"),
    "explanation": ("Why it is so", "Warum es so ist", "Pourquoi il en est ainsi", "その理由"),
    "no_explanation": (
        "The details of its history are archived. {seller} can have them restored.",
        "Die Einzelheiten seiner Geschichte sind archiviert. {seller} kann sie wiederherstellen.",
        "Le détail de son historique est archivé. {seller} peut le faire restaurer.",
        "詳細な履歴は保管庫にあります。{seller}が復元できます。",
    ),
    "timeline": ("Timeline", "Verlauf", "Chronologie", "経過"),
    "events": (
        "Deciding events",
        "Entscheidende Ereignisse",
        "Les événements décisifs",
        "根拠となるイベント",
    ),
    "more_events": (
        {"one": "{count} more event is not shown.", "other": "{count} more events are not shown."},
        {
            "one": "{count} weiteres Ereignis wird nicht gezeigt.",
            "other": "{count} weitere Ereignisse werden nicht gezeigt.",
        },
        {
            "one": "{count} autre événement n’est pas affiché.",
            "other": "{count} autres événements ne sont pas affichés.",
        },
        {"other": "ほか{count}件のイベントは表示していません。"},
    ),
    "no_data": ("It carries no data.", "Es trägt keine Daten.", "Il ne porte aucune donnée.", "データはありません。"),
    "billing": ("Where it is billed", "Wo es berechnet ist", "Où il est facturé", "請求の記載先"),
    "not_billed": (
        "It stands on no invoice.",
        "Es steht auf keiner Rechnung.",
        "Il ne figure sur aucune facture.",
        "どの請求書にも記載されていません。",
    ),
    "step.begin": ("It began.", "Es begann.", "Il a commencé.", "開始しました。"),
    "step.provisional": (
        "The condition was met; the settlement window began.",
        "Die Bedingung war erfüllt; die Bestätigungsfrist begann.",
        "La condition était remplie ; le délai de confirmation a commencé.",
        "条件を満たし、確定期間が始まりました。",
    ),
    "step.open": (
        "The condition no longer held.",
        "Die Bedingung war nicht mehr erfüllt.",
        "La condition n’était plus remplie.",
        "条件を満たさなくなりました。",
    ),
    "step.confirmed": (
        "It held, and became final.",
        "Es hatte Bestand und wurde endgültig.",
        "Il a tenu et est devenu définitif.",
        "維持され、確定しました。",
    ),
    "step.void": (
        "It was undone before it was final: not charged.",
        "Es wurde rückgängig, bevor es endgültig war: nicht berechnet.",
        "Il a été annulé avant d’être définitif : non facturé.",
        "確定前に取り消されました。請求されません。",
    ),
    "step.missed": (
        "It ended without being reached: not charged.",
        "Es endete unerreicht: nicht berechnet.",
        "Il s’est terminé sans être atteint : non facturé.",
        "達成されずに終了しました。請求されません。",
    ),
    "step.reversed": (
        "The charge was given back.",
        "Die Berechnung wurde zurückgenommen.",
        "La facturation a été annulée.",
        "請求が取り消されました。",
    ),
    "step.superseded": (
        "Later evidence showed that things had been otherwise.",
        "Spätere Belege zeigten, dass es anders gewesen war.",
        "Des preuves ultérieures ont montré qu’il en était autrement.",
        "後から届いた証拠により、内容が訂正されました。",
    ),
    "step.completed": (
        "A person gave what the events do not tell.",
        "Eine Person ergänzte, was die Ereignisse nicht sagen.",
        "Une personne a complété ce que les événements ne disent pas.",
        "担当者が不足情報を補いました。",
    ),
    "step.restated": (
        "Its dates were corrected.",
        "Seine Daten wurden berichtigt.",
        "Ses dates ont été corrigées.",
        "日付が訂正されました。",
    ),
    "step.raised": ("It was disputed.", "Es wurde beanstandet.", "Il a été contesté.", "異議が申し立てられました。"),
    "step.upheld": (
        "The dispute was upheld.",
        "Der Beanstandung wurde stattgegeben.",
        "La contestation a été acceptée.",
        "異議が認められました。",
    ),
    "step.rejected": (
        "The dispute was rejected.",
        "Die Beanstandung wurde abgelehnt.",
        "La contestation a été rejetée.",
        "異議は認められませんでした。",
    ),
    "step.withdrawn": (
        "The dispute was withdrawn.",
        "Die Beanstandung wurde zurückgezogen.",
        "La contestation a été retirée.",
        "異議は取り下げられました。",
    ),
    "by_event": (
        "By the event {event}",
        "Durch das Ereignis {event}",
        "Par l’événement {event}",
        "イベント {event} による",
    ),
    "by_late_event": (
        "By the event {event}, which arrived late",
        "Durch das Ereignis {event}, das verspätet eintraf",
        "Par l’événement {event}, arrivé en retard",
        "遅れて届いたイベント {event} による",
    ),
    "by_person": (
        "By a person at {seller}",
        "Durch eine Person bei {seller}",
        "Par une personne chez {seller}",
        "{seller}の担当者による",
    ),
    "by_you": (
        "By you, through this portal",
        "Durch Sie, über dieses Portal",
        "Par vous, via ce portail",
        "お客様（このポータル）による",
    ),
    # --- Disputes -----------------------------------------------------------------------------------------------------
    "settles_in": (
        "It settles {countdown}, on {at}, unless it is undone before.",
        "Es wird {countdown} bestätigt, am {at}, wenn es nicht vorher rückgängig wird.",
        "Il sera confirmé {countdown}, le {at}, sauf s’il est annulé avant.",
        "{countdown}（{at}）に確定します。それまでに取り消された場合は請求されません。",
    ),
    "dispute": ("Dispute this", "Beanstanden", "Contester", "異議を申し立てる"),
    "dispute_line": (
        "Dispute all of this line",
        "Die ganze Position beanstanden",
        "Contester toute la ligne",
        "この行すべてに異議を申し立てる",
    ),
    "dispute_text": (
        "Say why it should not be charged. It stays off further invoices until {seller} has decided; if "
        "you are right, it is taken back, and what was invoiced is credited.",
        "Sagen Sie, warum es nicht berechnet werden soll. Bis {seller} entschieden hat, kommt es auf keine "
        "weitere Rechnung; haben Sie recht, wird es zurückgenommen und Berechnetes gutgeschrieben.",
        "Dites pourquoi cela ne devrait pas être facturé. Tant que {seller} n’a pas décidé, rien ne figure "
        "sur une nouvelle facture ; si vous avez raison, c’est annulé et ce qui a été facturé est crédité.",
        "請求すべきでない理由をお書きください。{seller}が判断するまで新たな請求書には記載されません。異議が認められた場合は取り消され、請求済みの分はクレジットされます。",
    ),
    "dispute_line_text": (
        {
            "one": "{count} outcome of this line can be disputed.",
            "other": "{count} outcomes of this line can be disputed, all with the same reason.",
        },
        {
            "one": "{count} Ergebnis dieser Position kann beanstandet werden.",
            "other": "{count} Ergebnisse dieser Position können beanstandet werden, alle mit demselben Grund.",
        },
        {
            "one": "{count} résultat de cette ligne peut être contesté.",
            "other": "{count} résultats de cette ligne peuvent être contestés, tous pour le même motif.",
        },
        {"other": "この行の{count}件に、同じ理由で異議を申し立てられます。"},
    ),
    "dispute_bound": (
        "At most {count} are disputed at once, in order: send the form again for the rest.",
        "Höchstens {count} werden auf einmal beanstandet, der Reihe nach: Senden Sie das Formular für den Rest erneut.",
        "Au plus {count} sont contestés à la fois, dans l’ordre : renvoyez le formulaire pour le reste.",
        "一度に申し立てられるのは順に{count}件までです。残りはもう一度送信してください。",
    ),
    "your_reason": ("Your reason", "Ihr Grund", "Votre motif", "理由"),
    "reason_hint": (
        "{seller} reads it. At most 1,000 characters.",
        "{seller} liest ihn. Höchstens 1.000 Zeichen.",
        "{seller} le lira. 1 000 caractères au plus.",
        "{seller}が確認します。1,000文字以内。",
    ),
    "send_dispute": ("Send the dispute", "Beanstandung senden", "Envoyer la contestation", "異議を送信"),
    "is_disputed": (
        "This is disputed. It stays off further invoices until {seller} has decided.",
        "Dies ist beanstandet. Bis {seller} entschieden hat, kommt es auf keine weitere Rechnung.",
        "Ceci est contesté. Tant que {seller} n’a pas décidé, rien ne figure sur une nouvelle facture.",
        "異議申し立て中です。{seller}が判断するまで新たな請求書には記載されません。",
    ),
    "cannot_dispute": (
        "It is not, and will not be, charged as it stands: there is nothing to dispute.",
        "So wie es steht, wird es nicht berechnet: Es gibt nichts zu beanstanden.",
        "En l’état, il n’est pas facturé : il n’y a rien à contester.",
        "現状では請求されないため、異議の対象はありません。",
    ),
    "error": ("Nothing was sent", "Es wurde nichts gesendet", "Rien n’a été envoyé", "送信されませんでした"),
    "error.required": (
        "Write a reason.",
        "Geben Sie einen Grund an.",
        "Indiquez un motif.",
        "理由を入力してください。",
    ),
    "error.max_length": (
        "The reason is too long: at most 1,000 characters.",
        "Der Grund ist zu lang: höchstens 1.000 Zeichen.",
        "Le motif est trop long : 1 000 caractères au plus.",
        "理由が長すぎます。1,000文字以内で入力してください。",
    ),
    "error.null_characters_not_allowed": (
        "The reason holds a character that cannot be stored.",
        "Der Grund enthält ein Zeichen, das nicht gespeichert werden kann.",
        "Le motif contient un caractère impossible à enregistrer.",
        "保存できない文字が含まれています。",
    ),
    "error.limit": (
        "At most {count} outcomes can be disputed in a day through one link. Try again tomorrow, or write to {seller}.",
        "Über einen Link können höchstens {count} Ergebnisse am Tag beanstandet werden. Versuchen Sie es "
        "morgen wieder oder schreiben Sie an {seller}.",
        "Un lien permet de contester au plus {count} résultats par jour. Réessayez demain ou écrivez à {seller}.",
        "一つのリンクで異議を申し立てられるのは1日{count}件までです。明日もう一度お試しになるか、{seller}にご連絡ください。",
    ),
}

PORTAL: Final = Catalogue(
    {language: {key: texts[index] for key, texts in _TEXTS.items()} for index, language in enumerate(_LANGUAGES)}
)
"""The catalogue: ``PORTAL.text(locale, key, **values)``."""
