"""The command `mammo evaluate`: which version it takes, what it prints, and that it can be repeated."""

import pytest

from services.train.external import write_report
from shared.errors import InputError, ModelNotFound, PlanError, RunError
from shared.evaluations import flow
from shared.store import models
from shared.store.directory import DirectoryStore
from tests.support.builders import model_card, small_manifest
from tests.support.commands import mammo
from tests.support.external import NETWORK, VERSION, judge, known_films, others, planned, published

CLINIC = ("evaluate", VERSION, "--dataset", "clinic")


@pytest.fixture
def clinic(store: DirectoryStore) -> DirectoryStore:
    """A store with a version and the films of a clinic, two of which are those of a patient that it has seen."""
    published(store)
    films = others(16)
    films[2:4] = [film.model_copy(update={"patient": "p005"}) for film in films[2:4]]
    known_films(store, "clinic", films)
    return store


class TestEvaluate:
    def test_it_is_enqueued_and_the_same_command_prints_its_figures(self, clinic: DirectoryStore) -> None:
        plan = planned(clinic)
        assert f"evaluation {plan.evaluation} of 14 films is enqueued" in mammo(*CLINIC)
        judge(clinic, plan)
        write_report(clinic, plan)
        told = mammo(*CLINIC, "--wait")
        assert "resnet50 v1, trained on small, on 14 films of" in told
        assert "left out: 2 films (1 patients that it has seen, 0 films that stand there twice), refused: 0" in told
        for line in ("by film", "by cross-validation", "at the operating point screening: sensitivity", "index.html"):
            assert line in told

    def test_a_unit_that_was_given_up_ends_waiting_with_the_reason(
        self, clinic: DirectoryStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        failed = flow.UnitFailure(unit="000000", code="model-corrupt", message="the graph is damaged.")
        monkeypatch.setattr(flow, "failures", lambda _store, _plan: [failed])
        with pytest.raises(RunError, match=r"unit 000000 of evaluation .* was given up: the graph is damaged\. Fix"):
            mammo(*CLINIC, "--wait")

    def test_a_version_of_several_networks_needs_the_network(self, clinic: DirectoryStore) -> None:
        models.publish(clinic, model_card("alexnet", VERSION), {})
        with pytest.raises(
            InputError, match="alexnet, resnet50 have a version 'v1'; choose one of them with --network"
        ):
            mammo(*CLINIC)
        assert "is enqueued" in mammo(*CLINIC, "--network", NETWORK)

    def test_an_alias_stands_for_its_version(self, clinic: DirectoryStore) -> None:
        with pytest.raises(ModelNotFound, match="no network has a version 'production'"):
            mammo("evaluate", "production", "--dataset", "clinic")
        models.promote(clinic, NETWORK, VERSION, models.MoveReason(by="test", why="test"))
        assert planned(clinic).evaluation in mammo("evaluate", "production", "--dataset", "clinic")

    def test_what_is_not_there_is_named(self, clinic: DirectoryStore) -> None:
        with pytest.raises(ModelNotFound, match="no network has a version 'v9'; `mammo models list` shows all"):
            mammo("evaluate", "v9", "--dataset", "clinic")
        with pytest.raises(PlanError, match="there is no data set 'town'"):
            mammo("evaluate", VERSION, "--dataset", "town")

    def test_a_data_set_of_films_that_it_has_seen_is_refused(self, clinic: DirectoryStore) -> None:
        known_films(clinic, "copy", [film for film in small_manifest().films if film.patient > "p002"])
        with pytest.raises(PlanError, match="all 12 films of data set copy are left out"):
            mammo("evaluate", VERSION, "--dataset", "copy")
