// The same graph as a list: what the picture shows, for whoever reads or hears it.

const MARKS = { good: "●", waiting: "◐", bad: "✗", plain: "·" };

/** Puts the document into the frame's list; what its reader has opened stays open, and what he is at keeps the focus. */
export function list(frame, document) {
  const place = frame.querySelector(".topology-list-body");
  if (!place) return;
  const closed = new Set([...place.querySelectorAll("details:not([open])")].map((each) => each.dataset.id));
  const at = globalThis.document.activeElement?.closest?.(".topology-list-body [data-at]")?.dataset.at;
  const inside = group(document.nodes, (each) => each.parent), out = group(document.lines, (each) => each.from), into = group(document.lines, (each) => each.to);
  const labels = new Map(document.nodes.map((each) => [each.id, each]));
  place.replaceChildren(branch("", { inside, out, into, labels, closed }));
  if (at) place.querySelector(`[data-at="${CSS.escape(at)}"]`)?.focus();
}

function group(all, by) {
  const found = new Map();
  for (const each of all) found.set(by(each), [...(found.get(by(each)) ?? []), each]);
  return found;
}

function branch(id, graph) {
  const items = (graph.inside.get(id) ?? []).map((node) => {
    const lines = [...(graph.out.get(node.id) ?? []), ...(graph.into.get(node.id) ?? [])].map((each) => line(each, node.id, graph.labels));
    const below = lines.length ? [element("ul", {}, ...lines)] : [];
    if (!graph.inside.has(node.id)) return element("li", {}, mark(node), name(node, node.said), ...below);
    const details = element("details", { open: !graph.closed.has(node.id) }, element("summary", {}, node.said), ...below, branch(node.id, graph));
    details.dataset.id = node.id;
    return element("li", {}, details);
  });
  const own = graph.labels.get(id);
  if (own?.href) items.unshift(element("li", {}, name(own, own.label)));
  return element("ul", {}, ...items);
}

function mark(node) {
  return element("span", { className: `topology-mark topology-${node.tone}`, ariaHidden: "true" }, `${MARKS[node.tone] ?? MARKS.plain} `);
}

function name(node, said) {
  const made = node.href ? element("a", { href: node.href }, said) : element("span", {}, said);
  made.dataset.at = node.id;
  return made;
}

function line(each, id, labels) {
  const here = each.from === id, other = labels.get(here ? each.to : each.from);
  const target = other?.href ? element("a", { href: other.href }, other.label) : other?.label ?? "";
  if (other?.href) target.dataset.at = `${id} ${each.id}`;
  const count = each.count > 1 ? ` ×${each.count}` : "";
  return element("li", {}, `${here ? "→" : "←"} `, target, [count, each.word, each.reason].filter(Boolean).map((said) => ` · ${said}`).join(""));
}

function element(tag, properties, ...children) {
  const made = Object.assign(globalThis.document.createElement(tag), properties);
  made.append(...children);
  return made;
}
