"""AnomalyEvaluator on a tiny SavedModel: blessed, refused, without labels, and what it leaves behind."""

import csv
import dataclasses
import io
import json
import re

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from PIL import Image
from sklearn import metrics as sklearn_metrics
from tfx.components.util import model_utils
from tfx.types import artifact_utils, channel, standard_artifacts

from proganomaly.components.errors import UserError
from proganomaly.components.evaluator import component, executor, slices
from proganomaly.components.evaluator.settings import EvaluatorSettings
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.records import image_example
from proganomaly.components.settings import from_json, to_json

SPEC = ImageSpec(16, 1)


def _artifact(artifact_type, folder):
    one = artifact_type()
    one.uri = str(folder)
    return one


def _write_examples(folder, splits):
    for split, records in splits.items():
        path = folder / f"Split-{split}" / "data_tfrecord-00000-of-00001.gz"
        path.parent.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
            for record in records:
                writer.write(image_example.encode_image_example(record))
    examples = _artifact(standard_artifacts.Examples, folder)
    examples.split_names = artifact_utils.encode_split_names(list(splits))
    return examples


class Run:
    """One run of the executor and what it left."""

    def __init__(self, make, folder, splits, baseline="", spec=SPEC, model=None, **settings) -> None:
        examples = _write_examples(folder / "examples", splits)
        model_artifact = _artifact(standard_artifacts.Model, folder / "model")
        # The control takes seconds: only where a test is about it.
        make.export_model(folder / "model" / "Format-Serving", **{"description": None, **(model or {})})
        self.folder = folder / "evaluation"
        self.blessing = _artifact(standard_artifacts.ModelBlessing, folder / "blessing")
        executor.Executor().Do(
            {"examples": [examples], "model": [model_artifact]},
            {
                "evaluation": [_artifact(standard_artifacts.ModelEvaluation, self.folder)],
                "blessing": [self.blessing],
            },
            {
                "settings": to_json(EvaluatorSettings(**settings)),
                "image_spec": to_json(spec),
                "baseline_model": baseline,
                "code_version": "1",
            },
        )
        self.metrics = json.loads((self.folder / "metrics.json").read_text())
        self.html = (self.folder / "report" / "index.html").read_text(encoding="utf-8")

    @property
    def reasons(self) -> list[str]:
        return json.loads(self.blessing.get_string_custom_property("reasons"))


@pytest.fixture(scope="module")
def train(make):
    return [make.record("good", index, "train", None) for index in range(10)]


@pytest.fixture(scope="module")
def blessed(make, train, tmp_path_factory):
    served = make.export_model(tmp_path_factory.mktemp("served") / "1", resolution=8)
    splits = {"train": train, "calibration": train[:3], "test": make.test_records()}
    model = {"description": make.description}
    return Run(make, tmp_path_factory.mktemp("blessed"), splits, served, model=model)


@pytest.fixture(scope="module")
def synthetic(make, train, tmp_path_factory):
    calibration = [make.record("good", index, "calibration", None) for index in range(8)]
    splits = {"train": train, "calibration": calibration}
    return Run(make, tmp_path_factory.mktemp("synthetic"), splits, min_image_auroc=0.0)


@pytest.fixture
def without_tfma(monkeypatch):
    """Leaves out the slowest part, which has nothing to say about the verdict."""
    monkeypatch.setattr(slices, "analyze", lambda predictions, folder: None)


def _truth_and_scores(records):
    labels = np.array([record.label for record in records])
    images = [np.asarray(Image.open(io.BytesIO(record.image)), np.float64) / 255 for record in records]
    return labels, np.array(images)


