// Services: rows that come and go, many connections chosen at once, names that are copied.

const rowOf = (element) => element.closest("[data-row]");

function renumber(table) {
  table.querySelectorAll("[data-row]").forEach((row, index) => {
    for (const each of row.querySelectorAll("[aria-label]")) {
      each.setAttribute("aria-label", each.getAttribute("aria-label").replace(/\d+$/, String(index + 1)));
    }
  });
}

const isEmpty = (row) => [...row.querySelectorAll("input")].every((input) => !input.value)
  && [...row.querySelectorAll("select")].every((select) => select.selectedIndex <= 0);

function clear(row) {
  for (const input of row.querySelectorAll("input")) input.value = "";
  for (const select of row.querySelectorAll("select")) select.selectedIndex = 0;
  for (const each of row.querySelectorAll(".is-invalid")) each.classList.remove("is-invalid");
  for (const each of row.querySelectorAll("[aria-invalid]")) each.removeAttribute("aria-invalid");
  for (const each of row.querySelectorAll(".invalid-feedback")) each.remove();
}

// Rows that are there for readers without scripts go; a row can be added here.
function prepare(root) {
  for (const table of root.querySelectorAll("[data-rows]:not([data-ready])")) {
    table.dataset.ready = "";
    const rows = [...table.querySelectorAll("[data-row]")];
    for (const row of rows.slice(1).reverse()) if (isEmpty(row)) row.remove();
    for (const button of table.querySelectorAll("[data-add-row], [data-remove-row]")) button.hidden = false;
  }
  for (const button of root.querySelectorAll("[data-copy]")) button.hidden = false;
}

function add(table) {
  const last = [...table.querySelectorAll("[data-row]")].at(-1);
  const row = last.cloneNode(true);
  clear(row);
  last.after(row);
  renumber(table);
  row.querySelector("input, select").focus();
}

function remove(row) {
  const table = row.closest("[data-rows]");
  if (table.querySelectorAll("[data-row]").length > 1) row.remove();
  else clear(row);
  renumber(table);
  table.querySelector("[data-add-row]").focus();
}

async function copy(button) {
  await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).textContent);
  button.textContent = button.dataset.copied;
}

const boxes = () => [...document.querySelectorAll('input[name="endpoint_ids"][type="checkbox"]')];

function count() {
  const all = boxes(), chosen = all.filter((box) => box.checked);
  const said = document.querySelector("[data-chosen]"), every = document.querySelector("[data-choose-all]");
  if (said) said.textContent = chosen.length ? said.dataset.chosen.replace("%(num)s", String(chosen.length)) : "";
  if (every) {
    every.checked = all.length > 0 && chosen.length === all.length;
    every.indeterminate = chosen.length > 0 && chosen.length < all.length;
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if ("addRow" in button.dataset) add(button.closest("[data-rows]"));
  if ("removeRow" in button.dataset) remove(rowOf(button));
  if ("copy" in button.dataset) copy(button);
});

document.addEventListener("change", (event) => {
  if ("chooseAll" in event.target.dataset) for (const box of boxes()) box.checked = event.target.checked;
  if (event.target.type === "checkbox") count();
});

// What was chosen stays so when the table is fetched anew, unless it is another thing by now.
let chosen = new Map(), opened = [];
document.addEventListener("htmx:beforeSwap", (event) => {
  opened = [...event.detail.target.querySelectorAll("details")].map((details) => details.open);
  chosen = new Map(boxes().filter((box) => box.checked).map((box) => [box.value, box.dataset.etag]));
});
document.addEventListener("htmx:afterSwap", (event) => {
  const all = document.getElementById(event.detail.target.id)?.querySelectorAll("details") ?? [];
  if (all.length === opened.length) all.forEach((details, index) => { details.open = opened[index]; });
  for (const box of boxes()) if (chosen.get(box.value) === box.dataset.etag) box.checked = true;
  for (const field of document.querySelectorAll("[data-follows]")) {
    field.value = document.querySelector(field.dataset.follows)?.dataset.etag ?? field.value;
  }
  prepare(document);
  count();
});

prepare(document);
count();
