// Where things stand: dagre's arrangement of all, and room for a few new things that leaves the others where they are.

const GAP = 18;
const APART = 40;
const NARROW = 600;
const MOST_ROWS = 8;
const LARGEST_CHANGE = 0.35;

/** Everything anew, from clients on the left (on a phone: above) to backends on the right; what is not joined, in rows. */
export function arrange(cy, canvas) {
  const narrow = canvas.clientWidth < NARROW;
  const bundles = bundled(cy, narrow), alone = cy.nodes().not(cy.collection(bundles.flatMap(({ nodes }) => nodes.slice(1))));
  const parts = components(cy), helped = cy.add(leads(cy.nodes(".subnet"), alone));
  for (const { nodes, width, height } of bundles) nodes[0].style({ width, height });
  for (const part of parts) {
    const nodes = part.and(alone), lines = nodes.edgesWith(nodes).filter((each) => !each.hasClass("attachment"));
    nodes.union(lines).layout({ name: "dagre", rankDir: narrow ? "TB" : "LR", nodeSep: 14, rankSep: narrow ? 50 : 80, edgeSep: 6, fit: false, animate: false }).run();
  }
  helped.remove();
  bundles.forEach(spread);
  for (const part of parts) separate(part.filter((each) => each.isOrphan()), narrow);
  pack(parts, narrow ? 0.6 : canvas.clientWidth / Math.max(1, canvas.clientHeight));
}

/** Nodes of a box that lead to the same places stand together in rows, in their own order: dagre sees one of them. */
function bundled(cy, narrow) {
  const found = new Map();
  for (const node of cy.nodes(":childless")) {
    const key = [node.data("parent") ?? "", node.data("kind"), ...node.neighborhood("node").map((each) => each.id()).sort()].join("|");
    if (node.isChild() || node.degree(false)) found.set(key, [...(found.get(key) ?? []), node]);
  }
  return [...found.values()].filter((nodes) => nodes.length > 1).map((nodes) => {
    const columns = narrow ? Math.min(3, nodes.length) : Math.ceil(nodes.length / MOST_ROWS), rows = Math.ceil(nodes.length / columns);
    const wide = Math.max(...nodes.map((each) => each.width())) + GAP, high = Math.max(...nodes.map((each) => each.height())) + GAP;
    return { nodes, columns, wide, high, width: columns * wide - GAP, height: rows * high - GAP };
  });
}

function spread({ nodes, columns, wide, high, width, height }) {
  const { x, y } = nodes[0].position(), left = x - width / 2 + (wide - GAP) / 2, above = y - height / 2 + (high - GAP) / 2;
  nodes[0].removeStyle("width height");
  nodes.forEach((each, place) => each.position({ x: left + (place % columns) * wide, y: above + Math.floor(place / columns) * high }));
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
function leads(subnets, alone) {
  const lines = [];
  const lead = (from, to) => lines.push({ group: "edges", data: { source: from.id(), target: to.id(), text: "", width: 1 } });
  for (const subnet of subnets) {
    const idle = subnet.children(".machine").and(alone).filter((each) => each.degree(false) === 0), endpoints = subnet.children(".endpoint").and(alone);
    if (idle.empty() || endpoints.empty()) continue;
    idle.forEach((each) => lead(each, endpoints[0]));
    endpoints.forEach((each) => lead(idle[0], each));
  }
  return lines;
}

const box = (node) => node.boundingBox({ includeLabels: true, includeEdges: false, includeOverlays: false, includeUnderlays: false });
const meet = (a, b) => a.x1 < b.x2 && b.x1 < a.x2 && a.y1 < b.y2 && b.y1 < a.y2;

/** Boxes that are on each other move apart, from within outwards; on a phone only downwards. */
function separate(siblings, narrow) {
  const parents = siblings.filter(":parent");
  if (parents.empty()) return;
  parents.forEach((each) => separate(each.children(), narrow));
  const done = [];
  for (const each of [...siblings].map((node) => ({ node, at: box(node) })).sort((a, b) => a.at.y1 - b.at.y1)) {
    for (let other; (other = done.find((before) => meet(each.at, before.at)));) {
      const right = !narrow && each.at.x1 > other.at.x1 ? other.at.x2 - each.at.x1 : Infinity, down = other.at.y2 - each.at.y1;
      each.node.shift(right < down ? { x: right + APART, y: 0 } : { x: 0, y: down + GAP });
      each.at = box(each.node);
    }
    done.push(each);
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
