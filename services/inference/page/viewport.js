// Which part of a film its canvas shows. It knows no page.

const MOST_ZOOM = 20;

/**
 * `x`, `y` is the film's point in the middle of the canvas; `zoom` 1 fits the `stage`, which is the film's own size or
 * a larger one, so that films of one exam are shown at one scale. `wall` is the edge of the film as shown, "left" or
 * "right", that keeps to the same edge of the canvas; null keeps the film in the middle.
 */
export class Viewport {
  constructor(width, height, { stage = { width, height }, wall = null } = {}) {
    Object.assign(this, { width, height, stage, wall, view: { width: 1, height: 1 } });
    this.reset();
  }

  reset() {
    Object.assign(this, { zoom: 1, x: this.width / 2, y: this.height / 2 });
    this.#hold();
  }

  /** Canvas pixels for one of the film's. */
  get scale() {
    return this.zoom * Math.min(this.view.width / this.stage.width, this.view.height / this.stage.height);
  }

  /** Where the film's top left corner lies on the canvas. */
  get corner() {
    return { x: this.view.width / 2 - this.x * this.scale, y: this.view.height / 2 - this.y * this.scale };
  }

  /** What linked films share: the zoom, the depth from the chest wall and the height, in parts of the stage. */
  get place() {
    const depth = this.wall === "right" ? this.width - this.x : this.x;
    return { zoom: this.zoom, depth: depth / this.stage.width, height: (this.y - this.height / 2) / this.stage.height };
  }

  set place({ zoom, depth, height }) {
    const fromWall = depth * this.stage.width;
    this.zoom = zoom;
    this.x = this.wall === "right" ? this.width - fromWall : fromWall;
    this.y = this.height / 2 + height * this.stage.height;
    this.#hold();
  }

  resize(view) {
    this.view = view;
    this.#hold();
  }

  /** Moves the film by canvas pixels. */
  move(dx, dy) {
    this.x -= dx / this.scale;
    this.y -= dy / this.scale;
    this.#hold();
  }

  /** Zooms by `factor` so that the film's point under the canvas point `at` stays there. */
  zoomBy(factor, at = { x: this.view.width / 2, y: this.view.height / 2 }) {
    const fromMiddle = { x: at.x - this.view.width / 2, y: at.y - this.view.height / 2 };
    const before = this.scale;
    this.zoom = Math.min(MOST_ZOOM, Math.max(1, this.zoom * factor));
    this.x += fromMiddle.x / before - fromMiddle.x / this.scale;
    this.y += fromMiddle.y / before - fromMiddle.y / this.scale;
    this.#hold();
  }

  #hold() {
    this.x = held(this.x, this.width, this.view.width / this.scale, this.wall);
    this.y = held(this.y, this.height, this.view.height / this.scale, null);
  }
}

/** A middle that leaves no gap at the film's edge; a film smaller than `seen` keeps to `edge`, or to the middle. */
function held(middle, length, seen, edge) {
  if (seen < length) return Math.min(length - seen / 2, Math.max(seen / 2, middle));
  return { left: seen / 2, right: length - seen / 2 }[edge] ?? length / 2;
}

/**
 * The stages of films `{ width, height, spacing_mm }`: one size in millimetres for all of them, in the pixels of each,
 * where all tell their spacing and are of comparable size; else of each its own.
 */
export function stages(films) {
  const sizes = films.map(({ width, height, spacing_mm: spacing }) => spacing && { width: width * spacing[1], height: height * spacing[0] });
  const own = films.map(({ width, height }) => ({ width, height }));
  if (!sizes.every(Boolean)) return own;
  const largest = (edge) => Math.max(...sizes.map((size) => size[edge]));
  const smallest = Math.min(...sizes.map((size) => size.height));
  if (largest("height") > 2 * smallest) return own;
  return films.map(({ spacing_mm: [row, column] }) => ({ width: largest("width") / column, height: largest("height") / row }));
}
