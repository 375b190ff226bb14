// Says in words what the network makes of a film or of an exam: the decision at an operating point, the probabilities.

import { $, element, number, percent, rounded, spread } from "./dom.js";
import { CLASSES, VERDICTS } from "./words.js";

const POINTS = {
  screening: "Screening misses few abnormal films at the cost of more false alarms.",
  balanced: "Balanced gives missed abnormal films and false alarms the same weight.",
};

/** The answer in one sentence. */
export function sentence({ decision, probabilities, ...judgement }) {
  const point = decision.operating_point.name;
  return `${VERDICTS[decision.answer]}, at the operating point ${point}. Most likely class: ${CLASSES[judgement.class]}, ${percent(probabilities[judgement.class])}.`;
}

/**
 * Shows a judgement of a `subject`, "film" or "exam"; `by` says what decided it. `figuresOf` is what the figures of the
 * operating point were counted over.
 */
export function showDecision({ decision, probabilities, ...judgement }, { subject = "film", by = "", figuresOf = "film" } = {}) {
  const point = decision.operating_point;
  $("verdict").dataset.answer = decision.answer;
  $("answer").replaceChildren(VERDICTS[decision.answer], element("small", {}, `at the operating point “${point.name}”${by}`));
  $("answer-means").textContent = meaning(decision, subject);
  $("point-means").textContent = POINTS[point.name] ?? "";

  const [low, high] = decision.uncertain_between;
  put($("scale").querySelector(".band"), { left: low, width: high - low });
  put($("scale").querySelector(".threshold"), { left: point.threshold });
  put($("scale").querySelector(".score"), { left: decision.score });
  $("score").textContent = number(decision.score);
  $("threshold").textContent = number(point.threshold);
  $("band").textContent = `${number(low)} to ${number(high)}`;
  showFigures(point, subject, figuresOf);
  showProbabilities(probabilities, judgement.class);
}

function showFigures(point, subject, figuresOf) {
  const missing = subject === figuresOf ? "" : `; the model’s card has none by ${subject}`;
  $("figures-caption").textContent = `This operating point on held-out ${figuresOf}s${missing}`;
  for (const [name, truth] of [["sensitivity", "abnormal"], ["specificity", "normal"]]) {
    const [value, interval] = $(name).querySelectorAll("td");
    $(name).querySelector("th .soft").textContent = `${truth} ${figuresOf}s called ${truth}`;
    value.textContent = rounded(point[name].value);
    interval.textContent = spread(point[name]);
  }
}

function showProbabilities(probabilities, likeliest) {
  $("bars").replaceChildren(
    ...Object.entries(CLASSES).map(([name, title]) => {
      const bar = element("i", {});
      put(bar, { width: probabilities[name] });
      const value = element("dd", {}, element("span", {}, percent(probabilities[name])), element("span", { className: "bar" }, bar));
      return element("div", { className: name === likeliest ? "most" : "" }, element("dt", {}, title), value);
    }),
  );
  const share = Math.round(100 * probabilities[likeliest]);
  $("calibration").textContent =
    `A calibrated probability means: of a hundred films like those of the data set with ${share}% for a class, about ${share} belong to that class. The model card has the calibration error. The data set contains far more cancers than screening does; there, a finding is much less likely than the number says.`;
}

function meaning({ answer, score, operating_point: point, uncertain_between: [low, high] }, subject) {
  const threshold = `the threshold of ${number(point.threshold)}`;
  const one = { film: "a film", exam: "an exam" }[subject];
  const place = {
    abnormal: `at or above ${threshold}`,
    normal: `below ${threshold}`,
    uncertain: `too near ${threshold} to decide. Between ${number(low)} and ${number(high)} the decision for ${one} is unreliable`,
  }[answer];
  return `The score, the probability of any finding, benign or malignant, is ${number(score)}: ${place}.`;
}

/** Places a mark on a scale from 0 to 1. */
function put(mark, shares) {
  for (const [side, share] of Object.entries(shares)) mark.style.setProperty(side, `${100 * share}%`);
}
