// The films of an answer on the page, and the tools for them: what is done to one film is done to all that are linked.

import { $, element } from "./dom.js";
import { listenToGestures } from "./gestures.js";
import { listenToKeys } from "./keyboard.js";
import { hangFilms, showFilmDecision } from "./light_box.js";
import { CLASSES } from "./words.js";

const STEP = 1.25;
const WINDOW_STEP = 1 / 32;

export class Viewer {
  #rows = [];
  #active = null;
  #onSelect;

  /** `onSelect(position)` is called with the position of each film that is selected. */
  constructor(onSelect) {
    this.#onSelect = onSelect;
    const resized = () => this.#panes.forEach((pane) => pane.ask());
    new ResizeObserver(resized).observe($("films"));
    $("larger").addEventListener("click", () => this.#zoom(STEP));
    $("smaller").addEventListener("click", () => this.#zoom(1 / STEP));
    $("reset").addEventListener("click", () => this.#forLinked((pane) => pane.reset()));
    $("invert").addEventListener("click", () => this.#invert());
    $("outline").addEventListener("click", () => this.#toggleOutline());
    $("link").addEventListener("click", () => this.#toggleLink());
    $("enlarge").addEventListener("click", () => this.#enlarge(!this.#enlarged));
    $("heat").addEventListener("input", () => this.#forLinked((pane) => pane.hasHeat && pane.setHeat(Number($("heat").value))));
    $("preset").addEventListener("change", () => this.#choosePreset(Number($("preset").value)));
    $("window").addEventListener("input", () => this.#slide("window"));
    $("level").addEventListener("input", () => this.#slide("level"));
  }

  /** Hangs the films of an answer, unless `signal` says meanwhile that others are wanted. The film at the position
   * `selected` is selected, or the first. */
  async open(films, signal, selected = null) {
    const { figures, rows } = await hangFilms(films);
    signal.throwIfAborted();
    this.#rows = rows;
    const box = $("films");
    box.replaceChildren(...figures);
    box.className = films.length === 1 ? "alone" : "hang";
    box.style.setProperty("--rows", Math.min(2, rows.length));
    const { heat, heatBefore, outlined } = this.#active ?? this.#panes[0] ?? {};
    for (const pane of this.#panes) {
      Object.assign(pane, { heat, heatBefore, outlined }); // as it was chosen for the films before
      this.#listen(pane);
    }
    this.#active = null;
    this.showDecisions(films);
    $("link").hidden = $("enlarge").hidden = this.#panes.length < 2;
    this.#setPressed("link", true);
    this.#enlarge(false);
    const first = this.#panes.find((pane) => pane.position === selected) ?? this.#panes[0];
    if (first) this.select(first);
  }

  /** Writes the decisions of films into their captions. */
  showDecisions(films) {
    for (const pane of this.#panes) showFilmDecision(pane, films[pane.position].finding);
    if (this.#active) this.#onSelect(this.#active.position);
  }

  selectPosition(position) {
    this.select(this.#panes.find((pane) => pane.position === position));
  }

  /** The film of `pane` is the one whose values the tools show; it alone is changed where films are not linked. */
  select(pane) {
    if (this.#active === pane) return;
    this.#active = pane;
    for (const each of this.#panes) each.figure.classList.toggle("selected", each === pane);
    const { finding, presets } = pane;
    $("preset").replaceChildren(...presets.map(({ name }, value) => element("option", { value }, name)), element("option", { value: -1 }, "Your own"));
    $("heat").disabled = !pane.hasHeat;
    $("heat-text").textContent = pane.hasHeat
      ? `Heat: where the evidence for “${CLASSES[finding.heatmap.class].toLowerCase()}” lies, which explains the decision; bright is more. It is coarse and marks no lesion’s edge.`
      : "This network has no heat map.";
    this.#showTools();
    this.#onSelect(pane.position);
  }

  get #panes() {
    return this.#rows.flat().filter(Boolean);
  }

  get #linked() {
    return this.#pressed("link") ? this.#panes : [this.#active];
  }

  #forLinked(change) {
    if (!this.#active) return;
    this.#linked.forEach(change);
    this.#showTools();
  }

  #listen(pane) {
    const { canvas } = pane;
    canvas.addEventListener("focus", () => this.select(pane));
    canvas.addEventListener("dblclick", () => this.#panes.length > 1 && this.#enlarge(!this.#enlarged));
    listenToGestures(canvas, {
      windows: () => document.querySelector("input[name=drag]:checked").value === "window",
      begin: () => this.select(pane),
      move: (dx, dy) => this.#move(dx, dy),
      window: (dx, dy) => this.#changeWindow(dx / 512, dy / 512),
      zoom: (factor, at) => {
        this.select(pane);
        return this.#zoom(factor, at);
      },
    });
    listenToKeys(canvas, {
      arrow: (dx, dy) => this.#arrow(dx, dy),
      window: (dx, dy) => this.#changeWindow(WINDOW_STEP * dx, WINDOW_STEP * dy),
      zoomIn: () => this.#zoom(STEP),
      zoomOut: () => this.#zoom(1 / STEP),
      reset: () => $("reset").click(),
      invert: () => this.#invert(),
      outline: () => this.#toggleOutline(),
      heat: () => this.#toggleHeat(),
      preset: () => this.#choosePreset((this.#active.preset + 1) % this.#active.presets.length),
      link: () => this.#toggleLink(),
      enlarge: () => this.#panes.length > 1 && this.#enlarge(!this.#enlarged),
      leave: () => this.#enlarge(false),
    });
  }

  /** Whether there was any more to zoom. */
  #zoom(factor, at) {
    const before = this.#active.viewport.zoom;
    this.#active.viewport.zoomBy(factor, at);
    this.#follow();
    return this.#active.viewport.zoom !== before;
  }

  #move(dx, dy) {
    this.#active.viewport.move(dx, dy);
    this.#follow();
  }

  /** Linked films show the place that the active one shows, as far from their chest walls. */
  #follow() {
    const { place } = this.#active.viewport;
    for (const pane of this.#linked) {
      if (pane !== this.#active) pane.viewport.place = place;
      pane.ask();
    }
    this.#showTools();
  }

  /** Moves a zoomed film; goes from a film that fits, which can't be moved, to the one beside it. */
  #arrow(dx, dy) {
    const { canvas, viewport } = this.#active;
    if (viewport.zoom > 1) {
      const stride = canvas.clientWidth / 10;
      this.#move(-stride * dx, -stride * dy);
      return;
    }
    const row = this.#rows.findIndex((panes) => panes.includes(this.#active));
    const column = this.#rows[row].indexOf(this.#active);
    this.#focus(this.#rows[row + dy]?.[column + dx]);
  }

  #focus(pane) {
    if (!pane) return;
    this.select(pane); // before, since a canvas that is not shown can't have the focus
    pane.canvas.focus();
  }

  #changeWindow(wider, brighter) {
    this.#forLinked((pane) => pane.changeWindow(wider, brighter));
  }

  #slide(name) {
    const active = this.#active;
    const change = (Number($(name).value) - active.look[name]) / active.film.levels;
    this.#changeWindow(name === "window" ? change : 0, name === "level" ? -change : 0);
  }

  #choosePreset(number) {
    if (number >= 0) this.#forLinked((pane) => pane.choosePreset(number));
  }

  #invert() {
    const inverted = !this.#active.look.inverted;
    this.#forLinked((pane) => pane.setLook({ inverted }));
  }

  #toggleOutline() {
    const outlined = !this.#active.outlined;
    this.#forLinked((pane) => pane.setOutlined(outlined));
  }

  #toggleHeat() {
    const heat = this.#active.heat ? 0 : this.#active.heatBefore;
    this.#forLinked((pane) => pane.hasHeat && pane.setHeat(heat));
  }

  #toggleLink() {
    this.#setPressed("link", !this.#pressed("link"));
    if (this.#pressed("link")) this.#follow();
  }

  get #enlarged() {
    return this.#pressed("enlarge");
  }

  /** Shows the selected film alone, as large as the place of all; the arrow keys go on to the others. */
  #enlarge(enlarged) {
    this.#setPressed("enlarge", enlarged);
    $("films").classList.toggle("enlarged", enlarged);
  }

  #pressed(name) {
    return $(name).getAttribute("aria-pressed") === "true";
  }

  #setPressed(name, pressed) {
    $(name).setAttribute("aria-pressed", pressed);
  }

  #showTools() {
    const { film, look, heat, hasHeat, outlined, viewport, preset } = this.#active;
    $("window").max = film.levels;
    $("level").max = film.levels - 1;
    $("window").value = look.window;
    $("level").value = look.level;
    $("heat").value = hasHeat ? heat : 0;
    $("preset").value = preset;
    this.#setPressed("invert", look.inverted);
    this.#setPressed("outline", outlined);
    $("zoom").textContent = `${Math.round(viewport.zoom * 100)}%`;
    $("heat-value").textContent = hasHeat && heat ? `${heat}%` : "off";
    $("window-value").textContent = Math.round(look.window);
    $("level-value").textContent = Math.round(look.level);
  }
}
