// Pages of the operator: the credential file is made here, and of a form only the part is shown that is chosen.

const button = document.getElementById("download");
if (button) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const parts = [...document.querySelectorAll("#credential [data-part]")];
    const credential = Object.fromEntries(parts.map((part) => [part.dataset.part, part.textContent.trim()]));
    const file = new Blob([`${JSON.stringify(credential, null, 2)}\n`], { type: "application/json" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(file);
    link.download = button.dataset.name;
    link.click();
    URL.revokeObjectURL(link.href);
  });
}

const kind = document.getElementById("kind");
function choose() {
  for (const part of document.querySelectorAll("fieldset[data-kind]")) {
    part.hidden = part.disabled = part.dataset.kind !== kind.value;
  }
}
if (kind) {
  kind.addEventListener("change", choose);
  choose();
}
