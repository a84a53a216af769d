"""AnomalyEvaluator: a model and held-out images in, metrics, a report and a blessing out."""

from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import channel, component_spec, standard_artifacts

from proganomaly.components.evaluator import executor
from proganomaly.components.evaluator.settings import EvaluatorSettings
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.settings import to_json


class AnomalyEvaluatorSpec(component_spec.ComponentSpec):
    """Inputs, outputs and properties of AnomalyEvaluator."""

    PARAMETERS = {
        "settings": component_spec.ExecutionParameter(type=str),
        "image_spec": component_spec.ExecutionParameter(type=str),
        "baseline_model": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "drift": component_spec.ChannelParameter(type=standard_artifacts.ExampleAnomalies, optional=True),
    }
    OUTPUTS = {
        "evaluation": component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
    }


class AnomalyEvaluator(base_beam_component.BaseBeamComponent):
    """Scores held-out images through the exported SavedModel, and blesses or refuses the model.

    It measures on the split `test`, or, where there is none, on the normal images of `calibration`; where no
    anomaly is labelled, on synthetic defects.

    Component `outputs` contains:
     - `evaluation`: Channel of type `standard_artifacts.ModelEvaluation`: `metrics.json`, `predictions.csv`,
       `suspects.csv` (training images that look anomalous), `report/index.html` with its pictures, and
       `tfma/overall`, `tfma/by_defect_type` for `tfma.load_eval_result`.
     - `blessing`: Channel of type `standard_artifacts.ModelBlessing`, with the custom property `reasons`, a
       JSON list.
    """

    SPEC_CLASS = AnomalyEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        examples: channel.BaseChannel,
        model: channel.BaseChannel,
        settings: EvaluatorSettings,
        image_spec: ImageSpec,
        baseline_model: str = "",
        drift: channel.BaseChannel | None = None,
        code_version: str = "",
    ) -> None:
        """Builds the component.

        Args:
            examples: Images as `records.image_example` describes them.
            model: The exported model.
            settings: How the model is measured, and when it is blessed.
            image_spec: What the networks see.
            baseline_model: Path of the served version's SavedModel, to compare with; "" without one.
            drift: What the drift detector found, for the report.
            code_version: Part of the cache's key: another version runs anew.
        """
        spec = AnomalyEvaluatorSpec(
            settings=to_json(settings),
            image_spec=to_json(image_spec),
            baseline_model=baseline_model,
            code_version=code_version,
            examples=examples,
            model=model,
            drift=drift,
            evaluation=channel.Channel(type=standard_artifacts.ModelEvaluation),
            blessing=channel.Channel(type=standard_artifacts.ModelBlessing),
        )
        super().__init__(spec=spec)
