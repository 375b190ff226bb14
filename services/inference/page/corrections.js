// What the user states about the side and the view of films, where their files say nothing or the wrong thing.

import { $, element } from "./dom.js";
import { SIDES, VIEWS, capitalised } from "./words.js";

let stated = [];
let shown = 0;

/** Forgets what was stated; to be called for each choice of films. */
export function forgetCorrections() {
  stated = [];
}

/** Shows what is stated about the film at a position. */
export function showCorrection(position) {
  shown = position;
  $("stated-side").value = stated[position]?.side ?? "";
  $("stated-view").value = stated[position]?.view ?? "";
}

/** The fields of a form with so many films that state it, as `[name, value]`; none where nothing is stated. */
export function correctionFields(films) {
  return ["side", "view"]
    .filter((name) => stated.some((each) => each?.[name]))
    .flatMap((name) => Array.from({ length: films }, (_, position) => [name, stated[position]?.[name] ?? ""]));
}

/** `onCorrection` is called when something is stated. */
export function listenToCorrections(onCorrection) {
  for (const [name, choices] of [["side", SIDES], ["view", VIEWS]]) {
    const words = Object.entries(choices).map(([code, word]) => [code, name === "view" ? `${code}, ${word}` : capitalised(word)]);
    const options = [["", "As found"], ...words].map(([value, text]) => element("option", { value }, text));
    const select = $(`stated-${name}`);
    select.replaceChildren(...options);
    select.addEventListener("change", () => {
      stated[shown] = { ...stated[shown], [name]: select.value };
      onCorrection(shown);
    });
  }
}
