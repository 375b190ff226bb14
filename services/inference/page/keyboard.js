// The keys of a film that has the focus; the page lists them under the films.

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const KEYS = {
  "+": "zoomIn",
  "=": "zoomIn",
  "-": "zoomOut",
  0: "reset",
  h: "heat",
  o: "outline",
  i: "invert",
  w: "preset",
  l: "link",
  enter: "enlarge",
  escape: "leave",
};

/** Calls `does.arrow(dx, dy)`, `does.window(dx, dy)` with Shift held, or the one of `does` that KEYS names. */
export function listenToKeys(canvas, does) {
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = ARROWS[event.key];
    const name = KEYS[event.key.toLowerCase()];
    if (!arrow && !name) return;
    if (arrow) (event.shiftKey ? does.window : does.arrow)(...arrow);
    else does[name]();
    event.preventDefault();
  });
}
