// Where things stand: dagre's arrangement of all, and room for a few new things that leaves the others where they are.

const GAP = 18;
const APART = 40;
const NARROW = 600;
const LARGEST_CHANGE = 0.35;

/** Everything anew, from clients on the left (on a phone: above) to backends on the right; what is not joined, in rows. */
export function arrange(cy, canvas) {
  const narrow = canvas.clientWidth < NARROW;
  const parts = components(cy);
  const helped = cy.add(leads(cy));
  for (const part of parts) {
    const lines = part.connectedEdges().filter((each) => !each.hasClass("attachment"));
    part.union(lines).layout({ name: "dagre", rankDir: narrow ? "TB" : "LR", nodeSep: 14, rankSep: narrow ? 50 : 80, edgeSep: 6, fit: false, animate: false }).run();
  }
  helped.remove();
  for (const part of parts) separate(part.filter((each) => each.isOrphan()));
  pack(parts, narrow ? 0.6 : canvas.clientWidth / Math.max(1, canvas.clientHeight));
}

/** Nodes that lines or the same box join; largest first. */
function components(cy) {
  const root = new Map(), top = (node) => (node.isOrphan() ? node : node.ancestors().last()).id();
  const find = (id) => { while (root.has(id)) id = root.get(id); return id; };
  for (const edge of cy.edges()) {
    const [a, b] = [find(top(edge.source())), find(top(edge.target()))];
    if (a !== b && !edge.hasClass("attachment")) root.set(a, b);
  }
  const parts = new Map();
  for (const node of cy.nodes()) {
    const id = find(top(node));
    parts.set(id, [...(parts.get(id) ?? []), node]);
  }
  return [...parts.values()].map((each) => cy.collection(each)).sort((a, b) => b.length - a.length);
}

/** Lines that nobody sees: machines that nothing leads to stand before the endpoints of their subnet. */
function leads(cy) {
  const lines = [];
  const lead = (from, to) => lines.push({ group: "edges", data: { source: from.id(), target: to.id(), text: "", width: 1 } });
  for (const subnet of cy.nodes(".subnet")) {
    const idle = subnet.children(".machine").filter((each) => each.degree(false) === 0), endpoints = subnet.children(".endpoint");
    if (idle.empty() || endpoints.empty()) continue;
    idle.forEach((each) => lead(each, endpoints[0]));
    endpoints.forEach((each) => lead(idle[0], each));
  }
  return lines;
}

const box = (node) => node.boundingBox({ includeLabels: true, includeEdges: false, includeOverlays: false, includeUnderlays: false });
const meet = (a, b) => a.x1 < b.x2 && b.x1 < a.x2 && a.y1 < b.y2 && b.y1 < a.y2;

/** Boxes that are on each other move apart, from within outwards. */
function separate(siblings) {
  siblings.filter(":parent").forEach((each) => separate(each.children()));
  const done = [];
  for (const each of [...siblings].sort((a, b) => box(a).y1 - box(b).y1)) {
    for (let again = true; again;) {
      const own = box(each), other = done.find((before) => meet(own, before));
      again = Boolean(other);
      if (other) each.shift("y", other.y2 - own.y1 + GAP);
    }
    done.push(box(each));
  }
}

/** Parts beside each other, in rows about as wide as the picture is. */
function pack(parts, ratio) {
  const boxes = parts.map((part) => part.boundingBox({ includeEdges: false, includeOverlays: false }));
  const area = boxes.reduce((sum, each) => sum + (each.w + APART) * (each.h + APART), 0);
  const width = Math.max(Math.sqrt(area * ratio), ...boxes.map((each) => each.w));
  let x = 0, y = 0, high = 0;
  parts.forEach((part, place) => {
    const here = boxes[place];
    if (x > 0 && x + here.w > width) { x = 0; y += high + APART; high = 0; }
    part.filter((each) => each.isOrphan()).shift({ x: x - here.x1, y: y - here.y1 });
    x += here.w + APART;
    high = Math.max(high, here.h);
  });
}

/** After a change: new nodes get a place below their like; where too much is new, all are arranged. */
export function settle(cy, canvas, fresh, slowly) {
  const leaves = fresh.filter((each) => each.isChildless());
  const old = cy.nodes(":childless").not(leaves);
  if (leaves.empty()) return;
  if (old.empty() || leaves.length > LARGEST_CHANGE * old.length + 2) return rearrange(cy, canvas, old, slowly);
  for (const each of leaves) {
    if (!place(each, cy.nodes().not(fresh))) return rearrange(cy, canvas, old, slowly);
    makeRoom(each);
  }
}

/** All move to where dagre has them, so that an eye can follow. */
function rearrange(cy, canvas, old, slowly) {
  const before = new Map(old.map((each) => [each.id(), { ...each.position() }]));
  arrange(cy, canvas);
  if (!slowly) return;
  old.forEach((each) => {
    const to = { ...each.position() };
    each.position(before.get(each.id())).animate({ position: to }, { duration: 300 });
  });
}

function place(node, old) {
  const siblings = node.siblings().and(old), alike = (each) => each.data("kind") === node.data("kind");
  const kind = siblings.filter(alike);
  const like = kind.nonempty() ? kind : node.isOrphan() ? old.filter(alike) : siblings;
  if (like.empty()) return false;
  const lowest = like.max((each) => each.position("y")).ele;
  node.position({ x: lowest.position("x"), y: box(lowest).y2 + GAP + node.outerHeight() / 2 });
  return true;
}

/** What the node now covers moves down, and so on outwards. */
function makeRoom(node) {
  const own = box(node);
  for (const other of [...node.siblings()].sort((a, b) => box(a).y1 - box(b).y1)) {
    const there = box(other);
    if (!meet(own, there)) continue;
    other.shift("y", own.y2 - there.y1 + GAP);
    makeRoom(other);
  }
  if (node.isChild()) makeRoom(node.parent()[0]);
}
