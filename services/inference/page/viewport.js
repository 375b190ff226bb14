// Which part of a film its canvas shows. It knows no page.

const MOST_ZOOM = 20;

/**
 * `x`, `y` is the film's point in the middle of the canvas; `zoom` 1 fits the `stage`, which is the film's own size or
 * a larger one, so that films of one exam are shown at one scale. `wall` is the edge of the film as shown, "left" or
 * "right", where the chest wall is: it keeps to the same edge of the canvas, with the `gap` between the film's edge and
 * the breast out of sight. Without a wall the film keeps to the middle.
 */
export class Viewport {
  constructor(width, height, { stage = { width, height }, wall = null, gap = 0 } = {}) {
    Object.assign(this, { width, height, stage, wall, gap, view: { width: 1, height: 1 } });
    this.reset();
  }

  reset() {
    this.zoom = 1;
    this.place = { zoom: 1, depth: this.view.width / this.scale / 2 / this.stage.width, height: 0 };
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
    const depth = (this.wall === "right" ? this.width - this.x : this.x) - this.gap;
    return { zoom: this.zoom, depth: depth / this.stage.width, height: (this.y - this.height / 2) / this.stage.height };
  }

  set place({ zoom, depth, height }) {
    const fromEdge = depth * this.stage.width + this.gap;
    this.zoom = zoom;
    this.x = this.wall === "right" ? this.width - fromEdge : fromEdge;
    this.y = this.height / 2 + height * this.stage.height;
    this.#hold();
  }

  resize(view) {
    const same = view.width === this.view.width && view.height === this.view.height;
    this.view = view;
    if (!same && this.zoom === 1) this.reset();
    else this.#hold();
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
    const seen = { width: this.view.width / this.scale, height: this.view.height / this.scale };
    if (this.wall === "left") this.x = heldToWall(this.x, this.width, seen.width, this.gap);
    else if (this.wall === "right") this.x = this.width - heldToWall(this.width - this.x, this.width, seen.width, this.gap);
    else this.x = held(this.x, this.width, seen.width);
    this.y = held(this.y, this.height, seen.height);
  }
}

/** A middle that leaves no gap at the film's edges, or the film's own where it is smaller than what is `seen`. */
function held(middle, length, seen) {
  return seen >= length ? length / 2 : Math.min(length - seen / 2, Math.max(seen / 2, middle));
}

/** The same, counted from the edge with the chest wall, from which nothing parts the film. */
function heldToWall(middle, length, seen, gap) {
  return Math.max(seen / 2, Math.min(Math.max(length - seen / 2, gap + seen / 2), middle));
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
