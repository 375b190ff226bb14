// Says what went wrong in the service's own words, and what to do about it.

import { $ } from "./dom.js";
import { likeness } from "./details.js";

const AGAIN = [0, 408, 429, 500, 502, 503, 504];
const KEY = [401, 403];

export function showProblem(problem) {
  const { status, message, gate, requestId, retryAfter } = problem;
  const soon = /^\d+$/.test(retryAfter) ? ` The service asks to wait ${retryAfter} s.` : "";
  $("problem-title").textContent = problemTitle(problem);
  $("problem-detail").textContent = message;
  $("problem-gate").textContent = gate ? `Mammogram check: not passed, with a score of ${likeness(gate)}.` : "";
  $("problem-advice").textContent = advice(problem) + soon;
  $("problem-request").textContent = requestId ? `Request ${requestId}` : "";
  $("again").hidden = !AGAIN.includes(status);
  $("key-enter").hidden = !KEY.includes(status);
}

/** The problem in one sentence. */
export const told = (problem) => `${problemTitle(problem)}: ${problem.message}`;

export const problemTitle = (problem) => words(problem)[0];
export const advice = (problem) => words(problem)[1];

function words({ status, code }) {
  switch (code) {
    case "no-films":
      return ["No film found", "Choose films, or a folder with films in it: DICOM, PNG, JPEG, TIFF or PGM."];
    case "too-many-films":
      return ["Too many films", "Choose the films of one exam of one patient; send each exam separately."];
    case "all-refused":
      return ["No film could be judged", "See the reason and the advice in the place of each film."];
    case "not-a-mammogram":
      return [
        "Not recognised as a mammogram",
        "Choose the film of one breast, whole: chest wall at the edge, skin line in view, dark around it. If it is one, send it as exported by the scanner or the archive: not cropped, not inverted, no photograph of a screen.",
      ];
  }
  switch (status) {
    case 0:
      return ["No answer", "Check that the service is running and the connection is up, then try again."];
    case 401:
      return ["An API key is needed", "Enter the key that the service’s operator gave you; the film is then sent again."];
    case 403:
      return ["The key lacks a permission", "Enter another key, or ask the service’s operator."];
    case 413:
      return ["Too large", "Send a smaller file or fewer films, or ask the service’s operator to raise the limit."];
    case 415:
      return ["Unsupported kind of file", "Choose a single grey film as DICOM, PNG, JPEG, TIFF or PGM; no tomosynthesis, no PDF."];
    case 422:
      return ["The file cannot be read", "It is damaged, or its header is wrong. Export it again from its source, or choose another film."];
    case 429:
      return ["Too many requests", "Wait a moment, then try again."];
    case 503:
      return ["The service is busy or not ready", "Wait a moment, then try again."];
    default:
      return status >= 500
        ? ["The service failed", "Try again; if it fails again, give the service’s operator the request’s number below."]
        : ["The request was refused", "Choose another film, or ask the service’s operator."];
  }
}
