// Asks for the API key, which stays in the tab.

import { key } from "./api.js";
import { $ } from "./dom.js";

const WHY = "Needed only if the service requires one. It is sent with every request of this page.";

export const keyDialogIsOpen = () => $("key-dialog").open;

export function askForKey(why = WHY) {
  $("key-text").textContent = why;
  $("key").value = key.get();
  $("key-forget").hidden = !key.get();
  $("key-dialog").showModal();
  $("key").focus();
}

/** `onKey` is called when a key was entered. */
export function listenToKeyDialog(onKey) {
  $("key-open").addEventListener("click", () => askForKey());
  $("key-enter").addEventListener("click", () => askForKey());
  $("key-cancel").addEventListener("click", close);
  $("key-forget").addEventListener("click", () => {
    key.forget();
    close();
  });
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    key.set($("key").value.trim());
    close();
    onKey();
  });
  takeFromAddress();
  showWhetherSet();
}

function close() {
  $("key-dialog").close();
  $("key").value = "";
  showWhetherSet();
}

function showWhetherSet() {
  $("key-open").textContent = key.get() ? "API key: set" : "API key";
}

/** A link may bring the key along behind #, which no server sees; it must not stay in the address either. */
function takeFromAddress() {
  const brought = new URLSearchParams(location.hash.slice(1)).get("key");
  if (!brought) return;
  key.set(brought);
  history.replaceState(null, "", location.pathname);
}
