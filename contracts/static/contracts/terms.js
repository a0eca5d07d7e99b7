// The pages on which prices and terms are written. Without script they do the same by their buttons.
(() => {
    const form = document.querySelector("form[data-live]");
    if (!form) return;

    // Rows are added and taken away; without script the spare ones at the end are filled.
    form.addEventListener("click", (event) => {
        const button = event.target.closest("[data-add], [data-remove]");
        if (!button) return;
        if ("remove" in button.dataset) {
            button.closest("[data-row]").remove();
            later();
            return;
        }
        const list = button.closest("[data-rows]");
        const pattern = list.querySelector(":scope > template");
        const next = Number(list.dataset.next);
        list.dataset.next = next + 1;
        pattern.insertAdjacentHTML("beforebegin", pattern.innerHTML.replaceAll(list.dataset.mark, next));
    });

    // What the inputs come to is asked of the server a moment after they were edited, one question at a time.
    const PAUSE = 500;
    const told = form.querySelector("[data-told]");
    let timer;
    let asking;

    function later() {
        clearTimeout(timer);
        timer = setTimeout(ask, PAUSE);
    }

    async function ask() {
        asking?.abort();
        asking = new AbortController();
        const body = new FormData(form);
        body.append("_preview", "1"); // stores nothing, so nobody is asked to prove who they are
        body.append("_live", "1");
        try {
            const answer = await fetch(form.getAttribute("action"), { method: "POST", body, signal: asking.signal, redirect: "error" });
            if (!answer.ok) throw new Error(answer.statusText);
            show(await answer.text());
            told.textContent = "";
        } catch (error) {
            if (error.name !== "AbortError") told.textContent = "The preview could not be had. Press Preview to try again.";
        }
    }

    function show(text) {
        const fresh = document.createElement("template");
        fresh.innerHTML = text;
        for (const slot of fresh.content.querySelectorAll("[data-slot]")) {
            const old = form.querySelector(`[data-slot="${CSS.escape(slot.dataset.slot)}"]`);
            if (!old) continue;
            for (const details of slot.querySelectorAll("[data-details]")) {
                details.open = old.querySelector(`[data-details="${CSS.escape(details.dataset.details)}"]`)?.open ?? false;
            }
            const charts = new Map();
            for (const canvas of old.querySelectorAll("canvas[data-chart]")) charts.set(canvas.dataset.chart, canvas);
            const canvases = [...slot.querySelectorAll("canvas[data-chart]")];
            old.replaceWith(slot);
            for (const canvas of canvases) draw(canvas, charts);
            for (const canvas of charts.values()) Chart.getChart(canvas)?.destroy();
        }
    }

    // A chart that is there already moves to its new figures.
    function draw(canvas, charts) {
        const drawn = charts.get(canvas.dataset.chart);
        const chart = drawn && Chart.getChart(drawn);
        const data = JSON.parse(canvas.dataset.value);
        const options = JSON.parse(canvas.dataset.options);
        if (!chart) {
            new Chart(canvas, { type: canvas.dataset.type, data, options });
            return;
        }
        charts.delete(canvas.dataset.chart);
        for (const { name, value } of canvas.attributes) {
            if (name.startsWith("data-") || name.startsWith("aria-")) drawn.setAttribute(name, value);
        }
        canvas.replaceWith(drawn);
        chart.data = data;
        chart.options = options;
        chart.resize();
        chart.update();
    }

    form.addEventListener("input", later);
    form.addEventListener("change", later);
})();
