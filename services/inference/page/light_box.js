// Builds the hang of an answer's films: a canvas with its caption for each, a refused film's reason in its place.

import { element, number } from "./dom.js";
import { FilmPane } from "./film_pane.js";
import { filmNotes, filmTitle, spokenTitle } from "./film_notes.js";
import { hang } from "./hanging.js";
import { advice, problemTitle } from "./problem.js";
import { stages } from "./viewport.js";
import { SHORT_VERDICTS, SIDES, VERDICTS, asSentence } from "./words.js";

/** Figures for `box`, and the panes of those films that have a finding, in rows: `{ figures, rows }`. */
export async function hangFilms(films) {
  const found = films.filter((film) => film.finding);
  const scales = new Map(stages(found.map((film) => film.finding.image)).map((stage, at) => [found[at], stage]));
  const { facing, rows } = hang(films.map(asHung));
  const figures = [];
  const panes = [];
  for (const row of rows) {
    const inRow = row.map((place) => figureOf(place, { facing, alone: films.length === 1, scales }));
    figures.push(...inRow.map(({ figure }) => figure));
    panes.push(await Promise.all(inRow.map(({ pane }) => pane)));
  }
  return { figures, rows: panes };
}

function asHung(film) {
  const { laterality, view } = film.finding?.about ?? {};
  return { film, side: laterality?.name ?? null, view: view?.name ?? null, modifiers: view?.modifiers ?? null };
}

function figureOf({ film: hung, inOrder = false, missing }, { facing, alone, scales }) {
  if (missing) return { figure: element("p", { className: "missing" }, `No ${SIDES[missing.side]} ${missing.view} film`), pane: null };
  if (!hung) return { figure: element("span", {}), pane: null };
  const { film } = hung;
  if (!film.finding) return { figure: refusedFigure(film), pane: null };
  const wall = facing ? { R: "right", L: "left" }[hung.side] : null;
  const mirrored = facing && film.finding.about.chest_wall !== wall;
  const notes = filmNotes(film, { mirrored, inOrder: inOrder && !alone });
  const canvas = element("canvas", { className: "film", tabIndex: 0, role: "application", ariaLabel: spokenName(film) });
  canvas.setAttribute("aria-describedby", `film-notes-${film.position} keys`);
  const { width, height } = film.finding.image;
  canvas.style.setProperty("--shape", `${width} / ${height}`);
  const decision = element("span", {});
  const caption = element(
    "figcaption",
    {},
    element("p", { className: "title", hidden: alone }, element("strong", {}, filmTitle(film)), " ", decision),
    element("ul", { id: `film-notes-${film.position}`, className: "notes" }, ...notes.map((note) => element("li", {}, note))),
  );
  const figure = element("figure", {}, canvas, caption);
  const pane = FilmPane.read(film.finding, { canvas, mirrored, wall, gap: gapAtWall(film.finding), stage: scales.get(film) });
  return { figure, pane: pane.then((made) => Object.assign(made, { figure, position: film.position, name: film.name, decision })) };
}

/** Pixels between the edge of the film and the breast at its chest wall, but for a margin. */
function gapAtWall({ about, breast_box: box, image: { width } }) {
  const gap = about.chest_wall === "left" ? box.x : width - box.x - box.width;
  return Math.max(0, gap - width / 50);
}

const spokenName = (film) => (film.name ? `Film ${film.name}: ${spokenTitle(film.finding.about)}` : `Film: ${spokenTitle(film.finding.about)}`);

/** Writes a film's decision into its caption. */
export function showFilmDecision({ decision: place, figure }, { decision }) {
  place.textContent = `${SHORT_VERDICTS[decision.answer]}, score ${number(decision.score)}`;
  place.title = VERDICTS[decision.answer];
  figure.dataset.answer = decision.answer;
}

function refusedFigure(film) {
  const { problem } = film;
  return element(
    "figure",
    { className: "refused" },
    element(
      "figcaption",
      {},
      element("p", { className: "title" }, element("strong", {}, `Refused: ${filmTitle(film)}`)),
      element("p", {}, `${problemTitle(problem)}. ${asSentence(problem.detail)}`),
      element("p", {}, advice(problem)),
      element("p", {}, "Its side and view are not known, so it is shown in a free place. The combined answers leave it out."),
    ),
  );
}
