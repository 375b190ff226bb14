"""The command `mammo augment`: print a recipe or draw augmented variants."""

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

ProfileName = Annotated[str, typer.Option("--profile", help=f"Size of the run: {', '.join(PROFILES)}.")]
RecipeFile = Annotated[
    Path | None,
    typer.Option(
        "--recipe", help="Augmentation recipe, a TOML or JSON file (see `mammo augment`); replaces the profile's."
    ),
]


def augment(
    preview: Annotated[
        Path | None,
        typer.Option(help="Draw the variants of this film (PGM, PNG, JPEG, TIFF or DICOM)."),
    ] = None,
    recipe: RecipeFile = None,
    profile_name: ProfileName = "full",
    out: Annotated[Path, typer.Option(help="PNG file to write the drawing to.")] = Path("sheet.png"),
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of recipes.")] = False,
) -> None:
    """Print an augmentation recipe as JSON, or draw a film's augmented variants.

    Lesions are circled if an Info.txt in the format of MIAS is in the film's folder or its parent folder.
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
        raise InputError(
            "the augment service is not installed here; run this command in its container image or in a checkout"
        ) from None
    drawn = drawing.sheet(pixels, lesions, chosen, preview.stem)
    try:
        out.write_bytes(encode_png(drawn))
    except OSError as error:
        raise InputError(f"{out} can't be written ({error.strerror}); choose another file with --out") from None
    console.print(f"{drawing.shown(chosen)} of {chosen.variants} variants of recipe {chosen.id} drawn to {out}")


def read_recipe(file: Path) -> AugmentationRecipe:
    """Read an augmentation recipe from a TOML or JSON file.

    Raises:
        InputError: the file can't be read or is not a valid recipe.
    """
    return read_augmentation(_read(file), str(file))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"{file} can't be read ({error.strerror}); check the path and its permissions") from None
