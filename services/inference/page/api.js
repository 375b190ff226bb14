// What the page asks of the service, and the key that it asks with.

const KEY = "mammostack-key";

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

/** A problem document; status 0 where the service could not be reached. `gate` is there where the film did not pass it. */
export class Problem extends Error {
  constructor(status, { title: code = "", detail, request_id: requestId = "", gate = null }, retryAfter = "") {
    super(detail);
    Object.assign(this, { status, code, requestId, gate, retryAfter });
  }
}

const DRAWN = { explain: "heatmap", view: "deep" };

/**
 * The answer on a film, or on the films of an exam, at an operating point, with what draws them. `fields` are text
 * fields `[name, value]` of the form, which state sides and views.
 */
export const predict = (files, fields, point, signal) => post(files, fields, { operating_point: point, ...DRAWN }, signal);

/** The same without pictures. */
export const decide = (files, fields, point, signal) => post(files, fields, { operating_point: point }, signal);

export const card = (network, signal) => ask(`/v1/models/${encodeURIComponent(network)}/card`, { signal });

function post(files, fields, query, signal) {
  const path = files.length === 1 ? "/v1/predictions" : "/v1/exams";
  const form = new FormData();
  for (const file of files) form.append("image", file, file.name);
  for (const [name, value] of fields) form.append(name, value);
  return ask(`${path}?${new URLSearchParams(query)}`, { method: "POST", body: form, signal });
}

async function ask(path, options) {
  const headers = { Accept: "application/json", ...options.headers };
  if (key.get()) headers.Authorization = `Bearer ${key.get()}`;
  const response = await reach(path, { ...options, headers });
  const answer = await response.json().catch((error) => {
    if (error.name === "AbortError") throw error;
    return null;
  });
  if (response.ok && answer) return answer;
  const told = {
    detail: `The service answered ${response.status} without a reason.`,
    request_id: response.headers.get("X-Request-Id") ?? "",
    ...answer,
  };
  throw new Problem(response.status, told, response.headers.get("Retry-After") ?? "");
}

async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: "the service could not be reached, or the file could not be read" });
  }
}
