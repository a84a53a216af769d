"""TensorFlow Model Analysis on the stored predictions: the standard tools read what it writes.

Two results, as a slice of one kind of defect has one class, of which areas under curves say nothing:
`<folder>/overall` with them, `<folder>/by_defect_type` with counts, mean predictions and the share of flagged
images. Both are for `tfma.load_eval_result`.
"""

import json
import warnings

import numpy as np
import pandas as pd
import tensorflow_model_analysis as tfma

from proganomaly.components.evaluator.measure import defect_types
from proganomaly.components.evaluator.predict import Predictions
from proganomaly.components.records.image_example import NORMAL

_LABEL, _PREDICTION, _SLICE = "label", "normalized_score", "defect_type"


def analyze(predictions: Predictions, folder: str) -> None:
    """Writes TFMA's results on all images with a known label; nothing where there is none."""
    known = predictions.labels >= NORMAL
    if not known.any():
        return
    labels = predictions.labels[known]
    frame = pd.DataFrame(
        {
            _LABEL: labels.astype(np.float64),
            _PREDICTION: predictions.normalized_score[known].astype(np.float64),
            _SLICE: defect_types(predictions)[known],
        }
    )
    # A slice of normal images has no recall: false positives say how many of them are flagged.
    at_threshold = json.dumps({"thresholds": [_normalized_threshold(predictions)]})
    one_class = [
        tfma.MetricConfig(class_name="ExampleCount"),
        tfma.MetricConfig(class_name="MeanPrediction"),
        tfma.MetricConfig(class_name="Recall", config=at_threshold),
        tfma.MetricConfig(class_name="FalsePositives", config=at_threshold),
    ]
    two_class = [tfma.MetricConfig(class_name="AUC"), tfma.MetricConfig(class_name="AUCPrecisionRecall")]
    has_both = len(np.unique(labels)) == 2
    _run(frame, one_class + (two_class if has_both else []), tfma.SlicingSpec(), f"{folder}/overall")
    _run(frame, one_class, tfma.SlicingSpec(feature_keys=[_SLICE]), f"{folder}/by_defect_type")


def _run(
    frame: pd.DataFrame, metrics: list[tfma.MetricConfig], slices: tfma.SlicingSpec, output_path: str
) -> None:
    config = tfma.EvalConfig(
        model_specs=[tfma.ModelSpec(label_key=_LABEL, prediction_key=_PREDICTION)],
        metrics_specs=[tfma.MetricsSpec(metrics=metrics)],
        slicing_specs=[slices],
    )
    with warnings.catch_warnings():
        # TFMA divides by the counts of a class before it asks whether there are any.
        warnings.simplefilter("ignore", RuntimeWarning)
        tfma.analyze_raw_data(frame, config, output_path=output_path)


def _normalized_threshold(predictions: Predictions) -> float:
    """Returns a normalised score above which exactly the flagged images lie; it grows with the raw score."""
    passed = predictions.normalized_score[~predictions.is_anomaly]
    return float(passed.max()) if len(passed) else 0.0
