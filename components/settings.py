"""Settings to and from the one JSON text that a component receives as its execution property.

Keys are sorted, so equal settings are equal texts and TFX's cache stays stable.
"""

import json
from typing import Any, TypeVar

from pydantic import TypeAdapter

SettingsT = TypeVar("SettingsT")


def to_json(settings: Any) -> str:
    """Returns the settings dataclass as JSON with sorted keys."""
    adapter = TypeAdapter(type(settings))
    return json.dumps(adapter.dump_python(settings, mode="json"), sort_keys=True)


def from_json(settings_class: type[SettingsT], text: str) -> SettingsT:
    """Rebuilds the settings dataclass from `to_json`'s text.

    Raises:
        pydantic.ValidationError: the text does not describe such settings.
    """
    return TypeAdapter(settings_class).validate_json(text)
