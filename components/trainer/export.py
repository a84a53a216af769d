"""From trained networks to a SavedModel that scores images."""

import json
from typing import Any

import tensorflow as tf

from proganomaly.components.files import replacing, write_atomic, writing
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.networks import Networks, build_networks
from proganomaly.components.model.scorer import AnomalyScorer
from proganomaly.components.model.serving import ServingModel
from proganomaly.components.settings import to_json
from proganomaly.components.trainer.dataset import PyramidSource
from proganomaly.components.trainer.loop import TrainedRun
from proganomaly.components.trainer.settings import TrainerSettings
from proganomaly.components.trainer.warm_start import write_weights


def export_model(
    run: TrainedRun,
    reference: PyramidSource,
    calibration: PyramidSource,
    spec: ImageSpec,
    settings: TrainerSettings,
    folder: str,
    provenance: dict[str, str],
) -> AnomalyScorer:
    """Fits the scorer and writes the SavedModel; `folder` appears only when it is complete.

    Args:
        run: The trained run, of any strategy.
        reference: Normal training images.
        calibration: Held-out normal images.
        spec: What the networks take.
        settings: How to score.
        folder: Where to write; what is there is replaced.
        provenance: Where the model comes from; kept in `assets.extra/provenance.json`, beside what `describe`
            says of it in `assets.extra/model.json`.

    Raises:
        UserError: the folder cannot be written to.
    """
    scorer = AnomalyScorer(plain_copy(run.state.averages, spec, settings), spec, settings.scoring)
    scorer.fit(lambda: reference.batches(spec.resolution), settings.seed)
    scorer.calibrate(lambda: calibration.batches(spec.resolution))
    serving = ServingModel(scorer)
    with (
        writing(f"the model folder {folder}", "the run's checkpoints are intact"),
        replacing(folder) as beside,
    ):
        tf.saved_model.save(serving, beside, signatures=serving.signatures())
        for name, content in (
            ("provenance", provenance),
            ("model", describe(scorer, settings, spec)),
        ):
            text = json.dumps(content, sort_keys=True) + "\n"
            write_atomic(f"{beside}/assets.extra/{name}.json", text)
        write_weights(beside, run.state, settings, spec, run.images_seen)
        if tf.io.gfile.exists(folder):
            tf.io.gfile.rmtree(folder)
    return scorer


def describe(scorer: AnomalyScorer, settings: TrainerSettings, spec: ImageSpec) -> dict[str, Any]:
    """Returns what a calibrated scorer is made of and what is known of its thresholds, for a JSON file."""
    calibration, pixels, rate = (
        scorer.calibration,
        scorer.pixel_calibration,
        settings.scoring.false_positive_rate,
    )
    assert calibration is not None and pixels is not None, "calibrate first"
    return {
        "networks": json.loads(to_json(settings.networks)),
        "scoring": json.loads(to_json(settings.scoring)),
        "image": json.loads(to_json(spec)),
        "seed": settings.seed,
        "taps": scorer.taps,
        "reference_bytes": scorer.references.bytes,
        "reference_images": scorer.references.images,
        "calibration_images": calibration.images,
        "calibration": calibration.description(),
        "notes": [note for note in (calibration.shortage(rate), pixels.shortage()) if note],
        "threshold": calibration.threshold(rate),
        "threshold_interval": calibration.threshold_interval(rate),
        "pixel_threshold": pixels.value,
        "pixel_threshold_interval": [pixels.low, pixels.high],
    }


def plain_copy(networks: Networks, spec: ImageSpec, settings: TrainerSettings) -> Networks:
    """Copies networks out of their strategy into ordinary variables."""
    copy = build_networks(settings.networks, spec)
    copy.assign(networks)
    return copy
