"""The command that shows what an augmentation recipe is, and what it makes of a film."""

import importlib
from pathlib import Path
from typing import Annotated

import typer

from shared.cli.console import console
from shared.datasets.mias import lesions_near
from shared.errors import InputError
from shared.imaging.formats.decode import decode, encode_png
from shared.imaging.image import to_8bit
from shared.modelling.profiles import PROFILES, profile
from shared.modelling.recipes import AugmentationRecipe, read_augmentation

ProfileName = Annotated[str, typer.Option("--profile", help=f"How much work: {', '.join(PROFILES)}.")]
RecipeFile = Annotated[
    Path | None,
    typer.Option(
        "--recipe", help="Augment by this recipe, a TOML or JSON file (`mammo augment`), and not by the profile's."
    ),
]


def augment(
    preview: Annotated[
        Path | None,
        typer.Option(help="Draw the variants of this film: PGM, PNG, JPEG, TIFF, DICOM. Lesions are from an Info.txt."),
    ] = None,
    recipe: RecipeFile = None,
    profile_name: ProfileName = "full",
    out: Annotated[Path, typer.Option(help="Where the drawing goes, a PNG file.")] = Path("sheet.png"),
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of recipes.")] = False,
) -> None:
    """Print an augmentation recipe as JSON, to begin one of your own with, or draw what it makes of a film.

    Lesions are circled where an Info.txt as that of MIAS lies beside the film or one folder above.
    """
    if schema:
        console.print_json(data=AugmentationRecipe.model_json_schema())
        return
    chosen = profile(profile_name).augmentation if recipe is None else read_recipe(recipe)
    if preview is None:
        console.print_json(chosen.model_dump_json())
        return
    pixels = to_8bit(decode(_read(preview)))
    lesions = lesions_near(preview, *pixels.shape[::-1])
    try:
        # by its name, as workers are started: services are above the command line
        drawing = importlib.import_module("services.augment.preview")
    except ModuleNotFoundError:
        raise InputError("the augment service is not installed here; run this in its image or the checkout") from None
    drawn = drawing.sheet(pixels, lesions, chosen, preview.stem)
    try:
        out.write_bytes(encode_png(drawn))
    except OSError as error:
        raise InputError(f"{out} can't be written ({error.strerror}); name another file with --out") from None
    console.print(f"{drawing.shown(chosen)} of {chosen.variants} variants by recipe {chosen.id} are drawn in {out}")


def read_recipe(file: Path) -> AugmentationRecipe:
    """Raises InputError."""
    return read_augmentation(_read(file), str(file))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"{file} can't be read ({error.strerror}); name another file") from None
