"""Maps the repository's folders into the one package namespace, `proganomaly`.

`components/` is imported as `proganomaly.components`, `pipeline/` as `proganomaly.pipeline` and
`kubeflow/` as `proganomaly.kubeflow`. Everything declarative stands in `pyproject.toml`.
"""

from setuptools import find_packages, setup

FOLDERS = ("components", "pipeline", "kubeflow")

packages = []
for folder in FOLDERS:
    packages.append(f"proganomaly.{folder}")
    packages.extend(f"proganomaly.{folder}.{name}" for name in find_packages(folder))

setup(
    packages=packages,
    package_dir={f"proganomaly.{folder}": folder for folder in FOLDERS},
    package_data={
        "proganomaly.pipeline": ["presets/*.yaml", "schema/*.pbtxt"],
        "proganomaly.components.evaluator": ["templates/*.html"],
    },
)
