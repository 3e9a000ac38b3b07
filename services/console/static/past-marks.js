// Marks of changes along the slider: one for each, where it was.

const NAMESPACE = "http://www.w3.org/2000/svg";
const WIDTH = 1000, THUMB = 8;

let last = 0;

/** Draws what `ask` tells of the time between start and end; answers to questions of before are not drawn any more. */
export async function marks(svg, { start, end }, ask) {
  const own = (last += 1);
  const { marks: found, whole } = await ask();
  if (own !== last) return { count: found.length, whole };
  svg.setAttribute("viewBox", `0 0 ${WIDTH} 10`);
  const places = new Set(found.map(({ at }) => place(new Date(at).getTime(), start, end)));
  svg.replaceChildren(...[...places].sort((a, b) => a - b).map(mark));
  svg.dataset.marks = found.length;
  return { count: found.length, whole };
}

/** Where the slider's thumb is at a moment: its ends are half a thumb from those of the slider. */
const place = (at, start, end) => Math.round(THUMB + ((WIDTH - 2 * THUMB) * (at - start)) / Math.max(1, end - start));

function mark(x) {
  const made = document.createElementNS(NAMESPACE, "rect");
  for (const [name, value] of Object.entries({ x: x - 1, y: 0, width: 2, height: 10, fill: "currentColor" })) made.setAttribute(name, value);
  return made;
}
