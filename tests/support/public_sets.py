"""Generated exams in the layouts and columns of public data sets, with each set's known errors planted.

Every value is made up; no row of a real table stands here.
"""

import csv
import io
import plistlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.dicoms import dicom

WIDTH, HEIGHT = 64, 48


def film_file(seed: int, side: str | None = None, view: str | None = None, **elements: Any) -> bytes:
    """A DICOM mammogram whose header names side and view, unless they are None."""
    pixels = np.random.default_rng(seed).integers(0, 4096, (HEIGHT, WIDTH), np.uint16)
    known = {"ImageLaterality": side, "ViewPosition": view, "SOPInstanceUID": f"1.2.{seed}", "BitsStored": 12}
    return dicom(pixels, **{name: value for name, value in {**known, **elements}.items() if value is not None})


def put(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


def put_table(file: Path, columns: str, rows: Iterable[Iterable[object]], delimiter: str = ",") -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns.split(","))
    writer.writerows(rows)
    put(file, text.getvalue().encode())


def rsna(folder: Path) -> Path:
    """Planted: a repeated view, another view, no BI-RADS, two rows whose image is missing or has no row, an unknown
    side, a header that disagrees, and one file under two ids."""
    columns = "site_id,patient_id,image_id,laterality,view,age,cancer,biopsy,invasive,BIRADS,implant,density,machine_id"
    rows = [
        (1, 11, 101, "L", "CC", 61, 1, 1, 1, 0, 0, "B", 49),
        (1, 11, 102, "L", "MLO", 61, 1, 1, 1, 0, 0, "B", 49),
        (1, 11, 103, "R", "CC", 61, 0, 1, 0, 2, 0, "B", 49),
        (1, 11, 104, "R", "CC", 61, 0, 1, 0, 2, 0, "B", 49),  # taken twice
        (2, 12, 201, "L", "CC", "", 0, 0, 0, "", 0, "", 21),  # a site without density and BI-RADS
        (2, 12, 202, "R", "AT", "", 0, 0, 0, "", 0, "", 21),  # a view that is not taken
        (2, 12, 203, "X", "CC", "", 0, 0, 0, "", 0, "", 21),  # no side
        (2, 12, 204, "R", "MLO", "", 0, 0, 0, "", 0, "", 21),  # its image is missing
        (2, 12, 205, "R", "MLO", "", 0, 0, 0, "", 0, "", 21),  # the image of 201
        (2, 12, 206, "R", "MLO", "", 2, 0, 0, "", 0, "", 21),  # a label that no rule knows
    ]
    put_table(folder / "train.csv", columns, rows)
    for _, patient, image, side, view, *_ in rows:
        if image == 204:
            continue
        said = {101: ("R", "CC"), 205: ("L", "CC"), 203: (None, "CC")}.get(int(image), (side, view))
        seed = 201 if image == 205 else int(image)
        put(folder / "train_images" / str(patient) / f"{image}.dcm", film_file(seed, *said))
    put(folder / "train_images" / "12" / "999.dcm", film_file(999, "L", "CC"))  # without a row
    return folder


def vindr(folder: Path) -> Path:
    """Planted: a box that reaches outside, one that lies outside, a study in both parts, a mislabelled view."""
    columns = "study_id,series_id,image_id,laterality,view_position,height,width,breast_birads,breast_density,split"
    rows = [
        (study, "s", f"{study}{side}{view}".lower(), side, view, HEIGHT, WIDTH, birads, "DENSITY C", split)
        for study, side, view, birads, split in (
            ("aa", "L", "CC", "BI-RADS 5", "training"),
            ("aa", "L", "MLO", "BI-RADS 5", "training"),
            ("aa", "R", "CC", "BI-RADS 1", "training"),
            ("bb", "L", "CC", "BI-RADS 2", "test"),
            ("bb", "R", "CC", "BI-RADS 3", "training"),
        )
    ]
    put_table(folder / "breast-level_annotations.csv", columns, rows)
    for number, row in enumerate(rows):
        view = "MLO" if row[2] == "bbrcc" else str(row[4])
        put(folder / "images" / str(row[0]) / f"{row[2]}.dicom", film_file(number, str(row[3]), view))
    boxes = [
        ("aa", "aalcc", "['Mass']", "BI-RADS 5", 10, 5, 30, 25),
        ("aa", "aalmlo", "['Mass']", "BI-RADS 5", 50, 5, WIDTH + 8.5, 25),
        ("bb", "bblcc", "['Suspicious Calcification']", "BI-RADS 3", WIDTH + 1, 5, WIDTH + 9, 25),
        ("aa", "aarcc", "['No Finding']", "", "", "", "", ""),
    ]
    found = "study_id,image_id,finding_categories,finding_birads,xmin,ymin,xmax,ymax"
    put_table(folder / "finding_annotations.csv", found, boxes)
    return folder


