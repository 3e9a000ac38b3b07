// The time slider: a moment is asked for at a time, the last one that was chosen next; its answer is drawn.
import { door } from "/static/door.js";
import { draw } from "/static/topology.js";
import { list } from "/static/topology-list.js";
import { local } from "/static/past-fields.js";
import { marks } from "/static/past-marks.js";

const part = document.getElementById("past"), frame = document.getElementById("past-picture");
const slider = document.getElementById("past-slider"), field = document.getElementById("at");
const said = document.getElementById("past-said"), compare = document.getElementById("past-compare");
const problem = document.getElementById("past-problem"), range = document.getElementById("past-range");
const STEPS = 1000, SETTLED = 120, AGAIN = 300;
const times = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "medium" });

/** `at` and `base` are moments as the server writes them, to the nanosecond; `at` is empty for now. */
const state = { at: part.dataset.at, base: "", logs: part.dataset.logs, start: 0, end: Date.now() };
let asking = false, wanted = null, soon = 0, seen = "";
let refusedAtFirst = problem.children.length > 0; // stands until its reader does something

const milliseconds = (text) => (text ? new Date(text).getTime() : state.end);
const spoken = (text) => (text ? times.format(new Date(text)) : part.dataset.now);
const iso = (number) => new Date(number).toISOString();

function query(more) {
  const all = { of: part.dataset.of, cell: part.dataset.cell, skip: part.dataset.skip, logs: state.logs, ...more };
  return new URLSearchParams(Object.entries(all).filter(([, value]) => value && value !== "0"));
}

async function ask(path, more, byItself = false) {
  const headers = { "HX-Request": "true", ...(byItself ? { "X-Sidegate-Poll": "1" } : {}) };
  const answer = await fetch(`${path}?${query(more)}`, { headers, credentials: "same-origin" });
  if (answer.status === 401) door();
  if (answer.status === 204) return null;
  if (!answer.ok) throw new Refused(await answer.text());
  return answer.json();
}

class Refused extends Error {}

/** Has a moment shown. While one is asked for, only the last of those that are chosen meanwhile is asked for next. */
function show(at, base = state.base, byItself = false) {
  state.at = at;
  state.base = base;
  say();
  wanted = { at, base, byItself };
  clearTimeout(soon);
  if (!asking) next();
}

async function next() {
  const { at, base, byItself } = wanted;
  wanted = null;
  asking = true;
  performance.mark("past:asked");
  try {
    const found = await ask("/past/moment.json", { at, base, seen: byItself ? seen : "" }, byItself);
    if (!wanted && found) take(found, at, byItself);
  } catch (error) {
    if (!wanted) problem.replaceChildren(...refusal(error));
  }
  asking = false;
  if (wanted) next();
}

function take(found, at, byItself) {
  refusedAtFirst &&= byItself;
  if (!refusedAtFirst) problem.replaceChildren();
  state.logs = found.logs;
  seen = found.seen;
  draw(frame, found.document, { previous: found.previous, diff: Boolean(found.previous) });
  list(frame, found.document);
  const region = document.getElementById("past-moment");
  const open = region.querySelector("details")?.open;
  region.innerHTML = found.html;
  if (open !== undefined && !found.previous && region.querySelector("details")) region.querySelector("details").open = open;
  for (const time of region.querySelectorAll("time[datetime]")) time.textContent = times.format(new Date(time.dateTime));
  part.dataset.shown = at || "now";
  if (!at && !dragging) span(Date.now(), byItself);
  performance.mark("past:shown");
}

/** What the server says, or, where it says nothing, that it says nothing. */
function refusal(error) {
  const said = document.createElement("div");
  if (error instanceof Refused) said.innerHTML = error.message;
  else { said.className = "alert alert-warning"; said.textContent = part.dataset.lost; }
  return [said];
}

