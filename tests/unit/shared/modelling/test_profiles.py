"""Profiles: each is complete, and none shares its films with another."""

import pytest

from shared.modelling.network_table import NETWORKS
from shared.modelling.profiles import PROFILES, Profile, augmented_in_loader, profile
from shared.store.layout import check_name


class TestProfiles:
    @pytest.mark.parametrize("name", PROFILES)
    def test_a_profile_is_complete_and_found_by_its_name(self, name: str) -> None:
        found = profile(name)
        assert found.name == name
        assert tuple(found.training) == NETWORKS
        for recipe in found.training.values():
            assert recipe.head_epochs < recipe.epochs
        assert Profile.model_validate_json(found.model_dump_json()) == found

    @pytest.mark.parametrize("name", PROFILES)
    def test_the_network_without_pretrained_weights_has_no_epochs_for_its_head_alone(self, name: str) -> None:
        assert PROFILES[name].training["modified_cnn"].head_epochs == 0

    @pytest.mark.parametrize("name", PROFILES)
    def test_ids_are_good_for_a_key_and_begin_with_the_profile(self, name: str) -> None:
        recipe = PROFILES[name].augmentation
        assert check_name("recipe", recipe.segmented_id).startswith(f"{recipe.id}-seg")
        assert recipe.id.startswith(f"{name}-")

    @pytest.mark.parametrize("name", PROFILES)
    def test_in_the_loader_films_change_within_the_limits_of_the_augmentation(self, name: str) -> None:
        before, after = PROFILES[name], augmented_in_loader(PROFILES[name])
        assert after.augmentation == before.augmentation.model_copy(update={"variants": 1})
        assert Profile.model_validate_json(after.model_dump_json()) == after
        for network, recipe in after.training.items():
            own = before.training[network]
            assert recipe.model_copy(update={"jitter": own.jitter}) == own
            jitter = recipe.jitter
            assert bool(jitter.brightness) == (not own.frozen)
            assert jitter.moves == (not own.frozen and not own.lesion_weight)
            assert jitter.rotation_deg in (0, before.augmentation.rotation_deg)
        assert augmented_in_loader(after) == after

    def test_no_two_profiles_share_their_films(self) -> None:
        assert len({profile.augmentation.id for profile in PROFILES.values()}) == len(PROFILES)
