"""Begins a run with the weights of another one."""

import hashlib

import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.settings import to_json
from proganomaly.components.trainer import stored_weights
from proganomaly.components.trainer.checkpoint import checkpoints_in, newest_checkpoint
from proganomaly.components.trainer.report import Reporter
from proganomaly.components.trainer.settings import TrainerSettings
from proganomaly.components.trainer.step import TrainingState
from proganomaly.components.trainer.stored_weights import DamagedError, Manifest

EXPORTED_WEIGHTS = "assets.extra/training/weights"


def find_weights(source: str, report: Reporter) -> tuple[str, Manifest]:
    """Returns path and manifest of the weights that `source` stands for.

    Args:
        source: A checkpoint (the path of its files, without what follows the images seen), a run's folder or
            its `checkpoints`, of which the newest counts, or an exported model.
        report: Receives warnings of damaged checkpoints.

    Raises:
        UserError: there are no such weights, or they are damaged.
    """
    source = source.rstrip("/")
    for path in (source, f"{source}/{EXPORTED_WEIGHTS}"):
        if tf.io.gfile.exists(path + stored_weights.SUFFIX):
            try:
                return path, stored_weights.verify(path)
            except DamagedError as error:
                raise UserError(f"warm_start {source} is damaged: {error}") from error
    for folder in (source, f"{source}/checkpoints"):
        if checkpoints_in(folder) and (newest := newest_checkpoint(folder, report)):
            return newest
    raise UserError(
        "warm_start must be a checkpoint, a run's folder (with checkpoints in it) or an exported model (with "
        f"{EXPORTED_WEIGHTS}.*); received {source!r}"
    )


def weights_fingerprint(source: str, report: Reporter) -> str:
    """Returns a hash of the weights that `source` stands for now, wherever they are.

    Raises:
        UserError: see `find_weights`.
    """
    return hashlib.sha256(to_json(find_weights(source, report)[1]).encode()).hexdigest()


def load_weights(state: TrainingState, settings: TrainerSettings, spec: ImageSpec, report: Reporter) -> None:
    """Gives networks and averages the weights that `settings.warm_start` names; optimizers stay new.

    Raises:
        UserError: see `find_weights`; or the networks are others.
    """
    path, manifest = find_weights(settings.warm_start, report)
    manifest.check_same_networks(stored_weights.describe(settings.networks, spec), path)
    checkpoint = stored_weights.as_checkpoint(**stored_weights.network_groups(state.networks, state.averages))
    checkpoint.read(path).assert_existing_objects_matched().expect_partial()
    report.info(f"beginning with the weights of {path}, trained on {manifest.images_seen:,} images")


def write_weights(
    model_folder: str,
    state: TrainingState,
    settings: TrainerSettings,
    spec: ImageSpec,
    images_seen: int,
) -> None:
    """Puts into an exported model what another run can begin with: networks and averages, no optimizers."""
    checkpoint = stored_weights.as_checkpoint(**stored_weights.network_groups(state.networks, state.averages))
    manifest = stored_weights.describe(settings.networks, spec, images_seen, spec.resolution)
    stored_weights.write(checkpoint, f"{model_folder}/{EXPORTED_WEIGHTS}", manifest)
