// What the page asks of the service, and the key that it asks with.

const KEY = "mammostack-key";

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

/** A problem document; status 0 where the service could not be reached. */
export class Problem extends Error {
  constructor(status, detail, requestId = "", retryAfter = "") {
    super(detail);
    Object.assign(this, { status, requestId, retryAfter });
  }
}

export function predict(file, signal) {
  return ask("/v1/predictions?explain=heatmap&view=1", {
    method: "POST",
    headers: { "Content-Type": "application/octet-stream" },
    body: file,
    signal,
  });
}

export const card = (network, signal) => ask(`/v1/models/${encodeURIComponent(network)}/card`, { signal });

async function ask(path, options) {
  const headers = { Accept: "application/json", ...options.headers };
  if (key.get()) headers.Authorization = `Bearer ${key.get()}`;
  const response = await reach(path, { ...options, headers });
  const answer = await response.json().catch((error) => {
    if (error.name === "AbortError") throw error;
    return null;
  });
  if (response.ok && answer) return answer;
  const detail = answer?.detail ?? `The service answered ${response.status} without saying why.`;
  const requestId = answer?.request_id ?? response.headers.get("X-Request-Id") ?? "";
  throw new Problem(response.status, detail, requestId, response.headers.get("Retry-After") ?? "");
}

async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The service could not be reached, or the file could not be read.");
  }
}
