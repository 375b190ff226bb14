// Says in words what the service read from the file, and which model answered in which time.

import { $, number, rows } from "./dom.js";

const SIDES = { L: "left", R: "right" };
const VIEWS = {
  CC: "craniocaudal",
  MLO: "mediolateral oblique",
  ML: "mediolateral",
  LM: "lateromedial",
  LMO: "lateromedial oblique",
  FB: "from below",
  SIO: "superolateral to inferomedial oblique",
  ISO: "inferomedial to superolateral oblique",
  XCC: "exaggerated craniocaudal",
  XCCL: "exaggerated craniocaudal, lateral",
  XCCM: "exaggerated craniocaudal, medial",
};
const FILES = {
  "model.onnx": "32-bit numbers on the CPU",
  "model.int8.onnx": "8-bit integers on the CPU",
  "model.safetensors": "PyTorch",
};
const PHASES = {
  queue: "Waiting for a turn",
  decode: "Reading the file",
  segment: "Finding the breast",
  network: "Network",
  explain: "Heat map",
  total: "In all",
};

/** How much the image looks like a mammogram. */
export const likeness = ({ score }) => `${number(score)}, from 0 (certainly no mammogram) to 1 (certainly one)`;

export function showFilm({ image, gate }) {
  const { format, bits, width, height, laterality, view, reduction } = image;
  const size = `${width} × ${height} pixels`;
  const side = laterality ? `${SIDES[laterality]} breast` : null;
  const taken = [side, view].filter(Boolean).join(", ") || null;
  $("film-facts").textContent = [format, taken, size, `${bits} bit`].filter(Boolean).join(" · ");
  $("film-list").replaceChildren(
    ...rows([
      ["Format", `${format}, ${bits} bit`],
      ["Size", size + millimetres(image)],
      ["Read at", reduction > 1 ? `1/${reduction} of this size, which is all the network needs; outline and heat map fit the whole film` : null],
      ["Pixel spacing", spacing(image)],
      ["Side", laterality ? SIDES[laterality] : null],
      ["View", view ? `${view}${view in VIEWS ? `, ${VIEWS[view]}` : ""}` : null],
      ["Mammogram check", `Passed: ${gate.reason}. Score ${likeness(gate)}.`],
    ]),
  );
}

function millimetres({ width, height, spacing_mm: found }) {
  return found ? `, ${Math.round(width * found[1])} × ${Math.round(height * found[0])}\u00a0mm` : "";
}

function spacing({ spacing_mm: found }) {
  if (!found) return null;
  const [row, column] = found.map((length) => `${Number(length.toFixed(4))} mm`);
  return row === column ? row : `${row} from row to row, ${column} from column to column`;
}

export function showModel({ model, seconds, request_id: requestId }) {
  $("network").textContent = model.network;
  $("version").textContent = model.version;
  $("weights").textContent = model.file in FILES ? `${model.file}: ${FILES[model.file]}` : model.file;
  $("dataset").textContent = model.synthetic ? `${model.dataset} (generated films)` : model.dataset;
  $("sha").textContent = `${model.sha256.slice(0, 12)}…`;
  $("sha").dataset.whole = model.sha256;
  const phases = Object.entries(PHASES).filter(([phase]) => phase in seconds);
  $("timings").replaceChildren(...rows(phases.map(([phase, title]) => [title, `${(1000 * seconds[phase]).toFixed(1)} ms`])));
  $("request").textContent = requestId;
  $("card-body").replaceChildren();
}
