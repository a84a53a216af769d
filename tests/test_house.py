"""What holds for the repository as a whole: names, lock, sizes."""

import ast
import re
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
import tomli
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("components", "pipeline", "kubeflow")
MODULES_WITHOUT_TENSORFLOW = [
    "proganomaly.pipeline.cli",
    "proganomaly.components.errors",
    "proganomaly.components.images.spec",
    *(
        f"proganomaly.components.{path.parent.name}.settings"
        for path in ROOT.glob("components/*/settings.py")
    ),
]


@cache
def sources():
    """All own Python files: those that git knows of, or would if they were added."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    paths = [ROOT / name for name in names]
    return [path for path in paths if path.exists()]


def python(code, folder):
    """Runs `code` in a process of its own, in an empty folder, and returns what it printed."""
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("name", FOLDERS)
def test_packages_are_reachable_under_the_namespace_alone(name, tmp_path):
    namespaced = python(f"import proganomaly.{name} as package; print(package.__file__)", tmp_path)
    assert namespaced.stdout.strip() == str(ROOT / name / "__init__.py"), namespaced.stderr
    bare = python(f"import {name}", tmp_path)
    assert bare.returncode == 1
    assert f"No module named '{name}'" in bare.stderr


def test_version_and_entry_point_are_installed():
    declared = tomli.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert metadata.version("proganomaly") == declared["version"]
    scripts = metadata.distribution("proganomaly").entry_points.select(group="console_scripts")
    assert [(script.name, script.value) for script in scripts] == [
        ("proganomaly", "proganomaly.pipeline.cli:main")
    ]


def test_no_file_imports_a_bare_package():
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}:{node.lineno} imports relatively"
                names = [node.module]
            for name in names:
                assert name.partition(".")[0] not in FOLDERS, f"{path}:{node.lineno} imports bare {name}"


@pytest.mark.parametrize("module", MODULES_WITHOUT_TENSORFLOW)
def test_module_imports_without_tensorflow(module, tmp_path):
    heavy = "'tensorflow', 'keras', 'tfx', 'apache_beam', 'tensorflow_transform', 'tensorflow_model_analysis'"
    result = python(f"import sys, {module}; print([m for m in ({heavy}) if m in sys.modules])", tmp_path)
    assert result.stdout.strip() == "[]", result.stderr


def test_files_stay_short():
    long = {str(path.relative_to(ROOT)): lines for path in sources() if (lines := _lines(path)) >= 400}
    assert not long


def test_test_files_have_unique_names_and_no_packages():
    names = [
        path.name for path in sources() if path.is_relative_to(ROOT / "tests") and path.name != "conftest.py"
    ]
    assert "__init__.py" not in names
    assert len(names) == len(set(names))


def test_every_locked_requirement_is_hashed_and_names_no_address():
    text = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"://|@|--(index|find|extra|trusted)", text)
    requirements = _locked_lines()
    assert len(requirements) > 200
    for line in requirements:
        assert re.fullmatch(r"[\w.-]+(\[[\w,-]+\])?==\S+( ; .+?)?( --hash=sha256:[0-9a-f]{64})+", line), line


def test_lock_satisfies_what_pyproject_declares():
    locked = {}
    for line in _locked_lines():
        requirement = Requirement(line.partition(" --hash")[0])
        locked[requirement.name.lower()] = str(requirement.specifier).removeprefix("==")
    project = tomli.loads((ROOT / "pyproject.toml").read_text())["project"]
    for declared in project["dependencies"] + project["optional-dependencies"]["dev"]:
        requirement = Requirement(declared)
        version = locked[requirement.name.lower()]
        assert requirement.specifier.contains(version, prereleases=True), (
            f"run `make lock`: {declared}, locked {version}"
        )


def test_environment_is_the_locked_one():
    for name in ("tensorflow", "keras", "apache-beam", "tfx", "numpy", "protobuf"):
        assert any(
            line.startswith((f"{name}=={metadata.version(name)} ", f"{name}[")) for line in _locked_lines()
        )


def _lines(path):
    return len(path.read_text().splitlines())


def _locked_lines():
    """One line per requirement, its hashes on the same line, without comments."""
    text = (ROOT / "requirements.lock").read_text().replace("\\\n", " ")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]
