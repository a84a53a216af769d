"""The control that every learned score has to beat: the same networks, untrained, under the same scoring.

Features of random weights separate images too, often nearly as well as learned ones (Saxe et al. 2011, "On
random weights and unsupervised feature learning"). What training is worth is what a model adds to that.
"""

from collections.abc import Callable, Iterable

import keras
import numpy as np

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.networks import build_networks
from proganomaly.components.model.scorer import AnomalyScorer
from proganomaly.components.model.settings import NetworkSettings, ScoringSettings

Batches = Callable[[], Iterable[np.ndarray]]


def untrained_scorer(
    networks: NetworkSettings,
    scoring: ScoringSettings,
    spec: ImageSpec,
    seed: int,
    reference: Batches,
    calibration: Batches,
) -> AnomalyScorer:
    """Fits and calibrates a scorer around networks with random weights.

    Args:
        networks: Widths and shape, as those of the trained model.
        scoring: How to score, as the trained model does.
        spec: What the networks take.
        seed: Seed of the weights and of the reference sample; sets Keras' global random state.
        reference: Gives batches of normal training images, uint8 [N, R, R, C].
        calibration: Gives batches of held-out normal images, alike.
    """
    keras.utils.set_random_seed(seed)
    scorer = AnomalyScorer(build_networks(networks, spec), spec, scoring)
    scorer.fit(reference, seed)
    scorer.calibrate(calibration)
    return scorer
