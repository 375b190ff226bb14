// Says what went wrong in the service's own words, and what to do about it.

const $ = (id) => document.getElementById(id);
const AGAIN = [0, 408, 429, 500, 502, 503, 504];
const KEY = [401, 403];

export function showProblem({ status, message, requestId, retryAfter }) {
  const [title, advice] = words(status);
  const soon = /^\d+$/.test(retryAfter) ? ` The service asks to wait ${retryAfter} s.` : "";
  $("problem-title").textContent = title;
  $("problem-detail").textContent = message;
  $("problem-advice").textContent = advice + soon;
  $("problem-request").textContent = requestId ? `Request ${requestId}` : "";
  $("again").hidden = !AGAIN.includes(status);
  $("key-enter").hidden = !KEY.includes(status);
}

function words(status) {
  switch (status) {
    case 0:
      return ["No answer", "Check that the service is running and the connection is up, then try again."];
    case 401:
      return ["An API key is needed", "Enter the key that the service’s operator gave you; the film is then sent again."];
    case 403:
      return ["This key may not do that", "Enter another key, or ask the service’s operator."];
    case 413:
      return ["The file is too large", "Send a smaller file, or ask the service’s operator to raise the limit."];
    case 415:
      return ["Not a kind of file that can be read", "Choose a PGM, PNG, JPEG, TIFF or DICOM file."];
    case 422:
      return ["This film was refused", "Choose another film: one whole mammogram, with the breast’s skin line in view."];
    case 429:
      return ["Too many requests", "Wait a moment, then try again."];
    case 503:
      return ["The service is busy or not ready", "Wait a moment, then try again."];
    default:
      return status >= 500
        ? ["The service failed", "Try again; if it fails again, give its operator the request’s number below."]
        : ["The request was refused", "Choose another film, or ask the service’s operator."];
  }
}
