// The film on its canvas with outline and heat map, and everything that changes how it is shown.

import { $ } from "./dom.js";
import { Film, Sight, decodePng } from "./film.js";
import { listenToHand } from "./hand.js";

const OPEN = { window: 255, level: 128, inverted: false };
const STEP = 1.25;

export class Viewer {
  #canvas = $("film");
  #context = this.#canvas.getContext("2d");
  #film = null;
  #heat = null;
  #outline = null;
  #sight = new Sight(1, 1);
  #look = { ...OPEN };
  #heatBefore = "40";
  #asked = { frame: 0, look: false };

  constructor() {
    new ResizeObserver(() => this.#ask()).observe(this.#canvas);
    $("larger").addEventListener("click", () => this.#zoom(STEP));
    $("smaller").addEventListener("click", () => this.#zoom(1 / STEP));
    $("reset").addEventListener("click", () => this.#reset());
    $("invert").addEventListener("click", () => this.#invert());
    $("outline").addEventListener("click", () => this.#toggleOutline());
    $("heat").addEventListener("input", () => this.#ask());
    for (const name of ["window", "level"]) {
      $(name).addEventListener("input", () => this.#setLook({ [name]: Number($(name).value) }));
    }
    this.#canvas.addEventListener("keydown", (event) => this.#press(event));
    listenToHand(this.#canvas, {
      windows: () => document.querySelector("input[name=drag]:checked").value === "window",
      move: (dx, dy) => this.#move(dx, dy),
      window: (dx, dy) => this.#changeWindow(dx, dy),
      zoom: (factor, at) => this.#zoom(factor, at),
    });
  }

  /** Shows the film of an answer, unless `signal` says meanwhile that another is wanted. `name` is the file's. */
  async open(answer, name, signal) {
    const [view, heat] = await Promise.all([answer.view.png, answer.heatmap?.png].map((png) => png && decodePng(png)));
    signal.throwIfAborted();
    const { width, height } = answer.image;
    this.#film = new Film(view);
    this.#heat = heat;
    this.#sight = new Sight(width, height);
    this.#outline = new Path2D(`M${answer.outline.map((point) => point.join(" ")).join("L")}Z`);
    this.#canvas.setAttribute("aria-label", `Film ${name}`);
    this.#canvas.style.setProperty("--shape", `${width} / ${height}`);
    $("heat").disabled = !heat;
    $("heat-text").textContent = heat
      ? `Heat: where what speaks for the likeliest class, “${answer.heatmap.class}”, lies; bright is more. It is coarse and marks no lesion’s edge.`
      : "This network has no heat map.";
    this.#reset();
  }

  #reset() {
    this.#sight.reset();
    this.#setLook(OPEN);
  }

  /** Whether there was any more to zoom. */
  #zoom(factor, at) {
    const before = this.#sight.zoom;
    this.#sight.zoomBy(factor, at);
    this.#ask();
    return this.#sight.zoom !== before;
  }

  #move(dx, dy) {
    this.#sight.move(dx, dy);
    this.#ask();
  }

  #changeWindow(wider, brighter) {
    this.#setLook({
      window: clamp(this.#look.window + wider, 2, 255),
      level: clamp(this.#look.level - brighter, 0, 255),
    });
  }

  #invert() {
    this.#setLook({ inverted: !this.#look.inverted });
  }

  #setLook(change) {
    this.#look = { ...this.#look, ...change };
    $("window").value = this.#look.window;
    $("level").value = this.#look.level;
    $("invert").setAttribute("aria-pressed", this.#look.inverted);
    this.#asked.look = true;
    this.#ask();
  }

  #toggleOutline() {
    $("outline").setAttribute("aria-pressed", !this.#outlined);
    this.#ask();
  }

  get #outlined() {
    return $("outline").getAttribute("aria-pressed") === "true";
  }

  #toggleHeat() {
    const heat = $("heat");
    if (heat.value !== "0") this.#heatBefore = heat.value;
    heat.value = heat.value === "0" ? this.#heatBefore : "0";
    this.#ask();
  }

  #press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    const stride = this.#canvas.clientWidth / 10;
    if (dx || dy) {
      if (event.shiftKey) this.#changeWindow(8 * dx, 8 * dy);
      else this.#move(-stride * dx, -stride * dy);
    } else {
      const does = {
        "+": () => this.#zoom(STEP),
        "=": () => this.#zoom(STEP),
        "-": () => this.#zoom(1 / STEP),
        0: () => this.#reset(),
        i: () => this.#invert(),
        o: () => this.#toggleOutline(),
        h: () => this.#toggleHeat(),
      }[event.key.toLowerCase()];
      if (!does) return;
      does();
    }
    event.preventDefault();
  }

  /** Draws with the next frame, once for all that changes until then. */
  #ask() {
    if (this.#film) this.#asked.frame ||= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#asked.frame = 0;
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (!width || !height) return;
    if (this.#asked.look) this.#film.show(this.#look);
    this.#asked.look = false;
    this.#sight.resize({ width, height });
    this.#say();

    const dense = devicePixelRatio;
    this.#canvas.width = Math.round(width * dense);
    this.#canvas.height = Math.round(height * dense);
    const { scale, corner, width: filmWidth, height: filmHeight } = this.#sight;
    const context = this.#context;
    context.setTransform(scale * dense, 0, 0, scale * dense, corner.x * dense, corner.y * dense);
    context.imageSmoothingQuality = "high";
    context.drawImage(this.#film.canvas, 0, 0, filmWidth, filmHeight);
    if (this.#heat) {
      context.globalAlpha = Number($("heat").value) / 100;
      context.drawImage(this.#heat, 0, 0, filmWidth, filmHeight);
      context.globalAlpha = 1;
    }
    if (this.#outlined) {
      // light within dark: seen on the film and on the inverted film
      context.lineJoin = "round";
      for (const [colour, thickness] of [["rgb(0 0 0 / 55%)", 3.5], ["#7fd1e8", 1.5]]) {
        context.strokeStyle = colour;
        context.lineWidth = thickness / scale;
        context.stroke(this.#outline);
      }
    }
  }

  #say() {
    this.#canvas.classList.toggle("fits", this.#sight.zoom === 1);
    $("zoom").textContent = `${Math.round(this.#sight.zoom * 100)}%`;
    $("heat-value").textContent = $("heat").value === "0" ? "off" : `${$("heat").value}%`;
    $("window-value").textContent = Math.round(this.#look.window);
    $("level-value").textContent = Math.round(this.#look.level);
  }
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
