"""`proganomaly dataset`: makes a data set to try things on."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from jsonargparse import Namespace

from proganomaly.components.images import dataset_folder, one_class_set, texture_set
from proganomaly.components.images.one_class_set import OneClassSettings
from proganomaly.components.images.texture_set import TextureSettings
from proganomaly.pipeline.commands.parser import CommandParser, make_parser

_DEFECT_KINDS = 5


def main(argv: list[str]) -> int:
    """Runs `proganomaly dataset texture` or `proganomaly dataset one-class`."""
    parser = make_parser("dataset", "Make a data set to try things on, laid out like MVTec AD.")
    subcommands = parser.add_subcommands(dest="kind", required=True)
    subcommands.add_subcommand("texture", _texture_parser(), help="A photographed surface with defects.")
    subcommands.add_subcommand(
        "one-class", _one_class_parser(), help="One class of labelled images is normal."
    )
    arguments = parser.parse_args(argv)
    if arguments.kind == "texture":
        return _write(arguments.texture, TextureSettings, texture_set.texture_images)
    return _write(arguments["one-class"], OneClassSettings, one_class_set.one_class_images)


def _write(
    arguments: Namespace,
    settings_class: type,
    make_images: Callable[..., Iterator[tuple[str, np.ndarray]]],
) -> int:
    """Writes the data set that the arguments ask for, and says in one line what it did."""
    names = [field.name for field in dataclasses.fields(settings_class)]
    settings = settings_class(**{name: arguments[name] for name in names})
    written = dataset_folder.write_dataset(arguments.out, dataclasses.asdict(settings), make_images(settings))
    if written is None:
        print(f"{arguments.out} is complete already: nothing to do")
    else:
        print(f"{arguments.out}: {written} files written")
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
