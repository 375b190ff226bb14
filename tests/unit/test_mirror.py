"""Each larger module has its tests at its own place below tests/unit, or is listed here with the tests that hold it."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "tests" / "unit"
MOST_LINES = 80
"""Of a module whose tests may be those of the modules that use it."""

ELSEWHERE = {
    "services/gateway/inbox.py": (
        "tests/unit/services/gateway/test_flow.py",
        "what waits is judged by what becomes of it",
    ),
    "services/gateway/local_archive.py": (
        "tests/integration/gateway/test_gateway.py",
        "the archive of the demo, which those tests run against",
    ),
    "services/gateway/outbox.py": (
        "tests/unit/services/gateway/test_flow.py",
        "what waits is judged by what becomes of it",
    ),
    "services/gateway/service.py": (
        "tests/integration/gateway/test_gateway.py",
        "the threads of the service, which run there",
    ),
    "services/gateway/tasks.py": (
        "tests/integration/gateway/test_gateway.py",
        "units of the queue, which workers do there",
    ),
    "services/gateway/transport/scp.py": (
        "tests/unit/services/gateway/transport/test_dicom.py",
        "both ends of an association are tested together",
    ),
    "services/gateway/transport/scu.py": (
        "tests/unit/services/gateway/transport/test_dicom.py",
        "both ends of an association are tested together",
    ),
    "shared/retention/references.py": (
        "tests/unit/shared/retention/test_collection.py",
        "what is referred to is judged by what is not removed",
    ),
    "shared/store/interface.py": (
        "tests/unit/shared/store/test_objects.py",
        "an interface, which one suite holds over both stores",
    ),
    "shared/queue/messages.py": (
        "tests/unit/shared/queue/test_broker.py",
        "names of queues and tasks, as the broker gets them",
    ),
    "services/gateway/films.py": (
        "tests/unit/services/gateway/test_eligibility.py",
        "what is read of a film is judged by what it decides",
    ),
    "services/gateway/objects/cad_sr.py": (
        "tests/unit/services/gateway/objects/test_reports.py",
        "one suite holds both kinds of reports by golden files",
    ),
    "services/gateway/objects/content.py": (
        "tests/unit/services/gateway/objects/test_reports.py",
        "items of a content tree, as the golden files hold them",
    ),
    "services/gateway/objects/measurement_report.py": (
        "tests/unit/services/gateway/objects/test_reports.py",
        "one suite holds both kinds of reports by golden files",
    ),
    "services/gateway/objects/modules.py": (
        "tests/unit/services/gateway/objects/test_pictures.py",
        "elements that all objects share",
    ),
    "services/gateway/objects/picture.py": (
        "tests/unit/services/gateway/objects/test_pictures.py",
        "one suite holds all that shows a decision",
    ),
    "services/gateway/objects/presentation_state.py": (
        "tests/unit/services/gateway/objects/test_pictures.py",
        "one suite holds all that shows a decision",
    ),
    "services/gateway/report.py": (
        "tests/unit/services/gateway/objects/test_reports.py",
        "what the objects are made of",
    ),
    "services/inference/api/kserve_v1.py": (
        "tests/unit/services/inference/api/test_protocols.py",
        "one suite asks the same of all protocols",
    ),
    "services/inference/api/open_inference.py": (
        "tests/unit/services/inference/api/test_protocols.py",
        "one suite asks the same of all protocols",
    ),
    "services/inference/api/openapi_examples.py": (
        "tests/unit/services/inference/api/test_openapi.py",
        "examples alone, each of which must be what the document says",
    ),
    "services/inference/service.py": (
        "tests/unit/services/inference/test_app.py",
        "the service behind the application, which is asked over HTTP",
    ),
    "services/inference/tasks.py": (
        "tests/unit/services/inference/test_batches.py",
        "the task of a worker: its parts are tested with the predictions of a batch",
    ),
    "services/train/tasks.py": (
        "tests/integration/test_pipeline.py",
        "tasks of a worker that call what has its own tests; a run over a real broker does them all",
    ),
    "shared/api/batches.py": (
        "tests/unit/services/inference/api/test_batches.py",
        "fields alone, as the API takes and gives them",
    ),
    "shared/api/predictions.py": (
        "tests/unit/services/inference/api/test_predictions.py",
        "fields alone, as the API takes and gives them",
    ),
    "shared/api/protocols.py": (
        "tests/unit/services/inference/api/test_protocols.py",
        "fields alone, as the API takes and gives them",
    ),
    "shared/cli/batches.py": ("tests/integration/test_batches.py", "commands that need a running service"),
    "shared/cli/pretrained.py": (
        "tests/unit/shared/cli/test_runs.py",
        "choices of weights are options of the commands that begin runs",
    ),
    "shared/cli/serving.py": ("tests/integration/test_start.py", "commands that start processes"),
    "shared/datasets/mapped.py": (
        "tests/unit/shared/datasets/test_mapping.py",
        "a source that follows a mapping",
    ),
    "shared/datasets/readers/cbis_ddsm.py": (
        "tests/unit/shared/datasets/test_public_sets.py",
        "one suite reads all public data sets",
    ),
    "shared/datasets/survey.py": (
        "tests/unit/shared/datasets/test_public_sets.py",
        "one suite reads all public data sets",
    ),
    "shared/datasets/phantom.py": (
        "tests/unit/shared/datasets/test_synthetic.py",
        "films are judged as they are drawn",
    ),
    "shared/datasets/phantom_lesions.py": (
        "tests/unit/shared/datasets/test_synthetic.py",
        "lesions are judged on the films that they are drawn into",
    ),
    "shared/datasets/phantom_tissue.py": (
        "tests/unit/shared/datasets/test_synthetic.py",
        "tissue is judged on the films that it is drawn into",
    ),
    "shared/datasets/phantom_views.py": (
        "tests/unit/shared/datasets/test_synthetic_exams.py",
        "films are judged as they are drawn",
    ),
    "shared/datasets/synthetic_dicom.py": (
        "tests/unit/services/gateway/test_eligibility.py",
        "files of the gateway, by which its films are made",
    ),
    "shared/imaging/formats/codecs.py": (
        "tests/unit/shared/imaging/formats/test_dicom.py",
        "frames are decoded out of the files that hold them",
    ),
    "shared/imaging/formats/stored_values.py": (
        "tests/unit/shared/imaging/formats/test_dicom.py",
        "headers are read out of the files that hold them",
    ),
    "shared/imaging/segmentation/breast.py": (
        "tests/unit/shared/imaging/segmentation/test_segment.py",
        "one of the steps of a segmentation, which is judged as a whole",
    ),
    "shared/imaging/segmentation/pectoral.py": (
        "tests/unit/shared/imaging/segmentation/test_segment.py",
        "one of the steps of a segmentation, which is judged as a whole",
    ),
    "shared/queue/celery_app.py": ("tests/unit/services/test_workers.py", "options that all workers share"),
    "shared/store/ingest_units.py": (
        "tests/unit/shared/store/test_ingest.py",
        "the steps of an ingest, as whole ingests show them",
    ),
    "shared/settings/groups.py": ("tests/unit/shared/settings/test_read.py", "fields alone, which are read there"),
    "shared/settings/processes.py": ("tests/unit/shared/settings/test_read.py", "fields alone, which are read there"),
    "shared/settings/serving.py": ("tests/unit/shared/settings/test_read.py", "fields alone, which are read there"),
}
"""By module: where its tests are, and why there."""


def mirror_of(module: Path) -> Path:
    """Where the tests of a module belong."""
    place = module.relative_to(ROOT)
    return UNIT / place.parent / f"test_{place.stem.replace('.', '_')}.py"


def larger_modules() -> list[Path]:
    modules = [path for folder in ("services", "shared") for path in (ROOT / folder).rglob("*.py")]
    return [path for path in modules if len(path.read_text().splitlines()) > MOST_LINES]


class TestMirror:
    def test_a_larger_module_has_its_tests_or_is_listed(self) -> None:
        modules = larger_modules()
        assert len(modules) > 60
        missing = {str(module.relative_to(ROOT)) for module in modules if not mirror_of(module).exists()}
        assert missing - set(ELSEWHERE) == set()

    @pytest.mark.parametrize("module", ELSEWHERE)
    def test_what_is_listed_is_there_and_has_no_tests_of_its_own(self, module: str) -> None:
        tests, reason = ELSEWHERE[module]
        assert (ROOT / module).exists()
        assert not mirror_of(ROOT / module).exists()
        assert (ROOT / tests).exists()
        assert reason
