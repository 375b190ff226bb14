// Says a model's card in words: use, limits, figures, operating points, data.

import { $, element, number, rounded, spread } from "./dom.js";

export function showCard(card) {
  const { metrics } = card;
  const figures = [["Accuracy", metrics.accuracy], ["Macro AUC", metrics.macro_auc], ["Macro F1", metrics.macro_f1]];
  const points = card.operating_points.flatMap(({ name, threshold, sensitivity, specificity }) => [
    [`${name}, sensitivity`, sensitivity],
    [`${name}, specificity, threshold ${number(threshold)}`, specificity],
  ]);
  $("card-body").replaceChildren(
    element("h4", {}, "Intended use"),
    element("p", {}, card.intended_use),
    element("h4", {}, "Limits"),
    element("ul", {}, ...card.limits.map((limit) => element("li", {}, limit))),
    element("h4", {}, "Figures"),
    table(`On ${metrics.n_films} held-out films of ${metrics.n_patients} patients, protocol “${card.protocol}”`, figures),
    element("h4", {}, "Operating points"),
    table("On the same films", points),
    element("h4", {}, "Data"),
    element("p", {}, `Data set “${card.dataset}”. ${card.data_terms}`),
  );
}

export function showCardProblem(problem) {
  $("card-body").replaceChildren(element("p", {}, `The card could not be fetched: ${problem.message}`));
}

function table(caption, figures) {
  const heads = ["Measure", "Value", "95% interval"].map((name) => element("th", { scope: "col" }, name));
  const lines = figures.map(([name, figure]) =>
    element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, rounded(figure.value)), element("td", {}, spread(figure))),
  );
  return element("table", {}, element("caption", {}, caption), element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...lines));
}
