"""scripts/release.sh: the tag of a version is made once, of a commit whose changelog dates it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import pyvda

SCRIPT = Path(__file__).parents[1] / "scripts/release.sh"
pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@localhost")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, text=True, capture_output=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for folder in ("scripts", "pyvda"):
        (tmp_path / folder).mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts")
    (tmp_path / "pyvda/__init__.py").write_text('__version__ = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [1.2.3] - 2026-11-30\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return tmp_path


def release(folder: Path) -> subprocess.CompletedProcess[str]:
    identity = {f"GIT_{who}_{what}": "a@localhost" for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")}  # fmt: skip
    return subprocess.run(
        ["scripts/release.sh", "--tag"], cwd=folder, text=True, capture_output=True,
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(folder), **identity},
    )  # fmt: skip


def test_a_version_is_tagged_once(repository: Path) -> None:
    assert release(repository).stdout == "release: tagged v1.2.3\n"
    assert git(repository, "cat-file", "-t", "v1.2.3") == "tag"
    tagged = git(repository, "rev-list", "-1", "v1.2.3")
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "second")
    again = release(repository)
    assert (again.returncode, "exists" in again.stdout) == (0, True)
    assert git(repository, "rev-list", "-1", "v1.2.3") == tagged


@pytest.mark.parametrize("heading", ["## [Unreleased]", "## [1.2.3]", "## [1.2.30] - 2026-11-30"])
def test_a_version_without_a_date_is_not_tagged(repository: Path, heading: str) -> None:
    (repository / "CHANGELOG.md").write_text(f"# Changelog\n\n{heading}\n")
    git(repository, "commit", "--quiet", "--all", "--message", "undated")
    done = release(repository)
    assert (done.returncode, "no dated heading for 1.2.3" in done.stdout) == (0, True)
    assert not git(repository, "tag")


def test_uncommitted_changes_are_not_tagged(repository: Path) -> None:
    (repository / "CHANGELOG.md").write_text("## [1.2.3] - 2026-11-30\nmore\n")
    done = release(repository)
    assert (done.returncode, "uncommitted changes" in done.stderr) == (2, True)
    assert not git(repository, "tag")


def test_the_script_reads_the_version_of_the_package(repository: Path) -> None:
    shutil.copy(pyvda.__file__, repository / "pyvda/__init__.py")
    (repository / "CHANGELOG.md").write_text(f"## [{pyvda.__version__}] - 2026-11-30\n")
    git(repository, "commit", "--quiet", "--all", "--message", "the package's")
    assert release(repository).stdout == f"release: tagged v{pyvda.__version__}\n"
