// What every page does: times in the reader's zone, questions before what cannot be undone, and how the connection is.
import "/static/stream.js";
import { door } from "/static/door.js";

const language = document.documentElement.lang;
const times = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" });

function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]:not([title])")) {
    time.title = time.textContent;
    time.textContent = times.format(new Date(time.dateTime));
  }
}

localise(document);
document.body.addEventListener("htmx:load", (event) => localise(event.detail.elt));

// What a page asks by itself, because of the clock or of news, keeps no session alive: only what its reader does.
document.body.addEventListener("htmx:configRequest", (event) => {
  const cause = event.detail.triggeringEvent;
  if (!cause?.isTrusted) event.detail.headers["X-Sidegate-Poll"] = cause?.type?.startsWith("sse:") ? "news" : "clock";
});

document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.sure || event.target.dataset.sure;
  if (question && !confirm(question)) event.preventDefault();
});

// A field that was refused is where its reader goes on.
(document.querySelector(".is-invalid") ?? document.getElementById("problem"))?.focus();

// A region that is fetched anew stays the element that it is: what happens meanwhile would be told to one that is gone.
document.body.addEventListener("htmx:beforeSwap", ({ detail }) => {
  const region = detail.target;
  if (region.id && region === detail.requestConfig.elt && region.getAttribute("hx-select") === `#${region.id}`) {
    detail.swapOverride = "innerHTML";
    detail.selectOverride = `#${region.id} > *`;
  }
});

// A refusal that says where it is to stand is shown there, and what was typed stays.
document.body.addEventListener("htmx:beforeSwap", ({ detail }) => {
  if (detail.xhr.getResponseHeader("HX-Retarget")) detail.shouldSwap = true;
});

// A click is a press and a release of the same thing: a region that is filled anew by itself waits for the release.
let pressed = false;
const putOff = new Set();

function released() {
  pressed = false;
  for (const region of putOff) htmx.trigger(region, "sse:back");
  putOff.clear();
}

addEventListener("pointerdown", () => { pressed = true; }, true);
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => setTimeout(released), true);
document.body.addEventListener("htmx:beforeSwap", ({ detail }) => {
  const region = detail.requestConfig.elt;
  const byItself = /sse:|every/.test(region.getAttribute("hx-trigger")) && detail.requestConfig.headers["X-Sidegate-Poll"];
  if (!pressed || !byItself) return;
  detail.shouldSwap = false;
  putOff.add(region);
});

const banner = document.getElementById("connection");
const away = new Set();

function show() {
  banner.hidden = away.size === 0;
  banner.textContent = away.has("console") ? banner.dataset.lost : away.size ? banner.dataset.away : "";
}

/** What ended a stream: a session that is over, after which nothing comes any more, or a connection that is lost. */
async function look() {
  const enough = new AbortController();
  try {
    const answer = await fetch("/live", { headers: { "X-Sidegate-Poll": "clock" }, signal: enough.signal });
    if (answer.status === 401) door();
  } catch {
    // The banner says that the connection is lost.
  } finally {
    enough.abort();
  }
}

document.addEventListener("sidegate:ended", door);
document.body.addEventListener("htmx:sseError", () => { away.add("console"); show(); look(); });
document.body.addEventListener("htmx:sseOpen", () => {
  if (away.delete("console")) htmx.trigger(document.body, "sse:back");
  show();
});
document.addEventListener("sidegate:lost", () => { away.add("service"); show(); });
document.addEventListener("sidegate:back", () => { away.delete("service"); show(); });

const file = document.getElementById("credential");
file?.addEventListener("change", async () => {
  file.setCustomValidity("");
  try {
    const credential = JSON.parse(await file.files[0].text());
    if (!credential.access_key || !credential.secret_key) throw new Error();
    document.getElementById("access_key").value = credential.access_key;
    document.getElementById("secret_key").value = credential.secret_key;
  } catch {
    file.setCustomValidity(file.dataset.wrong);
    file.reportValidity();
  }
});
