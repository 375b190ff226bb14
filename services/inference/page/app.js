// From a chosen film to a shown answer.

import * as api from "./api.js";
import { sentence, showDecision } from "./answer.js";
import { showCard, showCardProblem } from "./card.js";
import { $ } from "./dom.js";
import { showFilm, showModel } from "./facts.js";
import { showProblem, told } from "./problem.js";
import { Viewer } from "./viewer.js";

const PARTS = { answered: ["decision", "viewer", "details"], failed: ["problem"] };
const viewer = new Viewer();
let film = null;
let asking = new AbortController();
let deciding = new AbortController();

/** The file that was chosen or dropped, if it is the only one. */
function take([file, ...more]) {
  if (!file) return;
  if (more.length === 0) {
    send(file);
    return;
  }
  stop();
  film = { name: `${more.length + 1} files` };
  fail(new api.Problem(400, { title: "one-film", detail: "the page answers for one film" }));
}

/** Nothing that was asked for is waited for any longer. */
function stop() {
  asking.abort();
  deciding.abort();
}

/** Sends the film; a newer one takes the place of one that is still waited for. */
async function send(file) {
  stop();
  film = file;
  asking = new AbortController();
  const { signal } = asking;
  enter("busy");
  $("intake-title").textContent = `Reading ${file.name}`;
  say(`Reading ${file.name}`);
  try {
    const answer = await api.predict(file, point(), signal);
    await viewer.open(answer, file.name, signal);
    showAnswer(answer, signal);
  } catch (error) {
    if (!signal.aborted) fail(error);
  }
}

function showAnswer(answer, signal) {
  showDecision(answer);
  showFilm(answer);
  showModel(answer);
  $("intake-title").textContent = film.name;
  enter("answered");
  $("answer").focus();
  say(sentence(answer));
  api.card(answer.model.network, signal).then(showCard, (error) => signal.aborted || showCardProblem(error));
}

function fail(error) {
  if (!(error instanceof api.Problem)) {
    console.error(error);
    error = new api.Problem(500, { detail: "the answer could not be shown in this browser" });
  }
  showProblem(error);
  $("intake-title").textContent = film.name;
  enter("failed");
  $("problem-title").focus();
  say(told(error));
  if (error.status === 401) askForKey(error.message);
}

/** Asks for the film's decision at another operating point; the film stays in sight as it is. */
async function decide() {
  deciding.abort();
  deciding = new AbortController();
  const { signal } = deciding;
  try {
    const answer = await api.decide(film, point(), signal);
    if (answer.model.sha256 !== $("sha").dataset.whole) {
      send(film); // another model was promoted meanwhile: nothing of the first one's may stay
      return;
    }
    showDecision(answer);
    say(sentence(answer));
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

function askForKey(why) {
  $("key-text").textContent = why;
  $("key").value = api.key.get();
  $("key-forget").hidden = !api.key.get();
  $("key-dialog").showModal();
  $("key").focus();
}

function closeKey() {
  $("key-dialog").close();
  $("key").value = "";
  $("key-open").textContent = api.key.get() ? "API key: set" : "API key";
}

$("file").addEventListener("change", () => {
  const files = [...$("file").files];
  $("file").value = ""; // so that the same film can be chosen again
  take(files);
});
for (const choice of document.querySelectorAll("input[name=point]")) choice.addEventListener("change", decide);
$("again").addEventListener("click", () => send(film));

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  if (!$("key-dialog").open) take(event.dataTransfer.files);
});

const WHY = "Needed only where the service asks for one. It is sent with every request of this page.";
$("key-open").addEventListener("click", () => askForKey(WHY));
$("key-enter").addEventListener("click", () => askForKey(WHY));
$("key-cancel").addEventListener("click", closeKey);
$("key-forget").addEventListener("click", () => {
  api.key.forget();
  closeKey();
});
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  api.key.set($("key").value.trim());
  closeKey();
  if (!$("problem").hidden && !$("key-enter").hidden) send(film);
});

$("copy").addEventListener("click", async () => {
  $("sha").textContent = $("sha").dataset.whole;
  getSelection().selectAllChildren($("sha"));
  await navigator.clipboard?.writeText($("sha").dataset.whole); // there is none without TLS; the hash is selected then
  say(navigator.clipboard ? "SHA-256 copied" : "SHA-256 selected");
});

// A link may bring the key along behind #, which no server sees; it must not stay in the address either.
const brought = new URLSearchParams(location.hash.slice(1)).get("key");
if (brought) {
  api.key.set(brought);
  history.replaceState(null, "", location.pathname);
}
$("key-open").textContent = api.key.get() ? "API key: set" : "API key";
