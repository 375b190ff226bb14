"""Mappings as data: what is read of a table, and errors that say what to correct."""

from pathlib import Path

import pytest

from shared.datasets.mapping import Mapping, parse_mapping, read_mapping
from shared.datasets.problems import SourceProblem
from shared.datasets.pseudonyms import Pseudonyms
from shared.datasets.sources import open_source
from shared.datasets.survey import survey
from shared.domain.records import Label
from shared.errors import DatasetError, InputError
from tests.support.public_sets import OWN_MAPPING, film_file, own_exams, put


def own(text: str = OWN_MAPPING) -> Mapping:
    return parse_mapping(text, "clinic.toml")


class TestReadMapping:
    def test_a_mapping_that_is_not_there_names_those_that_are(self) -> None:
        with pytest.raises(
            InputError, match=r"no mapping 'mine'; name a TOML file, or one of cbis-ddsm, .* vindr-mammo"
        ):
            read_mapping("mine")


class TestParseMapping:
    def test_a_hospitals_own_exams_are_matched_by_accession_number_and_side(self, tmp_path: Path) -> None:
        source = open_source(own_exams(tmp_path), own())
        films = list(source.entries())
        assert [(film.patient, film.exam, film.group, film.label.value) for film in films[::2]] == [
            ("4711", "A100", "north", "malignant"),
            ("4711", "A100", "north", "normal"),
            ("4712", "A200", "south", "benign"),
            ("4712", "A200", "south", "normal"),
        ]
        found = survey(source)
        assert (found.films, found.patients, found.exams, found.problems) == (8, 2, 2, [])
        assert found.counts["view"] == {"CC": 4, "MLO": 4}

    @pytest.mark.parametrize("fact", ["study", "sop"])
    def test_other_facts_of_the_header_match_too(self, tmp_path: Path, fact: str) -> None:
        column = "Study,Side" if fact == "study" else "Instance,Side"
        put(tmp_path / "a.dcm", film_file(7, "L", "CC", StudyInstanceUID="1.3.7"))
        key = "1.3.7" if fact == "study" else "1.2.7"
        put(tmp_path / "results.csv", f"{column},PatientNr,Accession,Site,Pathology\n{key},L,1,A1,n,benign\n".encode())
        text = OWN_MAPPING.replace('accession = "Accession"', f'{fact} = "{column.partition(",")[0]}"')
        text = text.replace(', Recall = "no"', "")
        (film,) = open_source(tmp_path, own(text)).entries()
        assert (film.label, film.patient) == (Label.BENIGN, "1")

    def test_a_table_may_lie_anywhere(self, tmp_path: Path) -> None:
        folder = own_exams(tmp_path / "films")
        table = (folder / "results.csv").rename(tmp_path / "elsewhere.csv")
        assert len(list(open_source(folder, own(), (table,)).entries())) == 8
        with pytest.raises(DatasetError, match=r"holds no table \*\.csv; name it with --table"):
            open_source(folder, own())

    def test_pseudonyms_replace_every_id_and_are_the_same_again(self, tmp_path: Path) -> None:
        folder = own_exams(tmp_path)
        hidden = [list(open_source(folder, own(), (), Pseudonyms(key)).entries()) for key in (b"a", b"a", b"b")]
        first, again, other = ([(film.id, film.patient, film.exam) for film in films] for films in hidden)
        assert first == again
        assert not {each for film in first for each in film} & {each for film in other for each in film}
        assert len({patient for _, patient, _ in first}) == 2
        assert not any(text in str(first) for text in ("4711", "A100", "1.2."))

    def test_several_rows_of_one_image_give_it_the_worst_label(self, tmp_path: Path) -> None:
        folder = own_exams(tmp_path)
        table = folder / "results.csv"
        table.write_text(table.read_text() + "A200,L,4712,invasive,yes,south\n")
        films = list(open_source(folder, own()).entries())
        assert [film.label.value for film in films if film.exam == "A200"] == ["malignant"] * 2 + ["normal"] * 2

    def test_what_can_not_be_used_is_named_with_its_line(self, tmp_path: Path) -> None:
        folder = own_exams(tmp_path)
        table = folder / "results.csv"
        table.write_text(table.read_text().replace("A100,R,4711,,no", "A100,R,,,no").replace("benign", "unclear"))
        put(folder / "exams" / "IM9.dcm", film_file(99, "L", "CC", AccessionNumber="A300"))
        put(folder / "exams" / "IM8.dcm", film_file(0, "L", "CC", AccessionNumber="A200")[:-500])
        source = open_source(folder, own())
        found = survey(source)
        assert found.films == 4
        assert set(found.problems) == {
            SourceProblem("unknown value", "results.csv:3", "column 'PatientNr' is empty"),
            SourceProblem("no label", "results.csv:4", "no rule of the mapping holds"),
            SourceProblem("image without row", "exams/IM9.dcm", "no row is of this image"),
        }

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (("name =", "names ="), r"clinic\.toml: name: Field required; see docs/how-to"),
            (('label = "benign"', 'label = "fine"'), r"clinic\.toml: labels\.1\.label: "),
            (('files.header = { accession = "Accession", side = "Side" }', "files = {}"), r"files: .*either 'path'"),
            (("redistribute = false, ", ""), r"terms\.redistribute: Field required"),
            (("[", "("), r"clinic\.toml: is not TOML"),
        ],
    )
    def test_a_mapping_that_is_wrong_says_which_field(self, change: tuple[str, str], message: str) -> None:
        with pytest.raises(DatasetError, match=message):
            own(OWN_MAPPING.replace(*change))

    def test_a_column_that_the_table_lacks_is_named(self, tmp_path: Path) -> None:
        text = OWN_MAPPING.replace('patient = "PatientNr"', 'patient = "Patient"')
        with pytest.raises(DatasetError, match=r"results\.csv: has no column Patient; it has Accession, Pathology, "):
            open_source(own_exams(tmp_path), own(text))

    def test_the_rules_are_told_in_words_for_the_card(self) -> None:
        assert own().labelling == (
            "malignant: Pathology = invasive or in situ; benign: Pathology = benign; "
            "normal: Pathology = empty and Recall = no. By breast, mapping clinic."
        )
