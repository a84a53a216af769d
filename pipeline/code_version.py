"""A version for the cache's key: the cache of TFX does not see changes of code."""

import functools
import hashlib
from pathlib import Path

import proganomaly.components

# What a component's result depends on beside its own folder.
_LIBRARIES = {
    "image_example_gen": ("images", "records"),
    "data_validation": ("images", "records"),
    "pyramid": ("images", "records"),
    "trainer": ("images", "records", "model"),
    "evaluator": ("images", "records", "metrics", "model"),
}


@functools.cache
def code_version(component: str) -> str:
    """Returns a hash of the sources that a component runs: its own and those of its libraries."""
    root = Path(proganomaly.components.__path__[0])
    files = [
        path
        for folder in (component, *_LIBRARIES[component])
        for path in (root / folder).rglob("*")
        if path.suffix in (".py", ".html")
    ]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(str(path.relative_to(root)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
