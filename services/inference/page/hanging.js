// Hangs the films of an exam as radiologists do: the right breast on the left and the left breast on the right, chest
// walls facing each other in the middle, CC over MLO. It knows no page.

const COLUMNS = ["R", "L"];
const ORDER = ["CC", "MLO", "ML", "LM", "LMO", "SIO", "ISO", "FB", "XCC", "XCCL", "XCCM"];

/**
 * Places for films `{ side, view, modifiers }`, in the order in which they were given; side and view are null where they
 * are not known, as of a refused film. Answers `facing`, whether both breasts are there, and `rows` of two places: a
 * place is `{ film }`, with `inOrder` where the film took a free place; `{ missing: { side, view } }`; or `{}`.
 */
export function hang(films) {
  const sides = new Set(films.map((film) => film.side).filter(Boolean));
  const facing = sides.size === 2;
  const hung = films.filter((film) => film.side && film.view);
  const others = films.filter((film) => !hung.includes(film));
  const rows = facing ? facingRows(hung) : pairs([...hung].sort(byExposure).map((film) => ({ film })));
  for (const film of others.filter((each) => each.side)) putInOrder(rows, film, facing ? [COLUMNS.indexOf(film.side)] : [0, 1]);
  for (const film of others.filter((each) => !each.side)) putInOrder(rows, film, [0, 1]);
  return { facing, rows };
}

/** A row for each exposure, more for repeats: in the first column the right breast, in the second the left. */
function facingRows(films) {
  const rows = [];
  for (const name of new Set([...films].sort(byExposure).map(exposure))) {
    const [right, left] = COLUMNS.map((side) => films.filter((film) => exposure(film) === name && film.side === side));
    for (let row = 0; row < Math.max(right.length, left.length); row++) {
      const { view } = (right.concat(left))[0];
      rows.push([right, left].map((column, at) => (column[row] ? { film: column[row] } : { missing: { side: COLUMNS[at], view } })));
    }
  }
  return rows;
}

function pairs(places) {
  const rows = [];
  for (let at = 0; at < places.length; at += 2) rows.push([places[at], places[at + 1] ?? {}]);
  return rows;
}

function putInOrder(rows, film, columns) {
  for (const row of rows) {
    for (const column of columns) {
      if (row[column].film) continue;
      row[column] = { film, inOrder: true };
      return;
    }
  }
  rows.push([{}, {}]);
  rows.at(-1)[columns[0]] = { film, inOrder: true };
}

const exposure = ({ view, modifiers }) => [view, ...(modifiers ?? [])].join(" ");

/** Whole standard views first, and films with modifiers, such as magnifications, last. */
function byExposure(one, other) {
  const rank = ({ view, modifiers }) => (modifiers?.length ? 100 : 0) + (ORDER.indexOf(view) + 1 || ORDER.length + 1);
  return rank(one) - rank(other) || exposure(one).localeCompare(exposure(other));
}
