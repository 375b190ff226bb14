// A film's grey levels, in all their bits, and how a window shows them. It knows no page.

import { capitalised } from "./words.js";

/** Decodes a base64 PNG. A data: address can't be fetched here: the page's policy lets it connect to its service only. */
export function decodePng(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return createImageBitmap(new Blob([bytes], { type: "image/png" }), { colorSpaceConversion: "none" });
}

/** `grey` are the levels, from 0 to `levels - 1`; `canvas` shows them under the last window. */
export class Film {
  /** Takes a decoded `view` of an answer: a canvas has 8 bits a channel, so deep films come packed into two of them. */
  constructor(bitmap, { bits, packing }) {
    this.bits = bits;
    this.levels = 2 ** bits;
    this.canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.context.drawImage(bitmap, 0, 0);
    this.image = this.context.getImageData(0, 0, bitmap.width, bitmap.height);
    const { data } = this.image;
    this.grey = new (bits > 8 ? Uint16Array : Uint8Array)(bitmap.width * bitmap.height);
    const packed = packing === "red-green";
    for (let i = 0; i < this.grey.length; i++) this.grey[i] = packed ? data[4 * i] * 256 + data[4 * i + 1] : data[4 * i];
  }

  /** Shows grey levels by DICOM's linear window function (PS3.3, C.11.2.1.2), `level` being the window's centre. */
  show({ window, level, inverted }) {
    const table = Uint32Array.from({ length: this.levels }, (_, value) => {
      const share = Math.min(1, Math.max(0, (value - (level - 0.5)) / (window - 1) + 0.5));
      const shown = Math.round(share * 255);
      return 0xff000000 + (inverted ? 255 - shown : shown) * 0x010101;
    });
    const pixels = new Uint32Array(this.image.data.buffer);
    for (let i = 0; i < pixels.length; i++) pixels[i] = table[this.grey[i]];
    this.context.putImageData(this.image, 0, 0);
  }
}

/** The windows that a film is offered with, the one that it opens with first. `proposed` are those of its file. */
export function windowPresets(film, proposed) {
  const ofFile = proposed.map(({ name, centre, width }, at) => ({
    name: name ? capitalised(name) : `Window ${at + 1} of the file`,
    window: Math.max(2, width),
    level: centre,
  }));
  const whole = { name: "Full range", window: film.levels, level: film.levels / 2 };
  return film.bits > 8 ? [...ofFile, fitted(film), whole] : [...ofFile, whole];
}

/** From the darkest to the brightest but for half a percent of what is not background on either side. */
function fitted({ grey, levels }) {
  const counts = new Uint32Array(levels);
  for (const value of grey) counts[value]++;
  counts[0] = 0;
  const total = counts.reduce((sum, count) => sum + count, 0);
  const levelAt = (share) => {
    let [sum, level] = [0, 0];
    while (level < levels - 1 && sum + counts[level] <= share * total) sum += counts[level++];
    return level;
  };
  const [low, high] = [levelAt(0.005), levelAt(0.995)];
  return { name: "Fitted to the film", window: Math.max(2, high - low + 1), level: (low + high + 1) / 2 };
}
