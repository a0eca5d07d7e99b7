// A text area becomes an editor of the condition language: CodeMirror, with our words and the server's findings.
// The text area keeps the text all the while, so that its form sends it as it would without any script.
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { StreamLanguage, bracketMatching, syntaxHighlighting } from "@codemirror/language";
import { lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { EditorState } from "@codemirror/state";
import {
    EditorView, drawSelection, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers,
} from "@codemirror/view";
import { classHighlighter } from "@lezer/highlight";

const WORD = /^(?:[\p{L}\p{N}_.:/*-]|`[^`\r\n]*`)+/u;
const NUMBER = /^-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?(?![\p{L}\p{N}_.:/*`-])/u;

function language(keywords, units) {
    const known = new Set(keywords);
    const times = new Set(units);
    return StreamLanguage.define({
        token(stream) {
            if (stream.eatSpace()) return null;
            if (stream.match(/^#.*/)) return "comment";
            if (stream.match(/^"(?:[^"\\]|\\.)*"?/)) return "string";
            if (stream.match(NUMBER)) return "number";
            const word = stream.match(WORD);
            if (word) {
                if (known.has(word[0])) return "keyword";
                if (times.has(word[0])) return "unit";
                return /[.:/]/.test(word[0]) ? "typeName" : null;
            }
            if (stream.match(/^(?:!=|<=|>=|[<>=])/)) return "operator";
            stream.next();
            return null;
        },
        languageData: { commentTokens: { line: "#" } },
    });
}

// A place as the server names it, line and column from 1 in code points, as a stretch of the text to mark.
function stretch(doc, line, column) {
    const here = doc.line(Math.max(1, Math.min(line, doc.lines)));
    const before = [...here.text].slice(0, column - 1).join("").length;
    const rest = here.text.slice(before);
    const token = rest.match(WORD) ?? rest.match(/^"(?:[^"\\]|\\.)*"?/) ?? rest.match(/^[<>!=]+/) ?? rest.match(/^\S/u);
    let from = here.from + before;
    let to = from + (token ? token[0].length : 0);
    if (to === from && from > here.from) from -= 1; // at the end of a line: what stands before it
    if (to === from && to < doc.length) to += 1;
    return { from, to };
}

// The smallest change that makes the text another, so that the cursor stays and one undo takes it back.
function difference(old, text) {
    let start = 0;
    while (start < old.length && start < text.length && old[start] === text[start]) start += 1;
    let end = 0;
    while (end < Math.min(old.length, text.length) - start && old[old.length - 1 - end] === text[text.length - 1 - end]) {
        end += 1;
    }
    return { from: start, to: old.length - end, insert: text.slice(start, text.length - end) };
}

/**
 * Put an editor in the place of `area`. `changed()` is called after each change of the text. Answers
 * `show(findings)` with the server's diagnostics of the text as it stands, `mend(number)` one of them, and
 * `go(line, column)`.
 */
export function mount(area, { keywords, units, label, describedBy, changed }) {
    const view = new EditorView({
        doc: area.value,
        extensions: [
            lineNumbers(), highlightActiveLineGutter(), highlightActiveLine(), history(), drawSelection(), bracketMatching(),
            lintGutter(), language(keywords, units), syntaxHighlighting(classHighlighter),
            EditorView.lineWrapping,
            // Tab is left to the browser: the keyboard gets in and out as everywhere else.
            keymap.of([...defaultKeymap, ...historyKeymap, ...lintKeymap]),
            EditorState.tabSize.of(4),
            EditorView.contentAttributes.of({
                "aria-label": label, "aria-describedby": describedBy, spellcheck: "false", autocorrect: "off",
                autocapitalize: "off",
            }),
            EditorView.updateListener.of((update) => {
                if (!update.docChanged) return;
                area.value = view.state.doc.toString();
                changed();
            }),
        ],
    });
    area.hidden = true;
    area.after(view.dom);

    function replace(text) {
        const change = difference(view.state.doc.toString(), text);
        view.dispatch({ changes: change, selection: { anchor: change.from + change.insert.length }, scrollIntoView: true });
        view.focus();
    }

    let shown = { findings: [], of: "" };

    // A mend is a whole text: of one that has been written on since, it would undo what was written.
    function mend(number) {
        const { fix } = shown.findings[number] ?? {};
        if (fix !== undefined && view.state.doc.toString() === shown.of) replace(fix);
    }

    return {
        mend,
        show(findings) {
            shown = { findings, of: view.state.doc.toString() };
            const marks = findings.map((one, number) => ({
                ...stretch(view.state.doc, one.line, one.column),
                severity: one.severity,
                message: one.message,
                actions: one.fix === undefined ? [] : [{ name: "Mend it", apply: () => mend(number) }],
            }));
            view.dispatch(setDiagnostics(view.state, marks));
        },
        go(line, column) {
            const { from } = stretch(view.state.doc, line, column);
            view.dispatch({ selection: { anchor: from }, scrollIntoView: true });
            view.focus();
        },
    };
}