def test_metrics_are_those_of_an_independent_computation(blessed, make):
    labels, images = _truth_and_scores(make.test_records())
    scores = images.mean(axis=(1, 2))
    found = blessed.metrics
    assert (found["split"], found["images"], found["scores_not_finite"]) == ("test", 17, 0)
    assert found["image_auroc"] == pytest.approx(sklearn_metrics.roc_auc_score(labels, scores))
    assert found["average_precision"] == pytest.approx(
        sklearn_metrics.average_precision_score(labels, scores)
    )
    masks = np.array(
        [
            np.zeros((16, 16), bool) if one.mask is None else np.asarray(Image.open(io.BytesIO(one.mask))) > 0
            for one in make.test_records()
        ]
    )
    assert found["pixel_auroc"] == pytest.approx(sklearn_metrics.roc_auc_score(masks.ravel(), images.ravel()))
    assert found["recall"] == pytest.approx((scores > make.threshold)[labels == 1].mean())
    assert found["false_positive_rate"] == pytest.approx((scores > make.threshold)[labels == 0].mean())
    assert found["by_defect_type"]["stain"]["flagged"] == 1.0
    assert found["by_defect_type"]["dot"]["flagged"] == 0.0
    assert found["anomalies"] == "labelled"
    assert set(found["baselines"]) == {"knn5", "pca64", "isolation_forest"}
    for values in (*found["baselines"].values(), found["control"]):
        low, high = values["intervals"]["image_auroc"]
        assert 0 <= low <= values["image_auroc"] <= high <= 1
        assert values["train_images"] == 10


def test_every_component_is_measured_by_itself(blessed):
    auroc = blessed.metrics["image_auroc"]
    assert blessed.metrics["components"] == {
        "latent_norm": {"image_auroc": pytest.approx(1 - auroc), "member": False},
        "pixel_residual": {"image_auroc": pytest.approx(auroc), "member": True},
    }


def test_the_stated_rate_is_checked_on_other_images(blessed):
    checked = blessed.metrics["calibration"]
    assert (checked["stated_rate"], checked["observed_rate"], checked["normals"]) == (0.1, 0.0, 8)
    assert checked["consistent"] is True
    assert "Stated: 10.0% of normal images may be flagged." in blessed.html
    assert "calibration has 5 images; too few" in blessed.html
    assert "0.25 – 0.4" in blessed.html and "3.0 MiB" in blessed.html


def test_suspects_are_listed_and_shown(blessed, train):
    rows = list(csv.DictReader((blessed.folder / "suspects.csv").open()))
    assert {row["filename"] for row in rows} == {record.filename for record in train}
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < float(row["p_value"]) < 1 for row in rows)
    assert blessed.metrics["suspects_searched"] == 10
    assert "Suspects among the training images" in blessed.html


def test_blessing_is_what_the_pusher_reads(blessed):
    assert model_utils.is_model_blessed(blessed.blessing)
    assert tf.io.gfile.listdir(blessed.blessing.uri) == ["BLESSED"]
    assert blessed.metrics["blessed"] is True
    assert blessed.metrics["reasons"] == blessed.reasons
    told = [
        reason.partition(" beats " if " beats " in reason else " not beat ")[2] for reason in blessed.reasons
    ]
    names = [name.partition(",")[0] for name in told[2:]]
    assert names == [
        "kNN-5 on pixels",
        "PCA-64 on pixels",
        "Isolation Forest on pixels",
        "the same networks untrained",
    ]


def test_served_model_of_another_resolution_is_measured_by_its_scores(blessed):
    served = blessed.metrics["baseline_model"]
    assert served["image_auroc"] == pytest.approx(blessed.metrics["image_auroc"], abs=0.05)
    assert served["pixel_auroc"] is None
    assert blessed.blessing.get_string_custom_property("baseline_model") == served["path"]


def test_predictions_are_stored(blessed, make):
    rows = list(csv.DictReader((blessed.folder / "predictions.csv").open()))
    assert [row["filename"] for row in rows] == [record.filename for record in make.test_records()]
    labels = [int(row["label"]) for row in rows]
    auroc = sklearn_metrics.roc_auc_score(labels, [float(row["score"]) for row in rows])
    assert auroc == pytest.approx(blessed.metrics["image_auroc"])


def _values(result: tfma.EvalResult) -> dict:
    return {
        key: {name: value["doubleValue"] for name, value in by_output[""][""].items()}
        for key, by_output in result.slicing_metrics
    }


def test_tfma_agrees(blessed):
    overall = _values(tfma.load_eval_result(str(blessed.folder / "tfma" / "overall")))[()]
    assert overall["auc"] == pytest.approx(blessed.metrics["image_auroc"], abs=1e-3)
    assert overall["auc_precision_recall"] == pytest.approx(blessed.metrics["average_precision"], abs=0.05)
    assert overall["recall"] == pytest.approx(blessed.metrics["recall"])
    kinds = _values(tfma.load_eval_result(str(blessed.folder / "tfma" / "by_defect_type")))
    assert {key[0][1] for key in kinds} == {"good", "stain", "dot"}
    for key, values in kinds.items():
        expected = blessed.metrics["by_defect_type"][key[0][1]]
        assert "auc" not in values
        assert values["example_count"] == expected["images"]
        assert values["mean_prediction"] == pytest.approx(expected["mean_normalized_score"], rel=1e-4)
    assert kinds[(("defect_type", "stain"),)]["recall"] == 1.0


