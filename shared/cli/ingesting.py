"""The command `mammo ingest`: check a data set and bring it into the store, or only say what is wrong with it."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from shared.cli.console import console, listing, reporting, show_listing
from shared.datasets.mapping import Mapping, read_mapping, shipped_mappings
from shared.datasets.problems import WITHOUT_FILM, ProblemKind, SourceProblem
from shared.datasets.pseudonyms import Pseudonyms
from shared.datasets.sources import open_source
from shared.datasets.survey import Survey, survey
from shared.errors import InputError
from shared.ingests.units import IngestPlan, ingest_by_workers
from shared.queue.broker import Broker
from shared.settings import BrokerSettings, IngestSettings, StoreSettings, read_settings
from shared.store import ingest as ingestion
from shared.store.objects import open_store

_SHOWN = 5
"""Problems of a kind that are printed; `--all` prints the others as well."""


def ingest(
    source: Annotated[
        Path,
        typer.Argument(
            help="A folder or tar archive: films with tables (--mapping), mini-MIAS as distributed (mdbNNN.pgm and "
            "Info.txt), or generated films with films.csv."
        ),
    ],
    dataset: Annotated[
        str | None, typer.Option(help="Name of the data set in the store; default: the mapping's, or mias.")
    ] = None,
    mapping: Annotated[
        str | None,
        typer.Option(help=f"How tables are read: a TOML file, or one of {', '.join(shipped_mappings())}."),
    ] = None,
    table: Annotated[
        list[Path] | None,
        typer.Option(help="CSV file in place of the tables that the mapping names; repeatable."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print counts and all that is wrong; store nothing.")
    ] = False,
    workers: Annotated[
        bool,
        typer.Option("--workers", help="Let the augment workers do it; they have to see the source at the same path."),
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="One film that can't be used ends it, and nothing becomes a data set.")
    ] = False,
    append: Annotated[
        bool, typer.Option("--append", help="The source has new films only; stored ones are kept.")
    ] = False,
    show_all: Annotated[bool, typer.Option("--all", help=f"Print all problems, not {_SHOWN} of each kind.")] = False,
) -> None:
    """Check a data set film by film and copy it into the store; safe to repeat."""
    if table and mapping is None:
        raise InputError("--table needs --mapping, which says what its columns mean; see docs/how-to/add-a-dataset.md")
    chosen = read_mapping(mapping) if mapping else None
    opened = open_source(source, chosen, tuple(table or ()), _pseudonyms(chosen, dry_run=dry_run))
    if dry_run:
        with reporting() as report:
            found = survey(opened, lambda done: report("reading films", done, 0))
        _show_survey(found, show_all=show_all)
        return
    name = dataset or (chosen.name if chosen else "mias")
    with reporting() as report:
        if workers:
            done = _by_workers(name, source, chosen, table or [], report, strict=strict, append=append)
        else:
            store = open_store(read_settings(StoreSettings))
            done = ingestion.ingest(store, opened, name, report, strict=strict, append=append)
    _show_ingested(done, show_all=show_all)


def _by_workers(
    name: str,
    source: Path,
    mapping: Mapping | None,
    tables: list[Path],
    report: ingestion.ProgressCallback,
    *,
    strict: bool,
    append: bool,
) -> ingestion.Ingested:
    named = tuple(str(table.resolve()) for table in tables)
    plan = IngestPlan(dataset=name, source=str(source.resolve()), mapping=mapping, tables=named)
    store, queue = open_store(read_settings(StoreSettings)), Broker.open(read_settings(BrokerSettings))
    return ingest_by_workers(store, queue, plan, read_settings(IngestSettings), report, strict=strict, append=append)


def _show_ingested(done: ingestion.Ingested, *, show_all: bool) -> None:
    _show_problems(done.problems, show_all=show_all)
    found = done.dataset
    what = f"{done.written} films written" if done.written else "nothing had changed"
    kind = " (SYNTHETIC)" if found.synthetic else ""
    version = f", version {found.version}" if found.version > 1 else ""
    console.print(
        f"data set {found.dataset}{kind}{version}: {found.films} films, {what}. "
        f"Next: mammo run --dataset {found.dataset}"
    )


def _pseudonyms(mapping: Mapping | None, *, dry_run: bool) -> Pseudonyms | None:
    """Return what hides ids; None if they are pseudonyms already, or nothing is stored.

    Raises:
        SettingsError: a key is needed and not set.
    """
    if mapping is None or not mapping.pseudonyms or dry_run:
        return None
    return Pseudonyms(read_settings(IngestSettings).key)


def _show_survey(found: Survey, *, show_all: bool) -> None:
    console.print(
        f"{found.films} films of {found.exams} exams of {found.patients} patients"
        + (f"; {found.left_out} rows are left out by the mapping" if found.left_out else "")
    )
    table = listing("by", "value", "films")
    for name, counts in found.counts.items():
        for value, count in sorted(counts.items()):
            table.add_row(name, escape(value), str(count))
    show_listing(table)
    _show_problems(found.problems, show_all=show_all)
    if not found.problems:
        console.print("nothing is wrong")


def _show_problems(problems: Sequence[SourceProblem], *, show_all: bool) -> None:
    of_kind: dict[ProblemKind, list[SourceProblem]] = defaultdict(list)
    for problem in problems:
        of_kind[problem.kind].append(problem)
    for kind, found in sorted(of_kind.items(), key=lambda each: (each[0] not in WITHOUT_FILM, each[0])):
        left_out = "; their films are left out" if kind in WITHOUT_FILM else ""
        console.print(f"[yellow]{kind}: {len(found)}{left_out}[/]")
        if kind == "unknown value":
            for what, count in Counter(problem.what for problem in found).most_common():
                console.print(f"  {escape(what)}: {count}")
            continue
        for problem in found if show_all else found[:_SHOWN]:
            console.print(f"  {escape(problem.where)}: {escape(problem.what)}")
        if not show_all and len(found) > _SHOWN:
            console.print(f"  and {len(found) - _SHOWN} more (--all)")
