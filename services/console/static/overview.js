// The overview: its picture, drawn anew when something has changed.
import { draw } from "/static/topology.js";

const frame = document.getElementById("topology");

async function load() {
  const answer = await fetch("/topology.json", { credentials: "same-origin" });
  if (answer.ok) draw(frame, await answer.json());
}

load();
