// Mouse, pen and fingers on the film: drag, wheel, pinch.

/** Calls `does.begin()`, then `does.move(dx, dy)`, `does.window(dx, dy)` or `does.zoom(factor, at)`, in canvas pixels;
 * `does.windows()` says what a drag is for, and `does.zoom` whether it could. */
export function listenToGestures(canvas, does) {
  const down = new Map();

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    does.begin();
    down.set(event.pointerId, place(event));
    canvas.setPointerCapture(event.pointerId);
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    canvas.addEventListener(end, (event) => down.delete(event.pointerId));
  }
  canvas.addEventListener("pointermove", (event) => {
    if (!down.has(event.pointerId)) return;
    const before = [...down.values()];
    down.set(event.pointerId, place(event));
    const after = [...down.values()];
    if (down.size === 1) {
      const [dx, dy] = [after[0].x - before[0].x, after[0].y - before[0].y];
      if (event.shiftKey || does.windows()) does.window(dx, dy);
      else does.move(dx, dy);
    } else if (down.size === 2) {
      const [from, to] = [middle(...before), middle(...after)];
      does.zoom(distance(...after) / Math.max(1, distance(...before)), to);
      does.move(to.x - from.x, to.y - from.y);
    }
  });
  canvas.addEventListener(
    "wheel",
    (event) => {
      const pixels = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? event.deltaY * 16 : event.deltaY;
      const pinched = event.ctrlKey; // so browsers tell of a pinch on a touchpad, in small steps
      const zoomed = does.zoom(Math.exp(-pixels / (pinched ? 100 : 500)), place(event));
      if (zoomed || pinched) event.preventDefault(); // else the page scrolls on
    },
    { passive: false },
  );
}

const place = (event) => ({ x: event.offsetX, y: event.offsetY });
const middle = (a, b) => ({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });
const distance = (a, b) => Math.hypot(a.x - b.x, a.y - b.y);
