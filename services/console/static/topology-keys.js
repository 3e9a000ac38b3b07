// The picture by keyboard: arrows go from thing to thing, Enter opens one, + and - zoom, 0 shows all.

const ACROSS = 2.5;

export function keys(picture) {
  const { canvas, cy } = picture;
  const at = () => cy.nodes(".at");

  canvas.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const does = {
      ArrowRight: () => step(1, 0), ArrowLeft: () => step(-1, 0), ArrowDown: () => step(0, 1), ArrowUp: () => step(0, -1),
      Enter: () => picture.follow(at()), "+": () => picture.larger(), "-": () => picture.smaller(), 0: () => picture.whole(),
    }[event.key];
    if (!does) return;
    event.preventDefault();
    does();
  });
  canvas.addEventListener("blur", () => { at().removeClass("at"); picture.say(""); });

  function step(x, y) {
    const from = at().nonempty() ? at() : null;
    const next = from ? nearest(from, x, y) : topLeft();
    if (!next || next.empty()) return;
    at().removeClass("at");
    next.addClass("at");
    picture.say(next.data("said"));
    show(next);
  }

  const topLeft = () => cy.nodes().min((each) => each.position("x") + each.position("y")).ele;

  function nearest(from, x, y) {
    const here = from.position();
    const far = (node) => {
      const there = node.position(), ahead = (there.x - here.x) * x + (there.y - here.y) * y;
      const aside = Math.abs((there.x - here.x) * y) + Math.abs((there.y - here.y) * x);
      return ahead > 1 ? ahead + ACROSS * aside : Infinity;
    };
    const { ele, value } = cy.nodes().not(from).min(far);
    return value === Infinity ? null : ele;
  }

  function show(node) {
    const there = node.renderedBoundingBox();
    if (there.x1 < 0 || there.y1 < 0 || there.x2 > cy.width() || there.y2 > cy.height()) cy.center(node);
  }
}
