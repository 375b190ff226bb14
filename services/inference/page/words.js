// The words of the page for sides, views, classes and decisions.

export const SIDES = { L: "left", R: "right" };
export const VIEWS = {
  CC: "craniocaudal",
  MLO: "mediolateral oblique",
  ML: "mediolateral",
  LM: "lateromedial",
  LMO: "lateromedial oblique",
  FB: "from below",
  SIO: "superolateral to inferomedial oblique",
  ISO: "inferomedial to superolateral oblique",
  XCC: "exaggerated craniocaudal",
  XCCL: "exaggerated craniocaudal, lateral",
  XCCM: "exaggerated craniocaudal, medial",
};
export const VERDICTS = {
  abnormal: "Abnormal",
  normal: "Normal",
  uncertain: "Uncertain: needs a reader",
};
export const SHORT_VERDICTS = { abnormal: "Abnormal", normal: "Normal", uncertain: "Uncertain" };
export const CLASSES = { normal: "Normal", benign: "Benign finding", malignant: "Malignant finding" };

export const capitalised = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** A service's sentence on its own: with a capital and a full stop. */
export function asSentence(text) {
  const whole = capitalised(text);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

/** "4 films", "1 film". */
export const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
