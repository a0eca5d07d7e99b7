// A file that was asked for before somebody proved who they are is asked for again, from the list it is of.
document.addEventListener("DOMContentLoaded", () => {
  document.querySelector("#list-tools form[data-asked]")?.requestSubmit();
});
