"""The lock files hold every pin with hashes of files that we install, and set-up, images and CI install from them."""

import re
from importlib.metadata import PackageNotFoundError, requires

import pytest
from packaging.requirements import Requirement

from shared.local.commands import ROOT
from tests.release.lock import CONSTRAINTS, FROZEN, HEADER, LOCKS, fits, hashes, locked, normalised, pins

UNLOCKED = {"torch", "torchvision"}
EVERYTHING = [*LOCKS.values(), *FROZEN]


def named(file: str) -> set[str]:
    """The packages that a requirements file names, with those of the files that it refers to."""
    found = set[str]()
    for line in (ROOT / file).read_text().splitlines():
        if line.startswith("-r "):
            found |= named(str(((ROOT / file).parent / line[3:]).resolve().relative_to(ROOT)))
        elif line and not line.startswith(("#", "-")):
            found.add(line)
    return found


def closure(wanted: set[str]) -> set[str]:
    """These packages and all that they depend on here, as installed."""
    found, queue = set[str](), [Requirement(each) for each in wanted]
    seen = set[str]()
    while queue:
        wish = queue.pop()
        if str(wish) in seen:
            continue
        seen.add(str(wish))
        found.add(normalised(wish.name))
        try:
            needed = [Requirement(each) for each in requires(wish.name) or ()]
        except PackageNotFoundError:
            continue
        extras = wish.extras or {""}
        queue += [one for one in needed if not one.marker or any(one.marker.evaluate({"extra": e}) for e in extras)]
    return found


class TestLocks:
    @pytest.mark.parametrize("file", EVERYTHING)
    def test_each_pin_has_a_hash_and_no_address(self, file: str) -> None:
        text = (ROOT / file).read_text()
        assert pins(text).keys() == hashes(text).keys() != set()
        assert all(hashes(text).values())
        assert "://" not in text

    @pytest.mark.parametrize(("source", "lock"), LOCKS.items())
    def test_versions_are_those_of_the_constraints(self, source: str, lock: str) -> None:
        text = (ROOT / lock).read_text()
        assert text.startswith(HEADER.format(source=source))
        assert pins(text).items() <= pins(CONSTRAINTS.read_text()).items()

    @pytest.mark.parametrize(("source", "lock"), LOCKS.items())
    def test_a_lock_is_complete(self, source: str, lock: str) -> None:
        """It is installed without looking at dependencies, so what is missing there is missing."""
        missing = closure(named(source)) - UNLOCKED - pins((ROOT / lock).read_text()).keys()
        assert {name for name in missing if not re.match(r"nvidia-|cuda-|triton$|setuptools$", name)} == set()

    def test_one_lock_has_all_pins(self) -> None:
        everything = pins(CONSTRAINTS.read_text()).keys()
        assert everything - pins((ROOT / "requirements-dev.lock").read_text()).keys() == UNLOCKED

    def test_what_is_not_locked_has_a_file_of_its_own(self) -> None:
        assert {
            line for line in (ROOT / "requirements-torch.txt").read_text().splitlines() if line[0] not in "#-"
        } == UNLOCKED

    def test_set_up_and_images_install_with_hashes(self) -> None:
        made = (ROOT / "Makefile").read_text()
        recipe = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
        installs = [
            line for line in (made + recipe).splitlines() if "pip install" in line or " install ${PIP_ARGS}" in line
        ]
        unhashed = [line.strip() for line in installs if "--require-hashes" not in line]
        assert len(installs) > 10
        assert all("torch" in line or ".txt" not in line or "$(@D)" in line for line in unhashed), unhashed
        assert "requirements.txt" not in recipe

    @pytest.mark.parametrize(
        ("wheel", "wanted"),
        [
            ("a-1-py3-none-any.whl", True),
            ("a-1-py2.py3-none-any.whl", True),
            ("a-1-cp311-cp311-manylinux_2_28_x86_64.whl", True),
            ("a-1-cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", True),
            ("a-1-cp311-cp311-macosx_11_0_arm64.whl", True),
            ("a-1-cp312-cp312-manylinux_2_28_x86_64.whl", False),
            ("a-1-cp312-abi3-manylinux_2_28_x86_64.whl", False),
            ("a-1-cp39-cp39-manylinux_2_28_x86_64.whl", False),
            ("a-1-cp311-cp311-win_amd64.whl", False),
            ("a-1-cp311-cp311-musllinux_1_2_x86_64.whl", False),
            ("a-1-pp311-pypy311_pp73-manylinux_2_28_x86_64.whl", False),
        ],
    )
    def test_files_for_other_pythons_and_systems_are_left_out(self, wheel: str, wanted: bool) -> None:
        assert fits(wheel) is wanted

    def test_what_a_wheel_for_gpus_brings_is_left_out(self) -> None:
        def package(name: str, **more: str) -> dict[str, object]:
            return {
                "name": name,
                "version": "1",
                "sdist": {"url": f"{name}-1.tar.gz", "hashes": {"sha256": "0" * 64}},
                **more,
            }

        marked = package("b", marker="python_full_version < '3.11.3'")
        on_windows = package("c", marker="sys_platform == 'win32'")
        text = locked([package("a"), marked, on_windows, package("torch"), package("nvidia-cublas"), package("triton")])
        assert pins(text) == {"a": "1", "b": "1"}
        assert "b==1 ; python_full_version < '3.11.3' \\\n    --hash=sha256:" in text
