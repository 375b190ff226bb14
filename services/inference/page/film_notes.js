// Names a film of an answer, and says in words what a reader has to know about it besides the decision.

import { SIDES, VIEWS, asSentence } from "./words.js";

/** Such as "R CC"; a refused film has the name of its file. */
export function filmTitle({ finding, name, position }) {
  if (!finding) return name ?? `Film ${position + 1}`;
  const { view, laterality } = finding.about;
  return view.name ? `${laterality.name} ${view.name}` : `${laterality.name}, view not known`;
}

/** The same for a screen reader, such as "right breast, craniocaudal". */
export function spokenTitle({ view, laterality }) {
  return `${SIDES[laterality.name]} breast, ${view.name ? (VIEWS[view.name] ?? view.name) : "view not known"}`;
}

/** Sentences to stand next to the film. `mirrored`: it is shown so; `inOrder`: it hangs where a place was free. */
export function filmNotes({ finding }, { mirrored, inOrder }) {
  const { about, applicability } = finding;
  const modifiers = about.view.modifiers ?? [];
  return [
    applicability.applies === false && "The model was not trained on such films: its prediction is meaningless here.",
    ...about.disagreements.map((disagreement) => `Check: ${disagreement}`),
    about.implant && "Implant present",
    modifiers.length > 0 && `Not a standard view: ${modifiers.join(", ")}`,
    about.acquisition === "synthesized" && "Synthesized from tomosynthesis",
    inOrder && "Its view is not known, so it is shown in the order given; state it under “Correct the view”",
    mirrored && "Shown mirrored, so that the chest walls face each other",
    inferred(about),
    ...about.notes,
  ]
    .filter(Boolean)
    .map(asSentence);
}

function inferred({ view, laterality }) {
  const told = [laterality.source === "shape" && "side", view.source === "shape" && "view"].filter(Boolean).join(" and ");
  return told && `${told} inferred from the shape of the breast`;
}
