// The page of the condition workbench, alive: the server reads the text while it is written, and says what it finds.
// Without this file the page works by its buttons.
"use strict";
(() => {
    const form = document.getElementById("workbench");
    if (!form || !window.HoldfastEditor) return;
    const area = form.elements.text;
    const told = (id) => JSON.parse(document.getElementById(id).textContent);
    const part = (name) => document.getElementById(`wb-${name}`);
    const PAUSE = 350; // milliseconds without a key before the text is read
    const AGAIN = 1500; // and between two looks at a job

    const begun = area.value;
    let leaving = false; // by a button of the page, which takes the text along
    let asking = null; // what aborts the request that is under way
    let timer = 0;
    let polling = 0;

    const editor = HoldfastEditor.mount(area, { ...told("wb-words"), label: "Text", describedBy: "wb-hint", changed });
    editor.show(told("wb-found"));

    async function post(address, signal) {
        const body = new FormData();
        for (const name of ["csrfmiddlewaretoken", "text"]) body.append(name, form.elements[name].value);
        return answered(await fetch(address, { method: "POST", body, signal }));
    }

    function answered(answer) {
        if (answer.redirected) throw new Error("You are signed out. Keep a copy of the text, and load the page again.");
        if (!answer.ok) throw new Error(`The server answers ${answer.status}: what stands here may be of an earlier text.`);
        return answer;
    }

    function say(where, text) {
        const line = document.createElement("p");
        line.className = "wb-error";
        line.textContent = text;
        part(where).replaceChildren(line);
    }

    function changed() {
        part("old").hidden = !part("billed").textContent.trim();
        clearTimeout(timer);
        timer = setTimeout(check, PAUSE);
    }

    async function check() {
        asking?.abort();
        asking = new AbortController();
        const { signal } = asking;
        const text = area.value;
        try {
            const answer = await (await post(form.dataset.check, signal)).json();
            if (area.value !== text) return; // it is asked again in a moment
            part("findings").innerHTML = answer.findings;
            part("report").innerHTML = answer.report;
            editor.show(answer.diagnostics);
            part("events").innerHTML = await (await post(form.dataset.events, signal)).text();
        } catch (error) {
            if (error.name !== "AbortError") say("findings", error.message);
        }
    }

    async function simulate() {
        clearTimeout(polling);
        part("old").hidden = true;
        part("billed").textContent = "Working it out …";
        try {
            show(await (await post(form.dataset.simulate)).text());
        } catch (error) {
            say("billed", error.message);
        }
    }

    function show(html) {
        part("billed").innerHTML = html;
        const address = part("billed").querySelector("[data-poll]")?.dataset.poll;
        if (address) polling = setTimeout(() => look(address), AGAIN);
    }

    async function look(address) {
        try {
            show(await answered(await fetch(address)).text());
        } catch (error) {
            say("billed", error.message);
        }
    }

    form.addEventListener("click", (event) => {
        const button = event.target.closest("button");
        if (!button) return;
        if (button.classList.contains("wb-place")) {
            editor.go(Number(button.dataset.line), Number(button.dataset.column));
        } else if (button.name === "_mend") {
            event.preventDefault();
            editor.mend(Number(button.value));
        } else if (button.name === "_simulate") {
            event.preventDefault();
            simulate();
        }
    });

    form.addEventListener("submit", () => {
        leaving = true;
    });
    addEventListener("beforeunload", (event) => {
        if (!leaving && area.value !== begun) event.preventDefault();
    });
})();
