// From a chosen film to a shown answer.

import * as api from "./api.js";
import { sentence, showCard, showCardProblem, showDecision, showFilm, showModel } from "./answer.js";
import { showProblem } from "./problem.js";
import { Viewer } from "./viewer.js";

const $ = (id) => document.getElementById(id);
const PARTS = { answered: ["decision", "viewer", "details"], failed: ["problem"] };
const viewer = new Viewer();
let film = null;
let asking = new AbortController();

/** Sends the film; a newer one takes the place of one that is still waited for. */
async function send(file) {
  film = file;
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  enter("busy");
  $("intake-title").textContent = `Reading ${file.name}`;
  say(`Reading ${file.name}`);
  try {
    const answer = await api.predict(file, signal);
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
    error = new api.Problem(500, "The answer could not be shown in this browser.");
  }
  showProblem(error);
  $("intake-title").textContent = film.name;
  enter("failed");
  $("problem-title").focus();
  say(error.message);
  if (error.status === 401) askForKey(error.message);
}

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
  const [file] = $("file").files;
  $("file").value = ""; // so that the same film can be chosen again
  if (file) send(file);
});
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
  const [file] = event.dataTransfer.files;
  if (file && !$("key-dialog").open) send(file);
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
