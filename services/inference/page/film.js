// A film's pixels under a window, and where on the canvas they lie. Neither knows the page.

const MOST_ZOOM = 20;

/** Decodes a base64 PNG. A data: address can't be fetched here: the page's policy lets it connect to its service only. */
export function decodePng(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return createImageBitmap(new Blob([bytes], { type: "image/png" }), { colorSpaceConversion: "none" });
}

export class Film {
  constructor(bitmap) {
    this.canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.context.drawImage(bitmap, 0, 0);
    this.image = this.context.getImageData(0, 0, bitmap.width, bitmap.height);
    this.grey = new Uint8Array(bitmap.width * bitmap.height);
    for (let i = 0; i < this.grey.length; i++) this.grey[i] = this.image.data[4 * i];
  }

  /** Greys from `level - window / 2` to `level + window / 2` get the whole range from black to white. */
  show({ window, level, inverted }) {
    const black = level - window / 2;
    const table = Uint32Array.from({ length: 256 }, (_, value) => {
      const shown = Math.round(Math.min(1, Math.max(0, (value - black) / window)) * 255);
      return 0xff000000 + (inverted ? 255 - shown : shown) * 0x010101;
    });
    const pixels = new Uint32Array(this.image.data.buffer);
    for (let i = 0; i < pixels.length; i++) pixels[i] = table[this.grey[i]];
    this.context.putImageData(this.image, 0, 0);
  }
}

/** What of a film is in sight: `x`, `y` is the film's point in the middle of the canvas, `zoom` 1 fits all of it. */
export class Sight {
  constructor(width, height) {
    Object.assign(this, { width, height, view: { width: 1, height: 1 } });
    this.reset();
  }

  reset() {
    Object.assign(this, { zoom: 1, x: this.width / 2, y: this.height / 2 });
  }

  /** Canvas pixels for one of the film's. */
  get scale() {
    return this.zoom * Math.min(this.view.width / this.width, this.view.height / this.height);
  }

  /** Where the film's top left corner lies on the canvas. */
  get corner() {
    return { x: this.view.width / 2 - this.x * this.scale, y: this.view.height / 2 - this.y * this.scale };
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
    this.x = held(this.x, this.width, this.view.width / this.scale);
    this.y = held(this.y, this.height, this.view.height / this.scale);
  }
}

/** A middle that leaves no gap beside the film, or the film's own where it is smaller than what is in sight. */
function held(middle, length, seen) {
  return seen >= length ? length / 2 : Math.min(length - seen / 2, Math.max(seen / 2, middle));
}