def test_report_is_one_self_contained_page(blessed):
    assert "<h2>Blessed</h2>" in blessed.html
    assert all(reason.replace("'", "&#39;") in blessed.html for reason in blessed.reasons)
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', blessed.html)
    assert sources and all(source.startswith("data:image/png;base64,") for source in sources)
    for words in (
        "kNN-5 on pixels",
        "the same networks untrained",
        "the served model",
        "Worst misses",
        "One of each kind",
        "Nearest to a false alarm",
        "stain",
    ):
        assert words in blessed.html
    pictures = {path.name for path in (blessed.folder / "report").iterdir()}
    assert {
        "index.html",
        "roc.png",
        "scores.png",
        "typical_0.png",
        "worst_misses_0.png",
        "suspects_0.png",
    } <= pictures


def test_worse_than_the_served_model_is_refused(make, train, model_path, tmp_path, without_tfma):
    splits = {"train": train, "calibration": train[:3], "test": make.test_records()}
    run = Run(make, tmp_path, splits, baseline=model_path, model={"sign": -1.0}, min_image_auroc=0.0)
    assert not model_utils.is_model_blessed(run.blessing)
    assert tf.io.gfile.listdir(run.blessing.uri) == ["NOT_BLESSED"]
    assert run.blessing.get_int_custom_property("blessed") == 0
    assert "more than the allowed" in run.reasons[1]
    assert "<h2>Not blessed</h2>" in run.html


def test_scores_that_are_not_finite_are_refused_and_reported(make, train, tmp_path, without_tfma):
    splits = {"train": train, "calibration": train[:3], "test": make.test_records()}
    run = Run(make, tmp_path, splits, model={"broken": True})
    assert run.metrics["blessed"] is False
    assert run.metrics["image_auroc"] is None
    assert run.metrics["baselines"]["knn5"]["image_auroc"] is not None
    assert run.metrics["scores_not_finite"] == 5
    assert "5 images a score that is not finite" in run.reasons[0]
    assert "data:image/png" not in run.html


def test_synthetic_defects_are_called_so_everywhere(synthetic):
    found = synthetic.metrics
    assert (found["split"], found["normals"], found["anomalies"]) == (
        "calibration",
        "calibration",
        "synthetic",
    )
    assert found["images"] == 4 + 5 * 4
    assert 0 < found["image_auroc"] <= 1 and found["pixel_auroc"] > 0.5
    kinds = set(found["by_defect_type"])
    assert kinds == {
        "good",
        *(f"synthetic-{kind}" for kind in ("blend", "cut", "cutpaste", "scratch", "stain")),
    }
    about_auroc = [reason for reason in synthetic.reasons if "AUROC" in reason]
    assert len(about_auroc) == 4
    assert all("on synthetic defects" in reason for reason in about_auroc)
    for words in (
        "<h2>Blessed, measured on synthetic defects</h2>",
        "The anomalies are synthetic",
        "There are no test images",
        "synthetic defects found",
        "Synthetic defects with the lowest scores.",
        "synthetic defect outlined",
    ):
        assert words in synthetic.html
    assert "never on these" not in synthetic.html and "true defect" not in synthetic.html
    kinds = _values(tfma.load_eval_result(str(synthetic.folder / "tfma" / "by_defect_type")))
    assert {key[0][1] for key in kinds} == set(found["by_defect_type"])


def test_the_threshold_is_not_checked_on_its_own_images(synthetic):
    assert synthetic.metrics["calibration"] is None


def test_a_model_that_says_nothing_of_itself_has_no_control_and_no_suspects(synthetic):
    assert synthetic.metrics["control"] is None and synthetic.metrics["suspects_searched"] == 0
    assert "no control with untrained networks: the model does not say what networks it has" in synthetic.html