def csaw_cc(folder: Path) -> Path:
    """Planted: a film of a year before the cancer, which has no label."""
    columns = "anon_patientid,exam_year,imagelaterality,viewposition,anon_filename,x_case,x_cancer_laterality,"
    columns += "rad_timing"
    rows = [
        (1, 2010, "Left", "CC", "00001_20990909_L_CC_1.dcm", 1, "Left", 1),
        (1, 2010, "Right", "CC", "00001_20990909_R_CC_2.dcm", 1, "Left", 1),
        (1, 2008, "Left", "CC", "00001_20990909_L_CC_3.dcm", 1, "Left", 3),
        (2, 2010, "Left", "MLO", "00002_20990909_L_MLO_1.dcm", 0, "", ""),
    ]
    put_table(folder / "CSAW-CC_breast_cancer_screening_data.csv", columns, rows)
    for number, row in enumerate(rows):
        put(folder / "dcm" / str(row[4]), film_file(number, str(row[2])[0], str(row[3])))
    return folder


def cbis_ddsm(folder: Path) -> Path:
    """Planted: paths that end with a newline and that no download has, a mask under the column of the crop, one of
    another size and one of another shape, a patient in both parts, mass and calcification on one film, density 0."""
    columns = "patient_id,DENSITY,left or right breast,image view,abnormality id,abnormality type,assessment,pathology,"
    columns += "subtlety,image file path,cropped image file path,ROI mask file path"
    cases = {
        ("mass", "train"): [("P_01", 3, "LEFT", "CC", 1, "MALIGNANT"), ("P_02", 2, "RIGHT", "MLO", 1, "BENIGN")],
        ("calc", "train"): [("P_01", 3, "LEFT", "CC", 1, "BENIGN_WITHOUT_CALLBACK")],
        ("calc", "test"): [("P_02", 0, "LEFT", "CC", 1, "BENIGN")],
        ("mass", "test"): [("P_03", 4, "LEFT", "MLO", 1, "MALIGNANT")],
    }
    seed = 0
    for (kind, part), rows in cases.items():
        lines = []
        for patient, density, side, view, lesion, pathology in rows:
            seed += 10
            where = f"{kind.title()}-{part.title()}_{patient}_{side}_{view}"
            full, crop, mask = (f"1.3.6.{seed + number}" for number in range(3))
            paths = [f"{where}/1.2.{seed}/{full}/000000.dcm"]
            paths += [f"{where}_1/1.2.{seed}/{crop}/000000.dcm", f"{where}_1/1.2.{seed}/{mask}/000001.dcm\n"]
            lines.append([patient, density, side, view, lesion, kind, 4, pathology, 3, *paths])
            place = folder / "CBIS-DDSM" / where
            put(place / full / "1-1.dcm", film_file(seed, SeriesInstanceUID=full, PatientID=where))
            put(place / crop / "1-1.dcm", _part(crop, (20, 20), slice(0, 20)))
            put(place / mask / "1-1.dcm", _part(mask, _MASK_SIZES.get(seed, (HEIGHT, WIDTH)), slice(10, 20)))
            if seed == 20:  # crop and mask stand under each other's column
                lines[-1][-2:] = [paths[2].rstrip(), paths[1] + "\n"]
        name = columns.replace("DENSITY", "breast density" if kind == "calc" else "breast_density")
        put_table(folder / f"{kind}_case_description_{part}_set.csv", name, lines)
    return folder


_MASK_SIZES = {40: (2 * HEIGHT, 2 * WIDTH), 50: (HEIGHT, 2 * WIDTH)}


