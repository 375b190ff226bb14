// Says in words what the network makes of the film: the decision at an operating point, and the probabilities.

import { $, element, number, percent, rounded, spread } from "./dom.js";

const VERDICTS = {
  abnormal: "Abnormal",
  normal: "Normal",
  uncertain: "Uncertain: needs a reader",
};
const CLASSES = { normal: "Normal", benign: "Benign finding", malignant: "Malignant finding" };
const POINTS = {
  screening: "Screening lets few abnormal films pass, and calls more normal ones abnormal for it.",
  balanced: "Balanced weighs both errors alike: abnormal films that pass, and normal ones called abnormal.",
};

/** The answer in one sentence. */
export function sentence({ decision, probabilities, ...answer }) {
  const point = decision.operating_point.name;
  return `${VERDICTS[decision.answer]}, at the operating point ${point}. Most likely class: ${CLASSES[answer.class]}, ${percent(probabilities[answer.class])}.`;
}

export function showDecision({ decision, probabilities, model, ...answer }) {
  const point = decision.operating_point;
  $("synthetic").hidden = !model.synthetic;
  $("verdict").dataset.answer = decision.answer;
  $("answer").replaceChildren(VERDICTS[decision.answer], element("small", {}, `at the operating point “${point.name}”`));
  $("answer-means").textContent = meaning(decision);
  $("point-means").textContent = POINTS[point.name] ?? "";

  const [low, high] = decision.uncertain_between;
  put($("scale").querySelector(".band"), { left: low, width: high - low });
  put($("scale").querySelector(".threshold"), { left: point.threshold });
  put($("scale").querySelector(".score"), { left: decision.score });
  $("score").textContent = number(decision.score);
  $("threshold").textContent = number(point.threshold);
  $("band").textContent = `${number(low)} to ${number(high)}`;
  for (const name of ["sensitivity", "specificity"]) {
    const [value, interval] = $(name).querySelectorAll("td");
    value.textContent = rounded(point[name].value);
    interval.textContent = spread(point[name]);
  }

  $("bars").replaceChildren(
    ...Object.entries(CLASSES).map(([name, title]) => {
      const bar = element("i", {});
      put(bar, { width: probabilities[name] });
      const value = element("dd", {}, element("span", {}, percent(probabilities[name])), element("span", { className: "bar" }, bar));
      return element("div", { className: name === answer.class ? "most" : "" }, element("dt", {}, title), value);
    }),
  );
  const share = Math.round(100 * probabilities[answer.class]);
  $("calibration").textContent =
    `A calibrated probability means: of a hundred films like those of the data set that get ${share}% for a class, about ${share} are of that class. How far these are calibrated stands in the model card. The data set holds far more cancers than screening does; there, a finding is much less likely than the number says.`;
}

function meaning({ answer, score, operating_point: point, uncertain_between: [low, high] }) {
  const threshold = `the threshold of ${number(point.threshold)}`;
  const place = {
    abnormal: `at or above ${threshold}`,
    normal: `below ${threshold}`,
    uncertain: `too near ${threshold} to call. Between ${number(low)} and ${number(high)} a film could as well have been called otherwise`,
  }[answer];
  return `The score, the probability of any finding, benign or malignant, is ${number(score)}: ${place}.`;
}

/** Places a mark on a scale from 0 to 1. */
function put(mark, shares) {
  for (const [side, share] of Object.entries(shares)) mark.style.setProperty(side, `${100 * share}%`);
}
