"""Grayscale Softcopy Presentation State: breast outlines and words over the films, for viewers that show it."""

import numpy as np
from highdicom import PresentationLUTTransformation, pr
from highdicom.content import ReferencedImageSequence
from pydicom.dataset import Dataset

from services.gateway.objects import modules
from services.gateway.objects.heat import outline_of
from services.gateway.objects.wording import film_words
from services.gateway.report import Report, ReportedFilm

_LAYER = pr.GraphicLayer("MAMMOSTACK", order=1, description="Breast outline. For research only.")


def build(report: Report) -> Dataset | None:
    """Build the presentation state; None if no film has an outline."""
    films = [film for film in report.films if film.applies and outline_of(film)]
    if not films:
        return None
    elements = [film.header.elements for film in films]
    found = pr.GrayscaleSoftcopyPresentationState(
        referenced_images=elements,
        series_instance_uid="1.2",  # `finish_object` sets what identifies it
        series_number=1,
        sop_instance_uid="1.2",
        instance_number=1,
        manufacturer=modules.MANUFACTURER,
        manufacturer_model_name=modules.MODEL_NAME,
        software_versions=report.model.version,
        device_serial_number="0",
        content_label="MAMMOSTACK",
        content_description="Breast outlines. For research only.",
        graphic_annotations=[_annotation(film) for film in films],
        graphic_layers=[_LAYER],
        voi_lut_transformations=_windows(elements),
        presentation_lut_transformation=PresentationLUTTransformation(presentation_lut_shape="IDENTITY"),
    )
    modules.finish_object(found, report, "gsps", [film.header for film in films])
    found.Laterality = ""  # the series is of both breasts
    found.PresentationCreationDate, found.PresentationCreationTime = found.ContentDate, found.ContentTime
    del found.ContentDate, found.ContentTime  # no part of this kind
    return found


def _annotation(film: ReportedFilm) -> pr.GraphicAnnotation:
    outline = pr.GraphicObject(
        graphic_type=pr.GraphicTypeValues.POLYLINE,
        graphic_data=np.array(outline_of(film)),
        units=pr.AnnotationUnitsValues.PIXEL,
    )
    words = pr.TextObject(
        text_value=f"{film_words(film)} - research only"[:1024],
        units=pr.AnnotationUnitsValues.DISPLAY,
        bounding_box=(0.02, 0.02, 0.98, 0.06),
    )
    return pr.GraphicAnnotation(
        referenced_images=[film.header.elements],
        graphic_layer=_LAYER,
        graphic_objects=[outline],
        text_objects=[words],
    )


def _windows(films: list[Dataset]) -> list[pr.SoftcopyVOILUTTransformation]:
    """Return the first window of each film: a state without one would show the films' full range."""
    found = []
    for film in films:
        centre, width = film.get("WindowCenter"), film.get("WindowWidth")
        if centre is None or width is None:
            continue
        first = [float(each if isinstance(each, int | float | str) else each[0]) for each in (centre, width)]
        found.append(
            pr.SoftcopyVOILUTTransformation(
                window_center=first[0],
                window_width=first[1],
                voi_lut_function=film.get("VOILUTFunction", "LINEAR"),
                referenced_images=ReferencedImageSequence([film]),
            )
        )
    return found
