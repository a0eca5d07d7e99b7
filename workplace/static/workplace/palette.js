// The palette (Ctrl+K) has its first result chosen as soon as there is one: type, press Enter, be there.
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.target.id !== "command-results" || !event.target.querySelector("li a")) return;
  const palette = event.target.closest("[x-data]");
  if (palette) window.Alpine.$data(palette).currentIndex = 1;
});
