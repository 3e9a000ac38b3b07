// Fields for moments: in the reader's own time, while the form goes on sending UTC.

const two = (number) => String(number).padStart(2, "0");

/** A moment as a datetime-local field has it, in the reader's zone. */
export function local(date) {
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day}T${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

for (const field of document.querySelectorAll("[data-moment-field]")) {
  const sent = field.querySelector("input");
  const said = sent.value.trim().replace(" ", "T"), at = new Date(/Z|[+-]\d\d:\d\d$/.test(said) ? said : `${said}Z`);
  if (sent.value && Number.isNaN(at.getTime())) continue; // it was refused: shown as it was typed
  const typed = sent.cloneNode();
  typed.type = "datetime-local";
  typed.step = "1";
  typed.removeAttribute("name");
  typed.value = sent.value ? local(at) : "";
  sent.type = "hidden";
  sent.removeAttribute("id");
  sent.before(typed);
  field.querySelector("[data-zone]").remove();
  typed.addEventListener("change", () => { sent.value = typed.value ? new Date(typed.value).toISOString() : ""; });
}