def _part(series: str, size: tuple[int, int], inside: slice) -> bytes:
    """A mask, or a cropped image, of a size (height, width)."""
    pixels = np.zeros(size, np.uint8)
    pixels[inside, 20 * size[1] // WIDTH : 40 * size[1] // WIDTH] = 255
    return dicom(pixels, SeriesInstanceUID=series, SOPInstanceUID=f"{series}.1")


def cmmd(folder: Path) -> Path:
    """Planted: a breast without a row; sides and views are in headers alone, views as codes."""
    rows = [("D1-0001", "L", 44, 2, "mass", "Malignant", ""), ("D2-0002", "R", 51, 2, "calcification", "Benign", "")]
    put_table(
        folder / "CMMD_clinicaldata_revision.csv", "ID1,LeftRight,Age,number,abnormality,classification,subtype", rows
    )
    for patient, sides in (("D1-0001", "L"), ("D2-0002", "LR")):
        for number, side in enumerate(sorted(sides * 2), 1):
            data = film_file(hash_of(patient, number), side, ViewCodeSequence=[_code("R-10242", "R-10226", number)])
            put(folder / "CMMD" / patient / "07-18-2010" / "70244" / f"1-{number}.dcm", data)
    return folder


def _code(first: str, second: str, number: int) -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = (first if number % 2 else second), "SNM3"
    item.CodeMeaning = "view"
    return item


def hash_of(text: str, number: int) -> int:
    return sum(map(ord, text)) * 100 + number


def inbreast(folder: Path) -> Path:
    """Planted: 'removed' for every patient, headers that say nothing, a point, and a property list that is none."""
    columns = "Patient ID,Patient age,Laterality,View,Acquisition date,File Name,ACR,Bi-Rads"
    films = [
        ("20586908", "6c613a14b80a8591", "R", "CC", 4, "4a"),
        ("20586934", "6c613a14b80a8591", "L", "MLO", 4, 1),
        ("20586960", "81cd83d2f4d78528", "L", "CC", "", 2),
    ]
    rows = [
        ("removed", "removed", side, view, "201001", film, acr, birads) for film, _, side, view, acr, birads in films
    ]
    put_table(folder / "INbreast.csv", columns, rows, delimiter=";")
    for film, patient, side, view, *_ in films:
        named = "ML" if view == "MLO" else view
        put(folder / "AllDICOMs" / f"{film}_{patient}_MG_{side}_{named}_ANON.dcm", film_file(int(film)))
    rois = [
        {"Name": "Mass", "NumberOfPoints": 4, "Point_px": ["(10, 5)", "(30, 5)", "(30, 25)", "(10, 25)"]},
        {"Name": "Calcification", "NumberOfPoints": 1, "Point_px": ["(40.5, 20.25)"]},
    ]
    put(folder / "AllXML" / "20586908.xml", plistlib.dumps({"Images": [{"ROIs": rois}]}))
    put(folder / "AllXML" / "20586960.xml", b"<plist>")
    return folder


def embed(folder: Path) -> Path:
    """Planted: a finding of the other breast, a breast without a row, a synthesized view, a spot view, BI-RADS 0."""
    path = "/mnt/nas/cohort_1/{}/{}/{}.dcm"
    columns = "cohort_num,empi_anon,acc_anon,anon_dicom_path,FinalImageType,ImageLateralityFinal,ViewPosition,spot_mag,"
    columns += "num_roi,ROI_coords"
    rows = [
        (1, 77, 501, path.format(77, 501, "1.2.1"), "2D", "L", "CC", "", 1, "[[5, 10, 25, 30]]"),
        (1, 77, 501, path.format(77, 501, "1.2.2"), "2D", "R", "CC", "", 0, ""),
        (1, 77, 501, path.format(77, 501, "1.2.3"), "cview", "L", "CC", "", 0, ""),
        (1, 77, 501, path.format(77, 501, "1.2.4"), "2D", "L", "CC", 1, 0, ""),
        (2, 78, 502, path.format(78, 502, "1.2.5"), "2D", "R", "MLO", 0, 0, ""),
    ]
    put_table(folder / "tables" / "EMBED_OpenData_metadata_reduced.csv", columns, rows)
    findings = [
        (77, 501, "L", "K", 0, 3, 1),
        (77, 501, "L", "P", "", 3, 2),
        (78, 502, "R", "A", "", 2, 1),
    ]
    put_table(
        folder / "tables" / "EMBED_OpenData_clinical_reduced.csv",
        "empi_anon,acc_anon,side,asses,path_severity,tissueden,numfind",
        findings,
    )
    for number, row in enumerate(rows):
        place = str(row[3]).removeprefix("/mnt/nas/")
        put(folder / place, film_file(number, str(row[5]), str(row[6])))
    return folder


OWN_MAPPING = """\
name = "clinic"
terms = { text = "Exams of our clinic, for research with consent.", redistribute = false, release_models = true }
files.header = { accession = "Accession", side = "Side" }
columns = { patient = "PatientNr", exam = "Accession", group = "Site" }
labels_of = "breast"
labels = [
  { label = "malignant", where = { Pathology = ["invasive", "in situ"] } },
  { label = "benign", where = { Pathology = "benign" } },
  { label = "normal", where = { Pathology = "", Recall = "no" } },
]
"""


def own_exams(folder: Path, **elements: Any) -> Path:
    """A hospital's own folder: DICOM exams as the archive exported them, a CSV by accession number and side, and a
    mapping of ten lines."""
    rows = [
        ("A100", "L", "4711", "invasive", "yes", "north"),
        ("A100", "R", "4711", "", "no", "north"),
        ("A200", "L", "4712", "benign", "yes", "south"),
        ("A200", "R", "4712", "", "no", "south"),
    ]
    put_table(folder / "results.csv", "Accession,Side,PatientNr,Pathology,Recall,Site", rows)
    put(folder / "clinic.toml", OWN_MAPPING.encode())
    for number, (accession, side, *_) in enumerate(rows):
        for view in ("CC", "MLO"):
            data = film_file(
                10 * number + len(view), side, view, AccessionNumber=accession, Manufacturer="HOLOGIC", **elements
            )
            put(folder / "exams" / accession / f"IM{number}{view}.dcm", data)
    return folder
