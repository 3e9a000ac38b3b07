// The overview: its picture and list, drawn anew when something has changed.
import { draw } from "/static/topology.js";
import { list } from "/static/topology-list.js";

const POLL_MILLISECONDS = 2000;
const KINDS = ["vpc", "subnet", "port", "attachment", "service", "route_table", "endpoint", "connection", "back"];
const frame = document.getElementById("topology");
let version = "", asking = false, again = false;

/** One question at a time; whatever happens meanwhile is asked about afterwards. */
async function load(first = false) {
  if (asking) { again = true; return; }
  asking = true;
  try {
    const headers = first ? {} : { "X-Sidegate-Poll": "1" };
    const answer = await fetch(first ? "/topology.json" : `/topology.json?seen=${encodeURIComponent(version)}`, { headers, credentials: "same-origin" });
    if (answer.status === 200 && !answer.redirected) show(await answer.json());
  } catch {
    // The banner says that the connection is lost.
  } finally {
    asking = false;
  }
  if (again) { again = false; load(); }
}

function show(document) {
  version = document.version;
  frame.classList.toggle("topology-empty", document.nodes.length === 0);
  draw(frame, document);
  list(frame, document);
}

load(true);
for (const kind of KINDS) document.body.addEventListener(`sse:${kind}`, () => load());
setInterval(() => { if (!document.hidden) load(); }, POLL_MILLISECONDS);
document.addEventListener("visibilitychange", () => { if (!document.hidden) load(); });
