// Draws a table of numbers over time above it: the table is what a screen reader reads, and what is there without this.
//
// <table data-chart data-unit="bytes">: the first column has <time datetime>, each other cell data-value; the heads name
// the lines. The table lies in a <details>, the drawing is put before that.

const COLOURS = ["--bs-primary", "--bs-success", "--bs-danger", "--bs-warning", "--bs-info", "--bs-purple"];
const HEIGHT = 180;
const WIDE = 75; // what a time of day takes, with its seconds
const UNITS = { bytes: { style: "unit", unit: "byte", notation: "compact", unitDisplay: "narrow" } };

const drawn = new Map();

function read(table) {
  const [time, ...heads] = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
  const rows = [...table.tBodies[0].rows];
  const times = rows.map((row) => Date.parse(row.cells[0].querySelector("time").dateTime) / 1000);
  const lines = heads.map((_, place) => rows.map((row) => Number(row.cells[place + 1].dataset.value)));
  return { time, heads, data: [times, ...lines] };
}

function draw(table) {
  const { time, heads, data } = read(table);
  const details = table.closest("details") ?? table;
  let place = details.previousElementSibling;
  if (!place?.classList.contains("chart")) {
    place = document.createElement("div");
    place.className = "chart";
    place.setAttribute("aria-hidden", "true");
    details.before(place);
  }
  drawn.get(place)?.destroy();
  place.replaceChildren();
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const said = new Intl.NumberFormat(document.documentElement.lang, UNITS[table.dataset.unit] ?? { notation: "compact" });
  const axis = { stroke: colour("--bs-secondary-color"), grid: { stroke: colour("--bs-border-color"), width: 1 } };
  const clock = (timeStyle) => {
    const times = new Intl.DateTimeFormat(document.documentElement.lang, { timeStyle });
    return (at) => times.format(new Date(at * 1000));
  };
  const minutes = clock("short"), seconds = clock("medium");
  const options = {
    width: Math.max(place.clientWidth, 240),
    height: HEIGHT,
    scales: { y: { range: (_, low, high) => [Math.min(low, 0), high > 0 ? high : 1] } },
    axes: [
      { ...axis, space: WIDE, values: (_, at, _axis, _space, step) => at.map(step < 60 ? seconds : minutes) },
      { ...axis, size: 64, values: (_, ticks) => ticks.map((each) => said.format(each)) },
    ],
    series: [
      { label: time, value: (_, at) => (at == null ? "–" : seconds(at)) },
      ...heads.map((label, line) => ({
        label,
        stroke: colour(COLOURS[line % COLOURS.length]),
        width: 2,
        dash: line % 2 ? [6, 3] : undefined,
        value: (_, value) => (value == null ? "–" : said.format(value)),
      })),
    ],
  };
  drawn.set(place, new uPlot(options, data, place));
}

function drawAll() {
  for (const [place, chart] of drawn) {
    if (!place.isConnected) {
      chart.destroy();
      drawn.delete(place);
    }
  }
  for (const table of document.querySelectorAll("table[data-chart]")) if (table.tBodies[0].rows.length) draw(table);
}

drawAll();
document.body.addEventListener("htmx:afterSettle", drawAll);
document.addEventListener("sidegate:theme", drawAll);
addEventListener("resize", drawAll);
