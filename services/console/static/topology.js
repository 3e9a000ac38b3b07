// Draws the topology: draw(container, document, {previous, diff}). The document is of services/console/drawing.
//
// Called again on the same container it changes the picture: what stays keeps its place. With `diff`, what is in
// `previous` and not in `document` stays as a ghost, and what was added, removed or changed is marked.
import { arrange, settle } from "./topology-places.js";
import { paint, size } from "./topology-style.js";
import { keys } from "./topology-keys.js";

const pictures = new WeakMap();
const SHOWN = ["label", "about", "word", "tone", "reason", "count", "from", "to"];
const SIGNS = { added: "+ ", removed: "− ", changed: "± " };
const MOST_LABELLED = 24;
const LONGEST = 26;
const LARGEST = 1.2;  // of the zoom that all of it is shown with
const SETTLED = 320;  // milliseconds after which what moves has arrived
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** What differs between two documents: sets of ids, of nodes and lines alike. */
export function compare(before, after) {
  const old = byId(before), now = byId(after);
  const same = (a, b) => SHOWN.every((name) => String(a[name] ?? "") === String(b[name] ?? ""));
  return {
    added: new Set([...now.keys()].filter((id) => !old.has(id))),
    removed: new Set([...old.keys()].filter((id) => !now.has(id))),
    changed: new Set([...now.keys()].filter((id) => old.has(id) && !same(old.get(id), now.get(id)))),
  };
}

/** Returns {cy, fit, arrange, destroy}. `open` is what a click on a thing does: by default the browser goes there. */
export function draw(container, document, { previous = null, diff = false, open = (href) => location.assign(href) } = {}) {
  let picture = pictures.get(container);
  if (!picture) pictures.set(container, (picture = new Picture(container)));
  picture.open = open;
  picture.show(document, diff ? previous : null);
  return picture;
}

const byId = (document) => new Map([...(document?.nodes ?? []), ...(document?.lines ?? [])].map((each) => [each.id, each]));
const short = (text) => (text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text);

class Picture {
  constructor(container) {
    this.container = container;
    this.canvas = container.querySelector(".topology-picture") ?? container;
    this.cy = cytoscape({ container: this.canvas, minZoom: 0.05, maxZoom: 3, autoungrabify: true, boxSelectionEnabled: false, autounselectify: true });
    this.touched = false;
    this.settling = 0;
    this.repaint = () => paint(this.cy);
    this.repaint();
    globalThis.document.addEventListener("sidegate:theme", this.repaint);
    this.cy.on("tap", "node", (event) => this.follow(event.target));
    this.cy.on("tapdrag pinchzoom scrollzoom dragpan", (event) => { if (event.type !== "tapdrag") this.touched = true; });
    this.cy.on("mouseover", "node, edge", (event) => { this.say(event.target.data("said")); this.canvas.classList.toggle("topology-leads", Boolean(event.target.data("href"))); });
    this.cy.on("mouseout", "node, edge", () => this.canvas.classList.remove("topology-leads"));
    // A wheel scrolls the page; with Ctrl it zooms, as it does the browser's own view.
    this.canvas.addEventListener("wheel", (event) => { if (!event.ctrlKey) event.stopImmediatePropagation(); }, { capture: true });
    this.resized = new ResizeObserver(() => { this.cy.resize(); if (!this.touched) this.fit(); });
    this.resized.observe(this.canvas);
    container.querySelectorAll("[data-topology]").forEach((button) => button.addEventListener("click", () => this[button.dataset.topology]()));
    keys(this);
  }

  show(document, previous) {
    const marks = previous ? compare(previous, document) : null;
    const nodes = union(document.nodes, previous?.nodes), lines = union(document.lines, previous?.lines);
    const labelled = lines.length <= MOST_LABELLED;
    const wanted = [...nodes.map((each) => node(each, marks)), ...lines.map((each) => line(each, marks, labelled))];
    const first = this.cy.nodes().empty();
    const fresh = this.change(wanted);
    if (first) arrange(this.cy, this.canvas);
    else settle(this.cy, this.canvas, fresh, !calm.matches);
    clearTimeout(this.settling);
    if (first) this.fit();
    else this.settling = setTimeout(() => { if (!this.touched) this.fit(true); }, calm.matches ? 0 : SETTLED);
    this.cy.one("render", () => {
      performance.mark("topology:drawn");
      this.canvas.dataset.drawn = Number(this.canvas.dataset.drawn ?? 0) + 1;
    });
  }

