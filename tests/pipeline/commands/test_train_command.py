"""`proganomaly train` as a process of its own."""

import signal
import subprocess
import sys

import numpy as np
import tensorflow as tf

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.records.pyramid_record import encode_pyramid_record, level_name
from proganomaly.pipeline.commands import train

COMMAND = [sys.executable, "-m", "proganomaly.pipeline", "train", "records", "--output=out"]
OPTIONS = [
    "--trainer.networks={fmap_base: 64, fmap_max: 8}",
    "--trainer.schedule={initial_resolution: 8, final_images: 1000000, batch_size: 8}",
    "--trainer.logging={images_per_tick: 16, images_per_snapshot: 0, tensorboard: false}",
    "--trainer.checkpoints.seconds=1000000",
    "--trainer.execution.deterministic=true",
]


def test_sigterm_saves_and_exits_with_143(tmp_path):
    (tmp_path / "records").mkdir()
    random = np.random.default_rng(5)
    with tf.io.TFRecordWriter(f"{tmp_path}/records/noise-{level_name(8)}.tfrecords") as writer:
        for image in random.integers(0, 256, (40, 8, 8, 1), np.uint8):
            writer.write(encode_pyramid_record(image))
    pipe = subprocess.PIPE
    with subprocess.Popen([*COMMAND, *OPTIONS], cwd=tmp_path, stdout=pipe, stderr=pipe, text=True) as process:
        for line in process.stdout:
            if "images/s" in line:
                break
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert errors == "proganomaly train: terminated\n"
    assert output.endswith("interrupted: the same command goes on from here\n")
    (manifest,) = tmp_path.glob("out/run/*/checkpoints/ckpt-*.json")
    seen = int(line.split(" / ")[0].split()[-1].replace(",", ""))
    assert int(manifest.stem.removeprefix("ckpt-")) >= seen


def test_tiles_keep_their_side_at_a_smaller_resolution():
    made = ImageSpec(256, 3, "tiles", tile_overlap=0.5, white_level=4095)
    spec = train._image_spec(made, 64, 1)
    assert spec == ImageSpec(64, 1, "tiles", tile_size=256, tile_overlap=0.5, white_level=4095)
    assert train._image_spec(ImageSpec(256, 3, "pad"), 64, 3) == ImageSpec(64, 3, "pad")
