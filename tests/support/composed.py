"""The container engine of this machine, where it has one, and the stack of docker-compose.yml in it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from shared.local.broker import free_port
from shared.local.commands import ROOT


def _engine() -> str | None:
    """Why there is none, or None."""
    if shutil.which("docker") is None:
        return "no container engine on this machine"
    told = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if told.returncode or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        return "docker is here, but no engine answers, or it has no compose"
    return None


WHY_NOT = _engine()


class Compose:
    """A project of its own, so that a stack that runs here is left alone."""

    def __init__(self, folder: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        example = (ROOT / ".env.example").read_text().splitlines()
        keys = {
            name: f"mammo_{n:08x}_{'0123456789abcdef' * 3}" for n, name in enumerate(("METRICS_KEY", "MAMMO_API_KEY"))
        }
        secrets = {"REDIS_PASSWORD": "a" * 32, "S3_ACCESS_KEY": "b" * 20, "S3_SECRET_KEY": "c" * 32, **keys}
        filled = [f"{line}{secrets[line[:-1]]}" if line[:-1] in secrets else line for line in example]
        (folder / ".env").write_text("\n".join([*filled, f"INFERENCE_ADDRESS={self.address}"]))
        self.key = secrets["MAMMO_API_KEY"]
        self.command = ["docker", "compose", "--project-name", f"mammostack-test-{os.getpid()}"]
        self.command += ["--env-file", str(folder / ".env"), "--file", "docker-compose.yml"]
        self.command += ["--file", "deploy/docker/compose.standin.yml"]

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self.command, *arguments], cwd=ROOT, env=bare(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
        return done.stdout

    def mammo(self, *arguments: str) -> str:
        return self("exec", "-T", "augment", "./mammo", *arguments)

    def healthy(self) -> set[str]:
        rows = [json.loads(line) for line in self("ps", "--format", "json").splitlines()]
        return {row["Service"] for row in rows if row["Health"] == "healthy"}


def bare() -> dict[str, str]:
    """Compose prefers what is in the environment to what is in the file."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("REDIS_", "S3_", "AWS_", "MAMMO"))
    }