  /** Makes the picture hold these elements; returns those nodes that it did not hold before. */
  change(wanted) {
    const ids = new Set(wanted.map((each) => each.data.id)), fresh = [];
    this.cy.batch(() => {
      this.cy.elements().filter((each) => !ids.has(each.id())).remove();
      const added = [];
      for (const each of wanted) {
        const found = this.cy.getElementById(each.data.id);
        if (found.empty()) { added.push(each); continue; }
        if (found.isNode() && (found.data("parent") ?? "") !== (each.data.parent ?? "")) found.move({ parent: each.data.parent ?? null });
        found.data(each.data).classes(found.hasClass("at") ? `${each.classes} at` : each.classes);
      }
      this.cy.add(added).nodes().forEach((each) => fresh.push(each.id()));
    });
    return this.cy.nodes().filter((each) => fresh.includes(each.id()));
  }

  follow(node) {
    const href = node.data("href");
    if (href) this.open(href, node.data());
  }

  say(text) {
    const said = this.container.querySelector(".topology-said");
    if (said) said.textContent = text ?? "";
  }

  fit(slowly = false) {
    if (this.cy.nodes().empty()) return;
    if (slowly && !calm.matches) this.cy.animate(this.view(), { duration: 200, queue: false });
    else this.cy.viewport(this.view());
  }

  /** All of it in the middle, and no larger than it is read well. */
  view() {
    const padding = Math.min(24, this.canvas.clientWidth / 20), width = this.cy.width(), height = this.cy.height();
    const box = this.cy.nodes().boundingBox();
    const zoom = Math.min(LARGEST, (width - 2 * padding) / box.w, (height - 2 * padding) / box.h);
    return { zoom, pan: { x: (width - zoom * (box.x1 + box.x2)) / 2, y: (height - zoom * (box.y1 + box.y2)) / 2 } };
  }

  whole() { this.touched = false; this.fit(true); }
  arrange() { this.touched = false; arrange(this.cy, this.canvas); this.fit(); }
  larger() { this.zoom(1.3); }
  smaller() { this.zoom(1 / 1.3); }

  zoom(factor) {
    this.touched = true;
    this.cy.zoom({ level: this.cy.zoom() * factor, renderedPosition: { x: this.cy.width() / 2, y: this.cy.height() / 2 } });
  }

  destroy() {
    clearTimeout(this.settling);
    globalThis.document.removeEventListener("sidegate:theme", this.repaint);
    this.resized.disconnect();
    this.cy.destroy();
    pictures.delete(this.container);
  }
}

function union(now, before) {
  const known = new Set(now.map((each) => each.id));
  return [...now, ...(before ?? []).filter((each) => !known.has(each.id))];
}

const marked = (id, marks) => (marks ? Object.keys(SIGNS).find((each) => marks[each].has(id)) ?? "" : "");

function node(each, marks) {
  const mark = marked(each.id, marks);
  const state = ["waiting", "bad"].includes(each.tone) ? [each.word] : [];
  const text = [`${SIGNS[mark] ?? ""}${each.label}`, ...each.about.slice(0, 2), ...state].filter(Boolean).map(short).join("\n");
  const { parent, ...rest } = each;
  return {
    group: "nodes",
    data: { ...rest, ...(parent ? { parent } : {}), text, ...size(text, each.kind) },
    classes: [each.kind, each.tone, mark, each.count > 1 ? "many" : "", each.href ? "leads" : ""].filter(Boolean).join(" "),
  };
}

function line(each, marks, labelled) {
  const mark = marked(each.id, marks);
  const word = labelled ? each.word : "";
  const text = `${SIGNS[mark] ?? ""}${[word, each.count > 1 ? `×${each.count}` : ""].filter(Boolean).join(" ")}`.trim();
  const { from, to, ...rest } = each;
  return {
    group: "edges",
    data: { ...rest, source: from, target: to, text, width: width(each.traffic) },
    classes: [each.kind, each.tone, mark].filter(Boolean).join(" "),
  };
}

/** Bytes per second to a line's width: ten times as much is a pixel more. */
const width = (traffic) => 1.5 + Math.min(7, traffic > 0 ? Math.log10(1 + traffic) : 0);
