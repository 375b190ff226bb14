// The files that were chosen or dropped, those in folders too.

const NO_FILMS = /\.(txt|md|pdf|docx?|xlsx?|csv|json|xml|html?|ini|inf|log|exe|dll|bat|sh|zip|css|js)$/i;

/** What was dropped, as `{ files, passedOver }`; call it while the drop is handled, since the browser forgets it then. */
export function droppedFiles(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const found = items.map((item) => {
    const entry = item.webkitGetAsEntry?.();
    return entry?.isDirectory ? filesIn(entry) : [{ path: "", file: item.getAsFile() }];
  });
  return Promise.all(found).then((lists) => sorted(lists.flat()));
}

/** The files of an input: those of a folder have their path. */
export const chosenFiles = (input) => sorted([...input.files].map((file) => ({ path: file.webkitRelativePath, file })));

/** Files of folders in the order of their paths; those that are no films by their name are passed over there. */
function sorted(found) {
  const [direct, nested] = [found.filter(({ path }) => !path), found.filter(({ path }) => path)];
  const films = nested.filter(({ path }) => mayBeFilm(path.split("/").at(-1)));
  films.sort((one, other) => one.path.localeCompare(other.path, "en", { numeric: true }));
  return { files: [...direct, ...films].map(({ file }) => file), passedOver: nested.length - films.length };
}

const mayBeFilm = (name) => !name.startsWith(".") && name.toUpperCase() !== "DICOMDIR" && name !== "Thumbs.db" && !NO_FILMS.test(name);

async function filesIn(entry) {
  if (entry.isFile) {
    const file = await new Promise((found, failed) => entry.file(found, failed));
    return [{ path: entry.fullPath, file }];
  }
  const reader = entry.createReader();
  const entries = [];
  for (;;) {
    const more = await new Promise((found, failed) => reader.readEntries(found, failed)); // a hundred at a time
    if (more.length === 0) break;
    entries.push(...more);
  }
  return (await Promise.all(entries.map(filesIn))).flat();
}