function say() {
  said.textContent = spoken(state.at);
  slider.setAttribute("aria-valuetext", said.textContent);
  const share = (milliseconds(state.at) - state.start) / Math.max(1, state.end - state.start);
  if (document.activeElement !== slider || !dragging) slider.value = state.at ? Math.round(STEPS * Math.min(1, Math.max(0, share))) : STEPS;
  if (document.activeElement !== field && field.type === "datetime-local") {
    field.value = local(new Date(milliseconds(state.at)));
    document.querySelector("#past-form input[type=hidden][name=at]").value = state.at;
  }
  compare.setAttribute("aria-pressed", String(Boolean(state.base)));
  compare.textContent = state.base ? `${compare.dataset.on} ${spoken(state.base)}` : compare.dataset.off;
}

let dragging = false;
slider.addEventListener("input", () => {
  dragging = true;
  const place = Number(slider.value);
  const at = place >= STEPS && isLive() ? "" : iso(state.start + ((state.end - state.start) * place) / STEPS);
  clearTimeout(soon);
  state.at = at;
  say();
  if (asking) wanted = { at, base: state.base, byItself: false };
  else soon = setTimeout(() => show(at), document.hidden ? SETTLED : 30);
});
slider.addEventListener("change", () => { dragging = false; show(state.at); });

const isLive = () => Math.abs(Date.now() - state.end) < 60_000 || range.value === "0";

for (const [id, to] of [["past-previous", "previous"], ["past-next", "next"]]) {
  document.getElementById(id).addEventListener("click", async () => {
    try {
      const found = await ask("/past/step.json", { at: state.at, to });
      if (found.at) reach(found.at);
      else if (to === "next") reach("");
    } catch (error) {
      problem.replaceChildren(...refusal(error));
    }
  });
}
document.getElementById("past-now").addEventListener("click", () => { span(Date.now()); show(""); });
document.getElementById("past-form").addEventListener("submit", (event) => {
  event.preventDefault();
  reach(field.value ? new Date(field.value).toISOString() : "");
});
compare.addEventListener("click", () => show(state.at, state.base ? "" : state.at || iso(Date.now())));
range.addEventListener("change", () => { span(Math.max(milliseconds(state.at), Number(range.value) ? milliseconds(state.at) : Date.now())); say(); });

/** Shows a moment that may lie beyond what the slider spans. */
function reach(at) {
  if (at && (milliseconds(at) < state.start || milliseconds(at) > state.end)) span(milliseconds(at) + (state.end - state.start) / 2);
  show(at);
}

/** The slider's ends: so many seconds up to `end`, which is never ahead of now; or all from the first record on. */
function span(end, byItself = false) {
  state.end = Math.min(end, Date.now());
  const seconds = Number(range.value), begins = part.dataset.begins ? new Date(part.dataset.begins).getTime() : state.end - 3_600_000;
  state.start = seconds ? state.end - seconds * 1000 : Math.min(begins - 1000, state.end - 1000);
  marks(document.getElementById("past-marks"), state, () => ask("/past/changes.json", { start: iso(state.start), end: iso(state.end) }, byItself))
    .then(({ count, whole }) => {
      const words = count === 0 ? part.dataset.none : (whole ? part.dataset.whole : part.dataset.part).replace("%(num)s", count);
      document.getElementById("past-marks-said").textContent = words;
    })
    .catch(() => {});
}

// What is now, is live: the picture follows, and new marks appear.
let again = 0;
function follow() {
  if (state.at || dragging || document.hidden) return;
  clearTimeout(again);
  again = setTimeout(() => { if (!state.at) show("", state.base, true); }, AGAIN);
}
document.body.addEventListener("htmx:sseMessage", (event) => { if (!["begun", "lost", "ended"].includes(event.detail.type)) follow(); });
document.addEventListener("visibilitychange", follow);
if (part.dataset.polls) setInterval(follow, Number(part.dataset.polls));

span(Date.now());
show(state.at, "", true);
