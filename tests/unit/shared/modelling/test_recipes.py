"""Recipes: an id that changes with the content, and names that are known or refused with those that are."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from shared.errors import InputError, PlanError
from shared.modelling.network_table import NETWORKS, as_network
from shared.modelling.profiles import PROFILES, profile
from shared.modelling.recipes import PROTOCOLS, AugmentationRecipe, TrainingRecipe, as_protocol, read_augmentation

RECIPE = AugmentationRecipe(name="test", variants=3)
CHANGES = {
    "name": "other",
    "seed": 1,
    "variants": 4,
    "rotation_deg": 10.0,
    "shift": 0.1,
    "elastic": 0.02,
    "brightness": 0.2,
    "contrast": 0.2,
    "mirror": False,
    "upside_down": True,
}


class TestAsProtocol:
    @pytest.mark.parametrize("name", PROTOCOLS)
    def test_a_protocol_is_known_by_its_name(self, name: str) -> None:
        assert as_protocol(name) == name


class TestAugmentationRecipe:
    def test_the_same_content_is_the_same_id_for_ever(self) -> None:
        assert AugmentationRecipe.model_validate_json(RECIPE.model_dump_json()).id == RECIPE.id
        # Keys of existing stores carry this id: when it changes, their films are made again.
        assert AugmentationRecipe(name="test", variants=2).id == "test-f198d93e"

    @pytest.mark.parametrize(
        ("file", "document"),
        [
            ("mine.toml", b'name = "mine"\nvariants = 3\nelastic = 0.02\nmirror = false\n'),
            ("mine.json", b'{"name": "mine", "variants": 3, "elastic": 0.02, "mirror": false}'),
        ],
    )
    def test_a_recipe_is_read_from_toml_and_json(self, file: str, document: bytes) -> None:
        assert read_augmentation(document, file) == AugmentationRecipe(
            name="mine", variants=3, elastic=0.02, mirror=False
        )


class TestReadAugmentation:
    @pytest.mark.parametrize(
        ("document", "wrong"),
        [
            (b"", "name: field required; variants: field required"),
            (b'name = "x"\nvariants = 2\nzoom = 3\n', "zoom: extra inputs are not permitted"),
            (
                b'name = "x"\nvariants = 2\nrotation_deg = 400\n',
                "rotation_deg: input should be less than or equal to 180",
            ),
            (b"{}", "neither TOML nor"),
            (b"\xff\xfe", "neither TOML nor"),
        ],
    )
    def test_a_file_that_is_no_recipe_is_refused_with_what_is_wrong(self, document: bytes, wrong: str) -> None:
        with pytest.raises(InputError, match=r"see `mammo augment --schema`") as refused:
            read_augmentation(document, "mine.toml")
        assert wrong in str(refused.value)
        assert "mine.toml" in str(refused.value)

    @pytest.mark.parametrize("document", [b"[1]", b"[" * 100_000, b'name = "x"'])
    def test_json_that_is_no_recipe_is_refused(self, document: bytes) -> None:
        with pytest.raises(InputError, match=r"mine\.json"):
            read_augmentation(document, "mine.json")


class TestRecipeIds:
    def test_a_change_of_every_field_is_tried(self) -> None:
        assert set(CHANGES) == set(AugmentationRecipe.model_fields)

    @pytest.mark.parametrize("change", CHANGES.items(), ids=CHANGES)
    def test_another_content_is_another_id(self, change: tuple[str, Any]) -> None:
        other = RECIPE.model_copy(update=dict([change]))
        assert other.id != RECIPE.id
        assert other.segmented_id != RECIPE.segmented_id

    def test_another_version_of_the_code_is_another_id(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = RECIPE.id, RECIPE.segmented_id
        monkeypatch.setattr("shared.modelling.recipes.SEGMENTATION_VERSION", 1000)
        assert RECIPE.id == before[0]
        assert RECIPE.segmented_id != before[1]
        monkeypatch.setattr("shared.modelling.recipes.AUGMENTATION_VERSION", 1000)
        assert RECIPE.id != before[0]

    @pytest.mark.parametrize("name", NETWORKS)
    def test_a_network_is_known_by_its_name(self, name: str) -> None:
        assert as_network(name) == name

    @pytest.mark.parametrize(
        ("look_up", "known"), [(as_network, NETWORKS), (as_protocol, PROTOCOLS), (profile, tuple(PROFILES))]
    )
    @pytest.mark.parametrize("name", ["", "vgg16", "ResNet50", "Patient"])
    def test_an_unknown_name_is_refused_with_those_that_there_are(
        self, look_up: Callable[[str], object], known: tuple[str, ...], name: str
    ) -> None:
        with pytest.raises(PlanError, match=f"'{name}'; choose") as refused:
            look_up(name)
        assert all(choice in str(refused.value) for choice in known)

    @pytest.mark.parametrize(
        ("model", "values"),
        [
            (AugmentationRecipe, {"name": "x", "variants": 0}),
            (AugmentationRecipe, {"name": "x", "variants": 2, "rotation_deg": 200}),
            (AugmentationRecipe, {"name": "x", "variants": 2, "brightness": 1}),
            (AugmentationRecipe, {"name": "x", "variants": 2, "zoom": 1.5}),
            (AugmentationRecipe, {"name": "x", "variants": 2, "elastic": 0.04}),
            (AugmentationRecipe, {"name": "x/y", "variants": 2}),
            (AugmentationRecipe, {"name": "", "variants": 2}),
            (TrainingRecipe, {"input_size": 32, "epochs": 1}),
            (TrainingRecipe, {"input_size": 64, "epochs": 0}),
            (TrainingRecipe, {"input_size": 64, "epochs": 1, "batch_size": 1}),
            (TrainingRecipe, {"input_size": 64, "epochs": 1, "learning_rate": 0}),
            (TrainingRecipe, {"input_size": 64, "epochs": 1, "stage_rate": 0}),
            (TrainingRecipe, {"input_size": 64, "epochs": 1, "frozen": -1}),
            (TrainingRecipe, {"input_size": 64, "epochs": 1, "precision": "float16"}),
            (TrainingRecipe, {"input_size": 64, "epochs": 1, "jitter": {"shift": 0.6}}),
            (TrainingRecipe, {"input_size": 64, "epochs": 1, "jitter": {"elastic": 0.1}}),
        ],
    )
    def test_a_recipe_that_makes_no_sense_is_refused(
        self, model: type[AugmentationRecipe | TrainingRecipe], values: dict[str, Any]
    ) -> None:
        with pytest.raises(ValidationError):
            model(**values)

    def test_recipes_can_not_be_changed(self) -> None:
        with pytest.raises(ValidationError, match="frozen"):
            RECIPE.variants = 5  # type: ignore[misc]


class TestTrainingRecipe:
    @pytest.mark.parametrize(
        ("knobs", "complaint"),
        [
            ({"frozen": 3, "jitter": {"contrast": 0.1}}, "frozen stages"),
            ({"lesion_weight": 1, "jitter": {"rotation_deg": 5}}, "lesion positions do not follow"),
            ({"regression": 0.01, "frozen": 7, "last_stage": "layer3"}, "the regression is fitted"),
            ({"regression": 0.01, "frozen": 3, "last_stage": "layer3", "lesion_weight": 1}, "the regression is fitted"),
            ({"regression": 0.01, "frozen": 7, "lesion_weight": 1}, "the regression is fitted"),
        ],
    )
    def test_a_recipe_whose_knobs_contradict_each_other_is_refused(
        self, knobs: dict[str, object], complaint: str
    ) -> None:
        with pytest.raises(ValidationError, match=complaint):
            TrainingRecipe.model_validate({"input_size": 64, "epochs": 1, **knobs})
