// One film on its canvas with outline and heat map: what is shown of it, and how.

import { Film, decodePng, windowPresets } from "./film.js";
import { Viewport } from "./viewport.js";

const FIRST_HEAT = 40;

export class FilmPane {
  #outline;
  #heatmap;
  #frame = 0;
  #windowed = false;

  /** A pane for the film of a finding; `hung` says how: `{ canvas, mirrored, wall, gap, stage }`. */
  static async read(finding, hung) {
    const [view, heatmap] = await Promise.all([finding.view.png, finding.heatmap?.png].map((png) => png && decodePng(png)));
    return new FilmPane(new Film(view, finding.view), heatmap, finding, hung);
  }

  constructor(film, heatmap, finding, { canvas, mirrored = false, wall = null, gap = 0, stage }) {
    const { width, height } = finding.image;
    Object.assign(this, { film, finding, canvas, mirrored, heat: FIRST_HEAT, heatBefore: FIRST_HEAT, outlined: true });
    this.presets = windowPresets(film, finding.about.windows);
    this.viewport = new Viewport(width, height, { stage, wall, gap });
    this.#heatmap = heatmap;
    this.#outline = new Path2D(`M${finding.outline.map((point) => point.join(" ")).join("L")}Z`);
    this.reset();
  }

  get hasHeat() {
    return Boolean(this.#heatmap);
  }

  reset() {
    this.viewport.reset();
    this.choosePreset(0);
    this.setLook({ inverted: false });
  }

  /** The preset of that number, if the film has as many. */
  choosePreset(number) {
    if (number >= this.presets.length) return;
    const { window, level } = this.presets[number];
    this.setLook({ window, level });
  }

  /** The number of the preset that is in use, or -1. */
  get preset() {
    return this.presets.findIndex(({ window, level }) => window === this.look.window && level === this.look.level);
  }

  /** Widens the window and raises its level, in parts of the film's whole range. */
  changeWindow(wider, brighter) {
    const { levels } = this.film;
    const { window, level } = this.look;
    this.setLook({
      window: wider ? clamp(window + wider * levels, 2, levels) : window,
      level: brighter ? clamp(level - brighter * levels, 0, levels - 1) : level,
    });
  }

  setLook(change) {
    this.look = { ...this.look, ...change };
    this.#windowed = false;
    this.ask();
  }

  setHeat(heat) {
    if (this.heat) this.heatBefore = this.heat;
    this.heat = heat;
    this.ask();
  }

  setOutlined(outlined) {
    this.outlined = outlined;
    this.ask();
  }

  /** Draws with the next frame, once for all that changes until then. */
  ask() {
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#frame = 0;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    if (!this.#windowed) this.film.show(this.look);
    this.#windowed = true;
    this.viewport.resize({ width, height });
    this.canvas.classList.toggle("fits", this.viewport.zoom === 1);

    const dense = devicePixelRatio;
    this.canvas.width = Math.round(width * dense);
    this.canvas.height = Math.round(height * dense);
    const { scale, corner, width: filmWidth, height: filmHeight } = this.viewport;
    const context = this.canvas.getContext("2d");
    context.setTransform(scale * dense, 0, 0, scale * dense, corner.x * dense, corner.y * dense);
    if (this.mirrored) context.transform(-1, 0, 0, 1, filmWidth, 0);
    context.imageSmoothingQuality = "high";
    context.drawImage(this.film.canvas, 0, 0, filmWidth, filmHeight);
    if (this.#heatmap) {
      context.globalAlpha = this.heat / 100;
      context.drawImage(this.#heatmap, 0, 0, filmWidth, filmHeight);
      context.globalAlpha = 1;
    }
    if (this.outlined) this.#strokeOutline(context, scale);
  }

  #strokeOutline(context, scale) {
    // light within dark: seen on the film and on the inverted film
    context.lineJoin = "round";
    for (const [colour, thickness] of [["rgb(0 0 0 / 55%)", 3.5], ["#7fd1e8", 1.5]]) {
      context.strokeStyle = colour;
      context.lineWidth = thickness / scale;
      context.stroke(this.#outline);
    }
  }
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
