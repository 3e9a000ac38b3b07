// The overview: its picture and list, drawn anew when something has changed.
import { draw } from "/static/topology.js";
import { list } from "/static/topology-list.js";

const POLL_MILLISECONDS = 2000;
const KINDS = ["vpc", "subnet", "port", "attachment", "service", "route_table", "endpoint", "connection", "back"];
const frame = document.getElementById("topology");
let version = "", asking = false, again = "";

/** One question at a time; whatever happens meanwhile is asked about afterwards. */
async function load(cause) {
  if (asking) { again = cause; return; }
  asking = true;
  try {
    const headers = cause ? { "X-Sidegate-Poll": cause } : {};
    const answer = await fetch(cause ? `/topology.json?seen=${encodeURIComponent(version)}` : "/topology.json", { headers, credentials: "same-origin" });
    if (answer.status === 200 && !answer.redirected) show(await answer.json());
  } catch {
    // The banner says that the connection is lost.
  } finally {
    asking = false;
  }
  const next = again;
  again = "";
  if (next) load(next);
}

function show(document) {
  version = document.version;
  frame.classList.toggle("topology-empty", document.nodes.length === 0);
  draw(frame, document);
  list(frame, document);
}

const look = () => { if (!document.hidden) load("clock"); };

load();
for (const kind of KINDS) document.body.addEventListener(`sse:${kind}`, () => load("news"));
setInterval(look, POLL_MILLISECONDS);
document.addEventListener("visibilitychange", look);
