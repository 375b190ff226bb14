// Says an answer, a problem and a model card in words.

const $ = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)}%`;
const rounded = (share) => (share === null ? "not known" : `${Math.round(100 * share)}%`);
const spread = ({ low, high }) => (low === null || high === null ? "not known" : `${rounded(low)} to ${rounded(high)}`);
const number = (value) => value.toFixed(2);

const VERDICTS = {
  abnormal: "Abnormal",
  normal: "Normal",
  uncertain: "Uncertain: needs a reader",
};
const CLASSES = { normal: "Normal", benign: "Benign finding", malignant: "Malignant finding" };
const PHASES = {
  queue: "Waiting for a turn",
  decode: "Reading the file",
  segment: "Finding the breast",
  network: "Network",
  explain: "Heat map",
  total: "In all",
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

export function showFilm({ image: { width, height, bits }, gate }) {
  const check = `${gate.passed ? "passed" : "not passed"}, ${gate.reason}`;
  $("film-facts").textContent = `${width} × ${height} pixels, ${bits} bit. Input check: ${check}.`;
}

export function showModel({ model, seconds, request_id: requestId }) {
  $("network").textContent = model.network;
  $("version").textContent = model.version;
  $("dataset").textContent = model.synthetic ? `${model.dataset} (generated films)` : model.dataset;
  $("sha").textContent = `${model.sha256.slice(0, 12)}…`;
  $("sha").dataset.whole = model.sha256;
  const phases = Object.entries(PHASES).filter(([phase]) => phase in seconds);
  $("timings").replaceChildren(
    ...phases.map(([phase, title]) =>
      element("div", {}, element("dt", {}, title), element("dd", {}, `${(1000 * seconds[phase]).toFixed(1)} ms`)),
    ),
  );
  $("request").textContent = requestId;
  $("card-body").replaceChildren();
}

export function showCard(card) {
  const { metrics } = card;
  const figures = [["Accuracy", metrics.accuracy], ["Macro AUC", metrics.macro_auc], ["Macro F1", metrics.macro_f1]];
  const rows = figures.map(([name, figure]) =>
    element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, rounded(figure.value)), element("td", {}, spread(figure))),
  );
  const heads = ["Measure", "Value", "95% interval"].map((name) => element("th", { scope: "col" }, name));
  const caption = `On ${metrics.n_films} held-out films of ${metrics.n_patients} patients, protocol “${card.protocol}”`;
  $("card-body").replaceChildren(
    element("h4", {}, "Intended use"),
    element("p", {}, card.intended_use),
    element("h4", {}, "Limits"),
    element("ul", {}, ...card.limits.map((limit) => element("li", {}, limit))),
    element("h4", {}, "Figures"),
    element("table", {}, element("caption", {}, caption), element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows)),
    element("h4", {}, "Data"),
    element("p", {}, `Data set “${card.dataset}”. ${card.data_terms}`),
  );
}

export function showCardProblem(problem) {
  $("card-body").replaceChildren(element("p", {}, `The card could not be fetched: ${problem.message}`));
}

/** Places a mark on a scale from 0 to 1. */
function put(mark, shares) {
  for (const [side, share] of Object.entries(shares)) mark.style.setProperty(side, `${100 * share}%`);
}

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}
