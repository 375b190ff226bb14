// Says in words what follows from the films of an exam together: by exam, by breast and by film.

import { sentence, showDecision } from "./answer.js";
import { $, element, number } from "./dom.js";
import { filmTitle } from "./film_notes.js";
import { problemTitle } from "./problem.js";
import { SHORT_VERDICTS, SIDES, asSentence, counted } from "./words.js";

/** Shows the answers of an exam; `select(position)` shows a film that is chosen in the list. */
export function showExam({ films, breasts, exam, rule }, select) {
  const refused = films.filter((film) => film.problem).length;
  showDecision(exam, {
    subject: "exam",
    by: `; the ${SIDES[exam.laterality]} breast decides`,
    figuresOf: exam.figures_of,
  });
  $("exam-count").textContent = refused ? `${counted(refused, "film")} of ${films.length} refused: the answers leave ${refused === 1 ? "it" : "them"} out.` : "";
  const hung = [...breasts].sort((one, other) => other.laterality.localeCompare(one.laterality)); // the right one first
  $("breasts").replaceChildren(...hung.map((breast) => breastRow(breast, films)));
  $("exam-films").replaceChildren(...films.map((film) => filmRow(film, select)));
  $("rule").textContent = rule;
}

/** The answer in a few sentences, for a screen reader. */
export function examSentence({ films, breasts, exam }) {
  const refused = films.filter((film) => film.problem).length;
  const sides = breasts.map(({ laterality, decision }) => `${SIDES[laterality]} breast ${SHORT_VERDICTS[decision.answer].toLowerCase()}`);
  return `${counted(films.length, "film")}, ${refused} refused. Exam: ${sentence(exam)} ${asSentence(sides.join(", "))}`;
}

/** Why the model knows nothing about some of the films, each reason once. */
export function showApplicability(films) {
  const reasons = new Map();
  for (const film of films.filter(({ finding }) => finding?.applicability.applies === false)) {
    const reason = film.finding.applicability.reasons[0] ?? "the model was not trained on such films";
    reasons.set(reason, [...(reasons.get(reason) ?? []), filmTitle(film)]);
  }
  const several = films.length > 1;
  $("applies").hidden = reasons.size === 0;
  $("applies").replaceChildren(
    element("strong", {}, "Not made for such films."),
    ...[...reasons].map(([reason, titles]) => element("span", {}, ` ${several ? `${titles.join(", ")}: ${asSentence(reason)}` : asSentence(reason)}`)),
  );
}

function breastRow({ laterality, decision, films: positions }, films) {
  const of = positions.map((position) => filmTitle(films[position])).join(", ");
  const head = element("th", { scope: "row" }, SIDES[laterality] === "right" ? "Right" : "Left", element("span", { className: "soft" }, of));
  return row(head, decision);
}

function filmRow(film, select) {
  const soft = film.finding && film.name ? [element("span", { className: "soft" }, film.name)] : [];
  if (film.problem) {
    const cell = element("td", { colSpan: 2 }, `Refused: ${problemTitle(film.problem).toLowerCase()}`);
    return element("tr", { className: "refusal" }, element("th", { scope: "row" }, filmTitle(film)), cell);
  }
  const button = element("button", { type: "button", className: "quiet" }, filmTitle(film));
  button.addEventListener("click", () => select(film.position));
  return row(element("th", { scope: "row" }, button, ...soft), film.finding.decision);
}

function row(head, { answer, score }) {
  const cells = [SHORT_VERDICTS[answer], number(score)].map((text) => element("td", {}, text));
  const made = element("tr", {}, head, ...cells);
  made.dataset.answer = answer;
  return made;
}
