"""`proganomaly dataset`: makes a data set to train on."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jsonargparse import Namespace

from proganomaly.components.errors import UserError
from proganomaly.components.images import dataset_folder, one_class_set, texture_set
from proganomaly.components.images.one_class_set import OneClassSettings
from proganomaly.components.images.spec import SQUARE_FITS
from proganomaly.components.images.texture_set import TextureSettings
from proganomaly.components.images.tfds_settings import TfdsSettings
from proganomaly.components.pyramid.level_writer import write_single_files
from proganomaly.pipeline.commands.parser import CommandParser, make_parser

_DEFECT_KINDS = 5


def main(argv: list[str]) -> int:
    """Runs `proganomaly dataset texture`, `proganomaly dataset one-class` or `proganomaly dataset tfds`."""
    parser = make_parser("dataset", "Make a data set to train on, laid out like MVTec AD.")
    subcommands = parser.add_subcommands(dest="kind", required=True)
    subcommands.add_subcommand("texture", _texture_parser(), help="A photographed surface with defects.")
    subcommands.add_subcommand(
        "one-class", _one_class_parser(), help="One class of labelled images is normal."
    )
    subcommands.add_subcommand(
        "tfds", _tfds_parser(), help="Any data set of TensorFlow Datasets with images."
    )
    arguments = parser.parse_args(argv)
    if arguments.kind == "tfds":
        return _write_tfds(arguments.tfds)
    if arguments.kind == "texture":
        return _write(arguments.texture, TextureSettings, texture_set.texture_images)
    return _write(arguments["one-class"], OneClassSettings, one_class_set.one_class_images)


def _write(
    arguments: Namespace,
    settings_class: type,
    make_images: Callable[..., Iterator[tuple[str, np.ndarray]]],
) -> int:
    """Writes the data set that the arguments ask for, and says in one line what it did."""
    settings = _settings(arguments, settings_class)
    return _report(
        arguments.out,
        dataset_folder.write_dataset(arguments.out, dataclasses.asdict(settings), make_images(settings)),
    )


def _write_tfds(arguments: Namespace) -> int:
    """Writes a data set of TensorFlow Datasets: a folder of images, or a pyramid."""
    settings = _settings(arguments, TfdsSettings)
    # Imported late: the other kinds do without TensorFlow Datasets.
    from proganomaly.components.images.tfds_set import tfds_files, tfds_squares

    identity = {**dataclasses.asdict(settings), "pyramid": arguments.pyramid}
    if not arguments.pyramid:
        files = tfds_files(settings, arguments.data_dir)
        return _report(arguments.out, dataset_folder.write_dataset(arguments.out, identity, files))
    if settings.normal is not None:
        raise UserError("a pyramid holds all classes with their labels; leave out --normal or --pyramid")
    prefix = settings.name.partition("/")[0].partition(":")[0]
    return _report(
        arguments.out,
        dataset_folder.write_once(
            arguments.out,
            identity,
            tfds_squares(settings, arguments.data_dir),
            lambda folder, squares: write_single_files(f"{folder}/{prefix}-", squares),
        ),
    )


def _settings(arguments: Namespace, settings_class: type) -> Any:
    return settings_class(
        **{field.name: arguments[field.name] for field in dataclasses.fields(settings_class)}
    )


def _report(out: str, written: int | None) -> int:
    if written is None:
        print(f"{out} is complete already: nothing to do")
    else:
        print(f"{out}: {written} files written")
    return 0


def _texture_parser() -> CommandParser:
    parser = make_parser(
        "dataset texture",
        "Crop a photographed surface (scikit-image, CC0) into normal images for train, calibration and test, "
        "from regions that share no pixel, and draw defects with masks onto some of the test images.",
    )
    default = TextureSettings()
    parser.add_argument("out", help="folder to write to")
    parser.add_argument("--texture", default=default.texture, help=" or ".join(texture_set.TEXTURES))
    parser.add_argument("--crop-size", type=int, default=default.crop_size, help="side of the images, pixels")
    parser.add_argument("--train-images", type=int, default=default.train_images)
    parser.add_argument("--calibration-images", type=int, default=default.calibration_images)
    parser.add_argument("--test-good-images", type=int, default=default.test_good_images)
    parser.add_argument(
        "--images-per-defect",
        type=int,
        default=default.images_per_defect,
        help=f"defective test images of each of the {_DEFECT_KINDS} kinds",
    )
    parser.add_argument("--seed", type=int, default=default.seed, help="equal seeds make equal images")
    return parser


def _one_class_parser() -> CommandParser:
    parser = make_parser(
        "dataset one-class",
        "Lay out the idx files of MNIST and its relatives: one class is normal, the others are anomalies.",
    )
    parser.add_argument("images", help="idx file of images, plain or gzipped")
    parser.add_argument("labels", help="idx file of their classes")
    parser.add_argument("out", help="folder to write to")
    parser.add_argument("--normal", type=int, required=True, help="the class that is normal")
    parser.add_argument("--test-images", type=str | None, default=None, help="idx file of test images")
    parser.add_argument("--test-labels", type=str | None, default=None, help="idx file of their classes")
    parser.add_argument(
        "--test-share", type=float, default=0.2, help="share of IMAGES to test on, without test images"
    )
    parser.add_argument("--train-limit", type=int, default=0, help="most normal training images; 0: all")
    parser.add_argument("--test-limit", type=int, default=0, help="most test images per class; 0: all")
    return parser


def _tfds_parser() -> CommandParser:
    parser = make_parser(
        "dataset tfds",
        "Write a data set of TensorFlow Datasets as a folder of images, or as the pyramid of TFRecords that "
        "`proganomaly train` reads. What is not there yet is downloaded; that there is no connection shows "
        "after some minutes only.",
    )
    default = TfdsSettings("")
    parser.add_argument("name", help="name, with configuration and version as needed: celeb_a_hq/1024")
    parser.add_argument("out", help="folder to write to")
    parser.add_argument("--pyramid", action="store_true", help="write TFRecords of every resolution")
    parser.add_argument("--split", default=default.split, help="training images: train, train[:10%], ...")
    parser.add_argument(
        "--normal", type=str | None, default=None, help="the class that is normal; everything without it"
    )
    parser.add_argument(
        "--test-split",
        type=str | None,
        default=None,
        help="test images beside --normal; test if there is one",
    )
    parser.add_argument(
        "--test-share",
        type=float,
        default=default.test_share,
        help="share of the training images to test on beside --normal, without a test split",
    )
    parser.add_argument(
        "--limit",
        type=int,
        default=default.limit,
        help="most training images, and per class to test on; 0: all",
    )
    parser.add_argument(
        "--resolution", type=int | None, default=None, help="make images square, of so many pixels a side"
    )
    parser.add_argument(
        "--fit", default=default.fit, help=f"how they become square: {', '.join(SQUARE_FITS)}"
    )
    parser.add_argument(
        "--image-feature",
        type=str | None,
        default=None,
        help="feature with the images, where there are several",
    )
    parser.add_argument(
        "--label-feature", type=str | None, default=None, help="feature with the classes, likewise"
    )
    parser.add_argument(
        "--data-dir",
        type=str | None,
        default=None,
        help="where prepared data sets are; ~/tensorflow_datasets",
    )
    return parser
