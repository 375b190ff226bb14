"""The gateway over S3 asks for nothing that its policy does not allow."""

import subprocess
from datetime import date
from pathlib import Path

import boto3
import pytest

from services.gateway.films import read_header
from services.gateway.transport.scu import DicomNode, Peer
from shared.datasets.synthetic_dicom import exam_films
from shared.local.commands import gateway_command
from tests.support.gateway import changed
from tests.support.pacs import ArchiveProcess, running_gateway, wait_for
from tests.support.policies import allows
from tests.support.published import KEY
from tests.support.recording_s3 import RecordingS3
from tests.support.servers import running_broker
from tests.support.serving import published, running_service

TODAY = date(2026, 11, 30)


class TestRights:
    def test_what_the_gateway_asks_of_the_store_is_what_its_policy_allows(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "tests")
        films = list(exam_films(2, 7, TODAY))
        strange = [changed(films[0], StudyInstanceUID="1.2.3.4", SOPInstanceUID="1.2.3.4.5", BitsAllocated=7)]
        archive = ArchiveProcess(tmp_path / "archive")
        archive.start()
        with (
            RecordingS3() as s3,
            running_broker() as redis,
            running_service(published(tmp_path / "models"), tmp_path) as served,
        ):
            boto3.client("s3", endpoint_url=s3.url, region_name="us-east-1").create_bucket(Bucket="films")
            variables = {
                "MAMMO_STORE": "s3://films",
                "MAMMO_S3_ENDPOINT_URL": s3.url,
                "AWS_ACCESS_KEY_ID": "gateway",
                "MAMMO_REDIS_URL": redis,
                "MAMMO_INFERENCE_URL": served.url,
                "MAMMO_API_KEY": KEY,
                "MAMMO_PACS_DEST": archive.url,
                "MAMMO_TASK_RETRIES": "0",
            }
            with running_gateway(tmp_path / "gateway", **variables) as gateway:
                peer = Peer("MAMMOSTACK", "127.0.0.1", gateway.dicom_port, "UNIT")
                DicomNode("gateway", peer).send_files(
                    [(read_header(film).sop_class, "film", film) for film in (*films, *strange)]
                )
                study = read_header(films[0]).study_uid
                wait_for(lambda: len(archive.client.instances(study) or ()) >= 6, 60, lambda: gateway.log[-3000:])
                for command in ("status", "retry"):
                    subprocess.run(gateway_command(command), env=gateway.environment, cwd=tmp_path, check=True)
        archive.kill()
        asked = {request for request in s3.asked if request[0] == "gateway"}
        assert {(method, key.partition("/")[0]) for _, method, key, _ in asked} >= {
            ("PUT", "gateway"),
            ("GET", "gateway"),
            ("DELETE", "gateway"),
            ("PUT", "self-test"),
        }
        refused = sorted(request for request in asked if not allows(*request))
        assert not refused, "\n".join(map(str, refused))
