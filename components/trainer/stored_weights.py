"""Variables in files with a manifest that says what they are and proves that they are whole.

TensorFlow writes `<path>.data-*` and `<path>.index`; the manifest `<path>.json` comes last, in one piece,
with the checksums of the others. What has no manifest was never finished; what differs from it is damaged.
"""

import dataclasses
import hashlib
import json

import keras
import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.files import write_atomic
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.networks import Networks
from proganomaly.components.model.settings import NetworkSettings
from proganomaly.components.settings import from_json, to_json

SUFFIX = ".json"
_BLOCK_BYTES = 1 << 22


class DamagedError(Exception):
    """Stored weights that are not what was written; the message says where."""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What stored weights are.

    Attributes:
        images_seen: Images that the networks have seen.
        resolution: Resolution that they were trained at last; 0 for none.
        networks: Settings of the networks, with every None filled in.
        spec: What the networks take.
        files: SHA-256 by what stands behind the common path of the files.
    """

    images_seen: int
    resolution: int
    networks: NetworkSettings
    spec: ImageSpec
    files: dict[str, str] = dataclasses.field(default_factory=dict)

    def check_same_networks(self, other: "Manifest", path: str) -> None:
        """Raises UserError naming the first thing in which the networks differ from those of `other`."""
        for group in ("networks", "spec"):
            found, wanted = (dataclasses.asdict(getattr(manifest, group)) for manifest in (self, other))
            for name, value in wanted.items():
                # How an image becomes square changes no network.
                if name != "fit" and found[name] != value:
                    raise UserError(
                        f"{path} is of other networks: its {name} is {found[name]}; this run's is {value}"
                    )


def describe(
    networks: NetworkSettings, spec: ImageSpec, images_seen: int = 0, resolution: int = 0
) -> Manifest:
    """Returns the manifest of weights that are not written yet."""
    return Manifest(images_seen, resolution, networks.for_resolution(spec.resolution), spec)


def as_checkpoint(**groups: list[keras.Variable]) -> tf.train.Checkpoint:
    """Returns groups of variables as TensorFlow saves them.

    Lists of variables rather than models: Keras hides layers that stand in a dictionary from TensorFlow's
    checkpoints, and they would be left out without a word.
    """
    return tf.train.Checkpoint(
        **{name: [variable.value for variable in variables] for name, variables in groups.items()}
    )


def network_groups(networks: Networks, averages: Networks) -> dict[str, list[keras.Variable]]:
    """Returns the groups that all stored weights have, by their names in the files."""
    return {"networks": networks.variables(), "averages": averages.variables()}


def write(checkpoint: tf.train.Checkpoint, path: str, manifest: Manifest) -> None:
    """Writes `<path>.data-*`, `<path>.index` and, when they are whole, `<path>.json`.

    Raises:
        OSError, tf.errors.OpError: the files cannot be written; half of them are not left behind.
    """
    tf.io.gfile.makedirs(path.rpartition("/")[0])
    try:
        remove(path)
        checkpoint.write(path)
        files = {file.removeprefix(path): _checksum(file) for file in _files(path)}
        content = to_json(dataclasses.replace(manifest, files=files))
        text = json.dumps({"content": content, "sha256": hashlib.sha256(content.encode()).hexdigest()})
        write_atomic(path + SUFFIX, text + "\n")
    except (OSError, tf.errors.OpError):
        remove(path)
        raise


def read_manifest(path: str) -> Manifest:
    """Returns the manifest of `<path>.*`, whatever has become of the other files.

    Raises:
        DamagedError: it is missing, cut off or changed.
    """
    try:
        with tf.io.gfile.GFile(path + SUFFIX, "rb") as file:
            stored = json.loads(file.read())
        content = stored["content"]
        if hashlib.sha256(content.encode()).hexdigest() != stored["sha256"]:
            raise DamagedError(f"{path}{SUFFIX} differs from its checksum")
        return from_json(Manifest, content)
    except (OSError, tf.errors.OpError) as error:
        raise DamagedError(f"{path}{SUFFIX} cannot be read") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(f"{path}{SUFFIX} is no manifest") from error


def verify(path: str) -> Manifest:
    """Returns the manifest of `<path>.*` after comparing every file with its checksum.

    Raises:
        DamagedError: the manifest or a file is missing, cut off or changed.
    """
    manifest = read_manifest(path)
    for name, checksum in manifest.files.items():
        if not tf.io.gfile.exists(path + name):
            raise DamagedError(f"{path}{name} is missing")
        if _checksum(path + name) != checksum:
            raise DamagedError(f"{path}{name} differs from its checksum")
    return manifest


def remove(path: str) -> None:
    """Removes the files of `path`, the manifest first: what it names must be whole."""
    if tf.io.gfile.exists(path + SUFFIX):
        tf.io.gfile.remove(path + SUFFIX)
    for file in _files(path):
        tf.io.gfile.remove(file)
    # Where TensorFlow gathers what it writes.
    if tf.io.gfile.exists(f"{path}_temp"):
        tf.io.gfile.rmtree(f"{path}_temp")


def _files(path: str) -> list[str]:
    """Returns `<path>.*`, hidden ones too; a glob would read brackets in the folder's name as a pattern."""
    folder, _, name = path.rpartition("/")
    if not tf.io.gfile.isdir(folder):
        return []
    names = sorted(tf.io.gfile.listdir(folder))
    return [f"{folder}/{file}" for file in names if file.startswith((f"{name}.", f".{name}."))]


def _checksum(path: str) -> str:
    digest = hashlib.sha256()
    with tf.io.gfile.GFile(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
