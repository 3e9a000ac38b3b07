// How things look: colours are the page's, so that light and dark follow; what they say, lines and words say too.

const LINES = { good: "solid", waiting: "dashed", bad: "dotted", plain: "solid" };
const SHAPES = {
  machine: "rectangle", address: "rectangle", outside: "rhomboid", endpoint: "polygon", remote: "polygon",
  service: "round-rectangle", foreign: "round-rectangle", attachment: "round-rectangle", cell: "round-hexagon", gateway: "cut-rectangle",
};
const SIZE = 12;

export function paint(cy) {
  const colour = colours();
  cy.style([...ground(colour), ...tones(colour), ...marks(colour)]);
}

function colours() {
  const page = getComputedStyle(document.documentElement);
  const of = (name) => page.getPropertyValue(name).trim();
  return {
    ink: of("--bs-body-color"), paper: of("--bs-body-bg"), box: of("--bs-tertiary-bg"), edge: of("--bs-border-color"), font: getComputedStyle(document.body).fontFamily,
    good: of("--topology-good"), waiting: of("--topology-waiting"), bad: of("--topology-bad"), plain: of("--topology-plain"), focus: of("--topology-focus"),
  };
}

function ground({ ink, paper, box, edge, plain, font, focus }) {
  const text = { "font-family": font, "font-size": SIZE, color: ink, label: "data(text)", "text-wrap": "wrap" };
  return [
    { selector: "node", style: { ...text, shape: "rectangle", width: "data(wide)", height: "data(high)", "text-valign": "center", "text-halign": "center", "background-color": paper, "border-width": 1.5, "border-color": plain, "line-height": 1.2 } },
    ...Object.entries(SHAPES).map(([kind, shape]) => ({ selector: `node.${kind}`, style: { shape } })),
    { selector: ":parent", style: { shape: "round-rectangle", "background-color": box, "border-color": edge, "text-valign": "top", "text-halign": "center", "text-margin-y": -2, padding: 14 } },
    { selector: "node.vpc:childless, node.subnet:childless", style: { shape: "round-rectangle", "background-color": box, "border-color": edge } },
    { selector: "node.subnet", style: { "border-style": "dashed", "background-opacity": 0.5 } },
    { selector: "node.endpoint, node.remote", style: { "shape-polygon-points": "-1 -1 0.82 -1 1 0 0.82 1 -1 1", "text-margin-x": -6 } },
    { selector: "node.service, node.foreign", style: { "border-style": "double", "border-width": 4 } },
    { selector: "node.attachment", style: { "border-width": 0, "background-opacity": 0 } },
    { selector: "node.many", style: { ghost: "yes", "ghost-offset-x": 5, "ghost-offset-y": 5, "ghost-opacity": 0.5 } },
    { selector: "edge", style: { ...text, "font-size": SIZE - 2, "curve-style": "bezier", width: "data(width)", "line-color": plain, "target-arrow-color": plain, "target-arrow-shape": "triangle", "text-background-color": paper, "text-background-opacity": 0.85, "text-background-padding": 2 } },
    { selector: "edge.attachment", style: { "line-style": "dotted", "target-arrow-shape": "none" } },
    { selector: ".at", style: { "outline-width": 3, "outline-offset": 3, "outline-color": focus, "z-index": 10 } },
  ];
}

function tones(colour) {
  return Object.entries(LINES).flatMap(([tone, line]) => [
    { selector: `node.${tone}:childless`, style: { "border-color": colour[tone] } },
    { selector: `node.${tone}.machine, node.${tone}.address, node.${tone}.endpoint, node.${tone}.remote, node.${tone}.gateway`, style: { "border-style": line } },
    { selector: `edge.${tone}`, style: { "line-color": colour[tone], "target-arrow-color": colour[tone], "line-style": line, color: tone === "plain" ? colour.ink : colour[tone] } },
  ]).concat([{ selector: "edge.attachment", style: { "line-style": "dotted" } }]);
}

function marks({ good, waiting, bad }) {
  const under = (color) => ({ "underlay-color": color, "underlay-opacity": 0.25, "underlay-padding": 6 });
  return [
    { selector: ".added", style: under(good) },
    { selector: ".changed", style: under(waiting) },
    { selector: ".removed", style: { ...under(bad), opacity: 0.55 } },
    { selector: "edge.removed", style: { "line-style": "dotted" } },
  ];
}

const ROOM = { endpoint: 34, remote: 34, cell: 40, outside: 44 };
const ruler = document.createElement("canvas").getContext("2d");
const measured = new Map();

/** How large a thing is that says this. */
export function size(text, kind) {
  const lines = text.split("\n");
  return { wide: Math.ceil(Math.max(...lines.map(width)) + (ROOM[kind] ?? 18)), high: Math.round(lines.length * SIZE * 1.2 + 12) };
}

function width(line) {
  if (!measured.has(line)) {
    if (measured.size === 0) ruler.font = `${SIZE}px ${getComputedStyle(document.body).fontFamily}`;
    measured.set(line, ruler.measureText(line).width);
  }
  return measured.get(line);
}
