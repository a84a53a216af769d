"""What is measured is what is served: evaluator, fresh process and command give the same scores."""

import csv
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from proganomaly.components.evaluator import held_out
from proganomaly.components.evaluator.predict import ServedModel, predict, to_csv
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.control import untrained_scorer
from proganomaly.components.model.serving import ServingModel
from proganomaly.components.model.settings import NetworkSettings, ScoringSettings
from proganomaly.pipeline.scoring import score_images

SPEC = ImageSpec(16, 1)
CHILD = """
    import csv, pathlib, sys
    import tensorflow as tf

    model, images, table = sys.argv[1:]
    explain = tf.saved_model.load(model).signatures["explain"]
    serve = tf.saved_model.load(model).signatures["serving_default"]
    paths = sorted(pathlib.Path(images).rglob("*.png"))
    contents = [path.read_bytes() for path in paths]
    with open(table, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "together", "reversed", "alone"])
        together = explain(image_bytes=tf.constant(contents))["score"].numpy()
        backwards = serve(image_bytes=tf.constant(contents[::-1]))["score"].numpy()[::-1]
        for path, content, first, second in zip(paths, contents, together, backwards):
            alone = explain(image_bytes=tf.constant([content]))["score"].numpy()[0]
            writer.writerow([path.relative_to(images), *(repr(float(one)) for one in (first, second, alone))])
"""


@pytest.fixture(scope="module")
def folder(make, tmp_path_factory):
    """A model as the trainer exports it, and images as files."""
    folder = tmp_path_factory.mktemp("parity")
    normal = held_out.decode_records([make.record("good", index, "train") for index in range(24)], SPEC)
    scorer = untrained_scorer(
        NetworkSettings(fmap_base=64, fmap_max=8, latent_size=8),
        ScoringSettings(coreset_size=64, reservoir_size=500, false_positive_rate=0.1),
        SPEC,
        0,
        lambda: [normal[:16]],
        lambda: [normal[16:]],
    )
    serving = ServingModel(scorer)
    tf.saved_model.save(serving, str(folder / "model"), signatures=serving.signatures())
    for record in make.test_records():
        path = folder / "images" / record.filename
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(record.image)
    return folder


def _column(path, key, name):
    return {row[key]: float(row[name]) for row in csv.DictReader(path.open())}


def test_evaluator_fresh_process_and_command_agree(make, folder):
    records = make.test_records()
    truth = held_out.read_truth(records, SPEC)
    predictions = predict(ServedModel(str(folder / "model")), records, truth.labels, batch_size=5)
    (folder / "predictions.csv").write_text(to_csv(predictions))
    script = [sys.executable, "-c", textwrap.dedent(CHILD)]
    arguments = [str(folder / name) for name in ("model", "images", "served.csv")]
    subprocess.run([*script, *arguments], check=True, capture_output=True, timeout=300)
    score_images(str(folder / "images"), str(folder / "model"), str(folder / "scores"), batch_size=7)

    evaluator = _column(folder / "predictions.csv", "filename", "score")
    assert len(evaluator) == len(records) == len(set(evaluator.values()))
    others = {
        **{name: _column(folder / "served.csv", "file", name) for name in ("together", "reversed", "alone")},
        "command": _column(folder / "scores" / "scores.csv", "file", "score"),
    }
    for name, scores in others.items():
        assert scores.keys() == evaluator.keys()
        for file, score in scores.items():
            assert score == pytest.approx(evaluator[file], rel=1e-5, abs=0), (name, file)
    assert np.std(list(evaluator.values())) > 0.1
