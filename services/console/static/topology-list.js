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
    const children = graph.inside.get(node.id), lines = [...(graph.out.get(node.id) ?? []), ...(graph.into.get(node.id) ?? [])];
    const said = name(node), rest = [];
    if (lines.length) rest.push(element("ul", {}, ...lines.map((each) => line(each, node.id, graph.labels))));
    if (children) rest.push(branch(node.id, graph));
    if (!rest.length) return element("li", {}, said);
    const details = element("details", { open: !graph.closed.has(node.id) }, element("summary", {}, said), ...rest);
    details.dataset.id = node.id;
    return element("li", {}, details);
  });
  return element("ul", {}, ...items);
}

function name(node) {
  const said = node.href ? element("a", { href: node.href }, node.said) : element("span", {}, node.said);
  said.dataset.at = node.id;
  const mark = element("span", { className: `topology-mark topology-${node.tone}`, ariaHidden: "true" }, MARKS[node.tone] ?? MARKS.plain);
  return element("span", {}, mark, " ", said);
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
