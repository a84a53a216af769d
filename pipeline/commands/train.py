"""`proganomaly train`: trains on a folder of TFRecord pyramids, without TFX."""

import dataclasses
import os

from proganomaly.components.errors import UserError
from proganomaly.components.images.spec import TILES, ImageSpec
from proganomaly.components.trainer.settings import TrainerSettings
from proganomaly.pipeline.commands.parser import check_yaml_files, make_parser
from proganomaly.pipeline.commands.seed_options import HELP, SeedForm, translated


def main(argv: list[str]) -> int:
    """Trains and exports a model into `OUTPUT/model`; checkpoints and logs go to `OUTPUT/run/<key>`.

    The key names the images, settings and code: other ones never go on from these checkpoints.
    """
    parser = make_parser(
        "train",
        "Train on a folder of TFRecord pyramids and export the model. The folder is one that the pipeline "
        "wrote, or holds the original's single files <prefix>rNN<suffix>; of those every fifth image is held "
        f"out for calibration. {HELP}",
    )
    parser.add_argument("records", help="folder of TFRecord pyramids")
    parser.add_argument("--output", required=True, help="folder for checkpoints, logs and the model")
    parser.add_argument(
        "--prefix", type=str | None, default=None, help="what stands before rNN in file names"
    )
    parser.add_argument(
        "--suffix", type=str | None, default=None, help="what stands behind rNN in file names"
    )
    parser.add_argument(
        "--resolution", type=int | None, default=None, help="final resolution; the largest that is there"
    )
    parser.add_argument("--config", action="config", help="YAML file of these options")
    parser.add_class_arguments(TrainerSettings, "trainer")
    words, form = translated(argv)
    check_yaml_files(words)
    options = parser.parse_args(words)
    settings = parser.instantiate(options).trainer
    # Imported late: TensorFlow takes seconds, and a mistyped option should not wait for it.
    import tensorflow as tf

    from proganomaly.components.files import require_folder
    from proganomaly.components.trainer.determinism import make_deterministic

    if not tf.io.gfile.isdir(options.records):
        raise UserError(f"{options.records} is no folder of TFRecord pyramids")
    if settings.execution.deterministic:
        make_deterministic()
    require_folder("output", options.output)
    tf.get_logger().setLevel("ERROR")
    return _train(
        options.records, options.output, options.prefix, options.suffix, options.resolution, settings, form
    )


def _train(
    records: str,
    output: str,
    prefix: str | None,
    suffix: str | None,
    resolution: int | None,
    settings: TrainerSettings,
    form: SeedForm,
) -> int:
    from proganomaly.components.records.pyramid_folder import has_splits, read_pyramid_info
    from proganomaly.components.trainer.dataset import PyramidSource
    from proganomaly.components.trainer.distribution import create_strategy
    from proganomaly.components.trainer.fit import fit_model, run_key, split_source
    from proganomaly.pipeline.code_version import code_version

    # Threads and workers can only be chosen before TensorFlow does anything else.
    create_strategy(settings.execution)
    if has_splits(records):
        reference, calibration = (split_source(records, split) for split in ("train", "calibration"))
        image = read_pyramid_info(records).spec
    else:
        reference, calibration = (
            PyramidSource(records, prefix, suffix, hold_out=split) for split in ("train", "calibration")
        )
        image = ImageSpec()
    settings = form.settings(settings, reference.images, reference.channels)
    spec = _image_spec(
        image, resolution or form.final_resolution(reference.levels), channels=reference.channels
    )
    model = os.path.join(output, "model")
    try:
        fit_model(
            reference,
            calibration,
            spec,
            settings,
            run_folder=os.path.join(
                output, "run", run_key(reference, spec, settings, code_version("trainer"))
            ),
            model_folder=model,
            provenance={},
            report=lambda line: print(line, flush=True),
        )
    except KeyboardInterrupt:
        if settings.checkpoints.save:
            print("interrupted: the same command goes on from here", flush=True)
        raise
    print(f"model: {model}")
    return 0


def _image_spec(made: ImageSpec, resolution: int, channels: int) -> ImageSpec:
    """Returns what the networks see of a pyramid's images, by how these were made."""
    # Tiles were cut already: at whatever resolution they are seen, their side stays what it was.
    tile_size = made.tile_side if made.fit == TILES else made.tile_size
    return dataclasses.replace(made, resolution=resolution, channels=channels, tile_size=tile_size)
