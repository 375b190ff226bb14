// From chosen films to a shown answer: one film has its own, several are an exam.

import * as api from "./api.js";
import { sentence, showDecision } from "./answer.js";
import { showCard, showCardProblem } from "./card.js";
import { chosenFiles, droppedFiles } from "./chosen_files.js";
import { correctionFields, forgetCorrections, listenToCorrections, showCorrection } from "./corrections.js";
import { fileFacts, showFilm, showModel, showTimings } from "./details.js";
import { $ } from "./dom.js";
import { examSentence, showApplicability, showExam } from "./exam.js";
import { askForKey, keyDialogIsOpen, listenToKeyDialog } from "./key_dialog.js";
import { showProblem, told } from "./problem.js";
import { Viewer } from "./viewer.js";
import { counted } from "./words.js";

const MOST_FILMS = 12;
const PARTS = {
  answered: ["decision", "viewer", "figures", "details"],
  refused: ["problem", "viewer"],
  failed: ["problem"],
};
const viewer = new Viewer(showSelected);
let files = [];
let passedOver = 0;
let answer = null;
let asking = new AbortController();
let deciding = new AbortController();

/** Takes what was chosen or dropped: one film, or the films of an exam. */
function take(chosen) {
  stop();
  ({ files, passedOver } = chosen);
  forgetCorrections();
  if (files.length === 0) {
    fail(new api.Problem(400, { title: "no-films", detail: "none of the files can be a film" }));
  } else if (files.length > MOST_FILMS) {
    fail(new api.Problem(400, { title: "too-many-films", detail: `these are ${files.length} films; an exam has at most ${MOST_FILMS}` }));
  } else {
    send();
  }
}

/** Nothing that was asked for is waited for any longer. */
function stop() {
  asking.abort();
  deciding.abort();
}

/** Sends the films; newer ones take the place of those that are still waited for. `selected` is selected then. */
async function send(selected = null) {
  stop();
  asking = new AbortController();
  const { signal } = asking;
  enter("busy");
  $("intake-title").textContent = `Reading ${title()}`;
  say(`Reading ${title()}`);
  try {
    const sent = await api.predict(files, correctionFields(files.length), point(), signal);
    answer = asExam(sent);
    await viewer.open(answer.films, signal, selected);
    showAnswer(signal);
  } catch (error) {
    if (!signal.aborted) fail(error);
  }
}

const title = () => (files.length === 1 ? files[0].name : counted(files.length, "film"));

/** An answer on one film as one on an exam, without anything said of the exam. */
const asExam = (sent) => (sent.films ? sent : { ...sent, films: [{ position: 0, name: files[0].name, finding: sent }], alone: sent });

function showAnswer(signal) {
  if (!answer.alone && !answer.exam) {
    failWithFilms();
    return;
  }
  showDecisions();
  showModel(answer);
  $("film-facts").textContent = answer.alone ? fileFacts(answer.alone) : examFacts();
  $("intake-title").textContent = title();
  document.body.dataset.films = answer.alone ? "one" : "several";
  enter("answered");
  $("answer").focus();
  api.card(answer.model.network, signal).then(showCard, (error) => signal.aborted || showCardProblem(error));
}

function showDecisions() {
  const { alone, films, model } = answer;
  $("synthetic").hidden = !model.synthetic;
  $("by-breast").hidden = $("by-film").hidden = Boolean(alone);
  showApplicability(films);
  if (alone) showDecision(alone);
  else showExam(answer, (position) => viewer.selectPosition(position));
  say(alone ? sentence(alone) : examSentence(answer));
}

function examFacts() {
  return passedOver ? `${counted(passedOver, "other file")} in the folder passed over` : "";
}

/** Shows what is known of the film that is selected. */
function showSelected(position) {
  const film = answer.films[position];
  showFilm(film, answer.alone ? null : answer);
  showTimings(film.finding);
  showCorrection(position);
}

/** Every film of an exam is refused: each shows its reason in its place. */
function failWithFilms() {
  document.body.dataset.films = "several";
  fail(new api.Problem(422, { title: "all-refused", detail: "every film is refused", request_id: answer.request_id }), "refused");
}

function fail(error, state = "failed") {
  if (!(error instanceof api.Problem)) {
    console.error(error);
    error = new api.Problem(500, { detail: "the answer could not be shown in this browser" });
  }
  showProblem(error);
  $("intake-title").textContent = title();
  enter(state);
  $("problem-title").focus();
  say(told(error));
  if (error.status === 401) askForKey(error.message);
}

/** Asks for the decision at another operating point; the films stay in sight as they are. */
async function decide() {
  deciding.abort();
  deciding = new AbortController();
  const { signal } = deciding;
  try {
    const sent = await api.decide(files, correctionFields(files.length), point(), signal);
    if (sent.model.sha256 !== $("sha").dataset.whole) {
      send(); // another model was promoted meanwhile: nothing of the first one's may stay
      return;
    }
    answer = asExam(sent);
    showDecisions();
    viewer.showDecisions(answer.films);
  } catch (error) {
    if (!signal.aborted) fail(error);
  }
}

const point = () => document.querySelector("input[name=point]:checked").value;

/** Nothing of an earlier film stays beside a newer one. */
function enter(state) {
  document.body.dataset.state = state;
  for (const id of Object.values(PARTS).flat()) $(id).hidden = !PARTS[state]?.includes(id);
}

function say(text) {
  $("live").textContent = text;
}

for (const input of [$("file"), $("folder")]) {
  input.addEventListener("change", () => {
    const chosen = chosenFiles(input);
    input.value = ""; // so that the same films can be chosen again
    if (chosen.files.length || chosen.passedOver) take(chosen);
  });
}
$("choose-folder").hidden = !("webkitdirectory" in $("folder"));
for (const choice of document.querySelectorAll("input[name=point]")) choice.addEventListener("change", decide);
$("again").addEventListener("click", () => send());
listenToCorrections(send);

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("over");
});
document.addEventListener("drop", async (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  if (!keyDialogIsOpen() && event.dataTransfer.types.includes("Files")) take(await droppedFiles(event.dataTransfer));
});

listenToKeyDialog(() => {
  if (!$("problem").hidden && !$("key-enter").hidden) send();
});

$("copy").addEventListener("click", async () => {
  $("sha").textContent = $("sha").dataset.whole;
  getSelection().selectAllChildren($("sha"));
  await navigator.clipboard?.writeText($("sha").dataset.whole); // there is none without TLS; the hash is selected then
  say(navigator.clipboard ? "SHA-256 copied" : "SHA-256 selected");
});
