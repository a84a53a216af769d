"""From trained networks to a SavedModel that scores images."""

import json

import tensorflow as tf

from proganomaly.components.files import replacing, write_atomic
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.networks import Networks, build_networks
from proganomaly.components.model.scorer import AnomalyScorer
from proganomaly.components.model.serving import ServingModel
from proganomaly.components.trainer.dataset import PyramidSource
from proganomaly.components.trainer.settings import TrainerSettings


def export_model(
    networks: Networks,
    reference: PyramidSource,
    calibration: PyramidSource,
    spec: ImageSpec,
    settings: TrainerSettings,
    folder: str,
    provenance: dict[str, str],
) -> AnomalyScorer:
    """Fits the scorer and writes the SavedModel; `folder` appears only when it is complete.

    Args:
        networks: Trained networks of any strategy.
        reference: Normal training images.
        calibration: Held-out normal images.
        spec: What the networks take.
        settings: How to score.
        folder: Where to write; what is there is replaced.
        provenance: Where the model comes from; kept in `assets.extra/provenance.json`.
    """
    scorer = AnomalyScorer(plain_copy(networks, spec, settings), spec, settings.scoring)
    scorer.fit(reference.batches(spec.resolution), settings.seed)
    scorer.calibrate(lambda: calibration.batches(spec.resolution))
    serving = ServingModel(scorer)
    with replacing(folder) as beside:
        tf.saved_model.save(serving, beside, signatures=serving.signatures())
        write_atomic(f"{beside}/assets.extra/provenance.json", json.dumps(provenance, sort_keys=True) + "\n")
        if tf.io.gfile.exists(folder):
            tf.io.gfile.rmtree(folder)
    return scorer


def plain_copy(networks: Networks, spec: ImageSpec, settings: TrainerSettings) -> Networks:
    """Copies networks out of their strategy into ordinary variables."""
    copy = build_networks(settings.networks, spec)
    copy.assign(networks)
    return copy