def test_without_anomalies_of_any_kind_there_is_little_to_say(make, train, tmp_path, capsys, without_tfma):
    calibration = [make.record("good", index, "calibration", None) for index in range(4)]
    run = Run(make, tmp_path, {"train": train, "calibration": calibration}, synthetic="never")
    assert run.metrics["blessed"] is True
    assert run.metrics["anomalies"] == "none"
    assert run.metrics["image_auroc"] is None and run.metrics["recall"] is None
    assert run.metrics["false_positive_rate"] == 0.0
    assert "cannot be measured: its conditions do not apply" in run.reasons[0]
    assert "There are no test images" in run.html
    assert "never on these" not in run.html and "kNN-5" not in run.html
    assert "Suspects" not in run.html and not (run.folder / "suspects.csv").exists()
    assert "scoring 4 images of the split calibration" in capsys.readouterr().out


def test_who_does_not_beat_the_baselines_can_be_refused(make, train, tmp_path, without_tfma):
    splits = {"train": train, "calibration": train[:3], "test": make.test_records()}
    run = Run(
        make,
        tmp_path,
        splits,
        model={"sign": -1.0},
        min_image_auroc=0.0,
        require_better_than_baselines=True,
    )
    assert run.metrics["blessed"] is False
    assert any("does not beat kNN-5 on pixels" in reason for reason in run.reasons)


def test_hostile_file_names_are_escaped(make, train, tmp_path, without_tfma):
    record = make.record("stain", 0, label=1)
    hostile = type(record)(**{**vars(record), "filename": "<script>x</script>.png", "defect_type": "<b>"})
    run = Run(make, tmp_path, {"train": train, "test": [hostile, make.record("good", 0)]})
    assert "<script>" not in run.html and "&lt;script&gt;x&lt;/script&gt;.png" in run.html


def test_model_of_another_resolution_is_refused(make, train, tmp_path, without_tfma):
    with pytest.raises(UserError, match=r"anomaly maps are \(8, 8\) pixels; image_spec says 16 x 16"):
        Run(make, tmp_path, {"train": train, "test": make.test_records()}, model={"resolution": 8})


def test_component_keeps_its_settings_and_channels():
    settings = EvaluatorSettings(min_image_auroc=0.7)
    evaluator = component.AnomalyEvaluator(
        channel.Channel(type=standard_artifacts.Examples),
        channel.Channel(type=standard_artifacts.Model),
        settings,
        SPEC,
        baseline_model="serving/7",
        code_version="3",
    )
    assert set(evaluator.outputs) == {"evaluation", "blessing"}
    assert from_json(EvaluatorSettings, evaluator.exec_properties["settings"]) == settings
    assert evaluator.exec_properties["baseline_model"] == "serving/7"
    assert evaluator.exec_properties["code_version"] == "3"


def test_tiles_are_called_tiles_and_their_images_measured_too(make, train, tmp_path, without_tfma):
    def tile(kind, image, number, **known):
        record = make.record(kind, 10 * image + number, **known)
        return dataclasses.replace(record, filename=f"test/{image}.png#0,{16 * number}")

    test = [tile("good", image, number) for image in range(4) for number in range(3)]
    test += [tile("stain" if number else "good", 9, number, label=int(number > 0)) for number in range(3)]
    served = make.export_model(tmp_path / "served")
    splits = {"train": train, "calibration": train[:3], "test": test}
    run = Run(make, tmp_path, splits, served, spec=dataclasses.replace(SPEC, fit="tiles"))
    assert (run.metrics["unit"], run.metrics["images"]) == ("tiles", 15)
    sources = run.metrics["sources"]
    assert (sources["images"], sources["anomalies"], sources["image_auroc"]) == (5, 1, 1.0)
    assert "tiles (test)" in run.html and "AUROC of whole images" in run.html
    # Nor is there anything of the kind where images are whole.
    whole = Run(make, tmp_path / "whole", splits)
    assert whole.metrics["unit"] == "images" and "sources" not in whole.metrics
    assert "These are tiles" not in whole.html


def test_a_served_model_of_other_tiles_is_not_compared(make, train, tmp_path, without_tfma, capsys):
    served = make.export_model(tmp_path / "served", resolution=8, fit="tiles", tile_size=32)
    splits = {"train": train, "calibration": train[:3], "test": make.test_records()}
    run = Run(make, tmp_path, splits, served)
    assert run.metrics["baseline_model"]["image_auroc"] is None
    assert run.metrics["image_auroc"] is not None
    assert "the served model takes no images of this size: it is not compared" in capsys.readouterr().out
