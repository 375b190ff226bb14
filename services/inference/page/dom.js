// What all parts of the page use: its elements, and figures in words.

export const $ = (id) => document.getElementById(id);

export function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Rows of a description list; those whose value is null are left out. */
export const rows = (facts) =>
  facts
    .filter(([, value]) => value !== null)
    .map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)));

export const percent = (share) => `${(100 * share).toFixed(1)}%`;
export const rounded = (share) => (share === null ? "not known" : `${Math.round(100 * share)}%`);
export const spread = ({ low, high }) => (low === null || high === null ? "not known" : `${rounded(low)} to ${rounded(high)}`);
export const number = (value) => value.toFixed(2);
