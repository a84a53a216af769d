"""The whole way from a pyramid to an exported model: what the component and the command line both call."""

import dataclasses
import hashlib
import time

from proganomaly.components.errors import UserError
from proganomaly.components.files import writing
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.networks import resolutions_up_to
from proganomaly.components.model.settings import ScoringSettings
from proganomaly.components.records.pyramid_folder import split_folder
from proganomaly.components.records.pyramid_record import fingerprint
from proganomaly.components.settings import to_json
from proganomaly.components.trainer.dataset import PyramidSource
from proganomaly.components.trainer.export import export_model
from proganomaly.components.trainer.interruption import terminable
from proganomaly.components.trainer.loop import train
from proganomaly.components.trainer.quality import check_measures
from proganomaly.components.trainer.report import Report, Reporter
from proganomaly.components.trainer.settings import CheckpointSettings, LoggingSettings, TrainerSettings
from proganomaly.components.trainer.summaries import write_anomaly_maps
from proganomaly.components.trainer.warm_start import weights_fingerprint

# Fewer say nothing of the tail that a threshold lies in.
MINIMUM_CALIBRATION_IMAGES = 5


def run_key(reference: PyramidSource, spec: ImageSpec, settings: TrainerSettings, code_version: str) -> str:
    """Names a run by its training images, settings and code: equal runs share their checkpoints.

    How the trained networks score, and how often a run reports, are no part of the name: after a change of
    those the trained networks are used again. Of a warm start the weights count, not where they are.

    Raises:
        UserError: there are no weights for the warm start.
    """
    warm_start = settings.warm_start
    if warm_start:
        warm_start = weights_fingerprint(warm_start, Reporter(lambda _: None, settings.logging.verbosity))
    training = dataclasses.replace(
        settings,
        scoring=ScoringSettings(),
        checkpoints=CheckpointSettings(),
        logging=LoggingSettings(),
        warm_start=warm_start,
    )
    parts = [fingerprint(reference.levels), to_json(spec), to_json(training), code_version]
    if settings.networks.label_count:
        parts.append(reference.labels(settings.networks.label_count).tobytes().hex())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@terminable()
def fit_model(
    reference: PyramidSource,
    calibration: PyramidSource,
    spec: ImageSpec,
    settings: TrainerSettings,
    run_folder: str,
    model_folder: str,
    provenance: dict[str, str],
    report: Report,
) -> None:
    """Trains, or goes on training, and exports the model.

    Args:
        reference: Normal training images.
        calibration: Held-out normal images.
        spec: What the networks take.
        settings: How to train and score.
        run_folder: Checkpoints, TensorBoard logs, samples and statistics.
        model_folder: Where the SavedModel goes.
        provenance: Where the model comes from; recorded with it.
        report: Receives one line at a time.

    Raises:
        UserError: data, settings and devices do not fit each other, training diverged, or another worker
            has gone.
        KeyboardInterrupt: the run was asked to stop; its state is saved. `Terminated` where by SIGTERM.
    """
    settings.scoring.check_networks(spec.resolution, bool(settings.networks.transforms))
    for split, source in (("train", reference), ("calibration", calibration)):
        # The final level is trained last: better missed now than hours later.
        source.files(spec.resolution)
        if source.channels != spec.channels:
            raise UserError(
                f"the {split} images in {source.folder} have {source.channels} channels; "
                f"the networks take {spec.channels}"
            )
    if settings.schedule.initial_resolution < min(reference.levels):
        raise UserError(
            f"schedule.initial_resolution must be at least {min(reference.levels)}, the smallest level in "
            f"{reference.folder}; received {settings.schedule.initial_resolution}"
        )
    if calibration.images < MINIMUM_CALIBRATION_IMAGES:
        raise UserError(
            f"calibration needs at least {MINIMUM_CALIBRATION_IMAGES} held-out normal images; received "
            f"{calibration.images}: add normal images, or have `proganomaly run` hold out more of them "
            "(ingest.calibration_share)"
        )
    first = settings.schedule.initial_resolution
    grown = [level for level in resolutions_up_to(spec.resolution) if level >= first]
    check_measures(reference, grown, settings.logging)
    reporter = Reporter(report, settings.logging.verbosity)
    reporter.info(
        f"{reference.images:,} images to train on, {calibration.images:,} held out for calibration; "
        f"watch it with: tensorboard --logdir {run_folder}/tensorboard"
    )
    run = train(reference, spec, settings, run_folder, report)
    if run.workers.is_chief:
        started = time.monotonic()
        scorer = export_model(run, reference, calibration, spec, settings, model_folder, provenance)
        with writing(f"the run folder {run_folder}", "the model is whole"):
            write_anomaly_maps(run_folder, scorer, calibration, run.images_seen, settings.logging)
        reporter.info(
            f"trained in {run.seconds:.0f} s here; reference features, calibration and export took "
            f"{time.monotonic() - started:.0f} s"
        )
    # The others stay: a chief that is killed while it exports could not begin again without them.
    run.workers.wait()


def split_source(folder: str, split: str) -> PyramidSource:
    """Returns one split of a pyramid folder that `PyramidTransform` wrote."""
    return PyramidSource(split_folder(folder, split))
