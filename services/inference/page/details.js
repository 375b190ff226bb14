// Says in words what is known of a film, and which model answered in which time.

import { $, number, percent, rows } from "./dom.js";
import { filmTitle } from "./film_notes.js";
import { CLASSES, SIDES, VERDICTS, VIEWS, asSentence } from "./words.js";

const FILES = {
  "model.onnx": "32-bit numbers on the CPU",
  "model.int8.onnx": "8-bit integers on the CPU",
  "model.safetensors": "PyTorch",
};

const ENGINES = {
  onnx: "ONNX Runtime, single precision",
  openvino: "OpenVINO, single precision",
  "openvino-bf16": "OpenVINO, bfloat16",
  "onnx-int8": "ONNX Runtime, 8-bit integers",
  "openvino-int8": "OpenVINO, 8-bit integers",
  torch: "torch",
};
const SOURCES = {
  stated: "as the sender states",
  file: "as the file says",
  label: "by the label on the film",
  shape: "inferred from the shape of the breast",
};
const APPLIES = { true: "yes", false: "no", null: "not known" };
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

/** One line on the file of a film that was sent alone. */
export function fileFacts({ image: { format, bits, width, height, laterality, view } }) {
  const taken = [laterality && `${SIDES[laterality]} breast`, view].filter(Boolean).join(", ");
  return [format, taken, `${width} × ${height} pixels`, `${bits} bit`].filter(Boolean).join(" · ");
}

/** All that is known of a film; `exam` is the answer that it is part of, or null. */
export function showFilm(film, exam) {
  const { finding } = film;
  const { image, gate, about, applicability } = finding;
  const { format, bits, width, height, reduction } = image;
  $("film-title").textContent = exam ? `Film ${filmTitle(film)}` : "Film";
  $("film-list").replaceChildren(
    ...rows([
      ...(exam ? ofExam(film, exam) : []),
      ["Format", `${format}, ${bits} bit`],
      ["Size", `${width} × ${height} pixels${millimetres(image)}`],
      ["Read at", reduction > 1 ? `1/${reduction} of this size, which is all the network needs; outline and heat map fit the whole film` : null],
      ["Pixel spacing", spacing(image)],
      ["Side", `${SIDES[about.laterality.name]}, ${SOURCES[about.laterality.source]}`],
      ["View", view(about.view)],
      ["Acquired as", about.acquisition],
      ["Made by", about.vendor],
      ["Implant", about.implant === null ? null : about.implant ? "present" : "none"],
      ["Model made for it", APPLIES[applicability.applies]],
      ["Because", applicability.reasons.map(asSentence).join(" ") || null],
      ["Mammogram check", `Passed: ${gate.reason}. Score ${likeness(gate)}.`],
    ]),
  );
}

function ofExam({ name, finding, side_by_side: compared }, { films }) {
  const shares = Object.entries(CLASSES).map(([label, title]) => `${title} ${percent(finding.probabilities[label])}`);
  const others = compared?.beside.map((position) => filmTitle(films[position])).join(", ");
  return [
    ["File", name],
    ["Answer", `${VERDICTS[finding.decision.answer]}. Score ${number(finding.decision.score)}, threshold ${number(finding.decision.operating_point.threshold)}.`],
    ["Probabilities", shares.join(", ")],
    ["Compared", compared ? `Next to ${others}: ${VERDICTS[compared.decision.answer]}. Score ${number(compared.decision.score)}.` : null],
  ];
}

function view({ name, source, score = null, modifiers }) {
  if (!name) return "not known";
  const sure = score === null ? "" : `, score ${number(score)}`;
  const marks = modifiers?.length ? `; ${modifiers.join(", ")}` : "";
  return `${name}${name in VIEWS ? `, ${VIEWS[name]}` : ""}, ${SOURCES[source]}${sure}${marks}`;
}

function millimetres({ width, height, spacing_mm: found }) {
  return found ? `, ${Math.round(width * found[1])} × ${Math.round(height * found[0])}\u00a0mm` : "";
}

function spacing({ spacing_mm: found }) {
  if (!found) return null;
  const [row, column] = found.map((length) => `${Number(length.toFixed(4))} mm`);
  return row === column ? row : `${row} from row to row, ${column} from column to column`;
}

/** Which model answered. */
export function showModel({ model, request_id: requestId }) {
  $("network").textContent = model.network;
  $("version").textContent = model.version;
  $("weights").textContent = model.file in FILES ? `${model.file}: ${FILES[model.file]}` : model.file;
  $("engine").textContent = ENGINES[model.engine] ?? model.engine;
  $("dataset").textContent = model.synthetic ? `${model.dataset} (generated films)` : model.dataset;
  $("sha").textContent = `${model.sha256.slice(0, 12)}…`;
  $("sha").dataset.whole = model.sha256;
  $("request").textContent = requestId;
  $("card-body").replaceChildren();
}

/** What the work on a film took. */
export function showTimings({ seconds }) {
  const phases = Object.entries(PHASES).filter(([phase]) => phase in seconds);
  $("timings").replaceChildren(...rows(phases.map(([phase, title]) => [title, `${(1000 * seconds[phase]).toFixed(1)} ms`])));
}
