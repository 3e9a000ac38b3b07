// What pages of endpoints do by themselves: copying, and taking an offered service into the field.

function show(root) {
  for (const button of root.querySelectorAll("[data-copy][hidden]")) button.hidden = !navigator.clipboard;
}

show(document);
document.body.addEventListener("htmx:afterSettle", () => show(document));

document.addEventListener("click", async (event) => {
  const offer = event.target.closest("[data-offer]");
  if (offer) {
    event.preventDefault();
    const field = document.getElementById("service");
    field.value = offer.dataset.offer;
    field.dispatchEvent(new Event("change", { bubbles: true }));
    field.focus();
    return;
  }
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  const said = button.textContent;
  button.textContent = button.dataset.copied;
  setTimeout(() => { button.textContent = said; }, 1500);
});

// What its reader has opened stays open when its region is fetched anew.
const opened = new Set();

document.body.addEventListener("htmx:beforeSwap", (event) => {
  opened.clear();
  for (const details of event.detail.target.querySelectorAll("details[open] > summary")) opened.add(details.textContent);
});
document.body.addEventListener("htmx:afterSwap", () => {
  for (const summary of document.querySelectorAll("main details:not([open]) > summary")) {
    if (opened.has(summary.textContent)) summary.parentElement.open = true;
  }
});

// What was refused is not wrong any more once it is another.
const request = document.getElementById("request");
request?.addEventListener("input", (event) => event.target.classList.remove("is-invalid"));

// What was typed while the page was still loading, or was kept by the browser, nobody was told of.
addEventListener("load", () => {
  const typed = (field) => field.defaultValue !== undefined && field.value !== field.defaultValue;
  const service = document.getElementById("service");
  if (service && document.activeElement !== service && [...request.elements].some(typed)) {
    service.dispatchEvent(new Event("change", { bubbles: true }));
  }
});
