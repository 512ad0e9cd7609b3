"""What can be said of the images without an engine: which PyTorch they take, and what they leave of it."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.documentation import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["Dockerfile", "docker-compose.yml", "README.md", "docs/operations.md"])
def test_the_images_take_the_pytorch_of_constraints(name: str) -> None:
    """Where pip knows both builds, `==` takes the one with a tag: the one without has to be asked for with `===`."""
    (version,) = re.findall(r"^torch==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)

    named = re.findall(r"TORCH(?:=|: \$\{TORCH:-)(torch=+[\w.+]+)", (ROOT / name).read_text(encoding="utf-8"))

    assert named
    assert set(named) <= {f"torch=={version}+cpu", f"torch==={version}"}


@pytest.mark.parametrize("folders", [["include", "share", "test"], ["include", "share"]], ids=["cpu", "cuda"])
def test_what_nobody_imports_is_removed_from_either_build(tmp_path: Path, folders: list[str]) -> None:
    for folder in [*folders, "lib", "bin"]:
        (tmp_path / folder).mkdir()
    for name in ("protoc", "torch_shm_manager"):
        (tmp_path / "bin" / name).touch()
    (command,) = re.findall(r"^RUN cd \S+/site-packages/torch \\\n +&& (.+)$", DOCKERFILE, re.MULTILINE)

    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)

    assert sorted(path.name for path in tmp_path.rglob("*")) == ["bin", "lib", "torch_shm_manager"]


def test_no_version_of_pytorch_is_pinned_against_the_one_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "constraints.txt").write_text("sympy==1.14.0\ntorch==2.13.0\ntorchmetrics==1.0\n", encoding="utf-8")
    (command,) = re.findall(r"&& (sed .+ constraints\.txt) \\$", DOCKERFILE, re.MULTILINE)

    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)

    assert (tmp_path / "constraints.txt").read_text(encoding="utf-8") == "sympy==1.14.0\ntorchmetrics==1.0\n"
