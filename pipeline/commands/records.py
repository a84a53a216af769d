"""`proganomaly records`: TFRecords in and out, what is in them, and whether two pyramids are the same."""

import dataclasses
import json
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from proganomaly.components.errors import UserError
from proganomaly.components.image_example_gen.settings import LAYOUTS, ImageExampleGenSettings
from proganomaly.components.images.spec import FITS, ImageSpec
from proganomaly.pipeline.commands.parser import CommandParser, make_parser

if TYPE_CHECKING:
    from proganomaly.components.records.survey import Survey
    from proganomaly.pipeline.records_transfer import Transferred

# Characters of a hash, and entries of a count, that a table shows.
_SHORT, _SHOWN = 8, 3
# Width of a table that goes to a file.
_WIDE = 160
_DIFFERENT = 1


def main(argv: list[str]) -> int:
    """Runs `proganomaly records export`, `import`, `inspect` or `compare`."""
    parser = make_parser("records", "Bring TFRecords in and out, look into them, compare them.")
    subcommands = parser.add_subcommands(dest="action", required=True)
    for name, make, text in (
        ("export", _export_parser, "Write images as the original's pyramid of TFRecords."),
        ("import", _import_parser, "Write the images of TFRecords as a folder that `run --data` takes."),
        ("inspect", _inspect_parser, "Show what is in files of TFRecords, and what is damaged."),
        ("compare", _compare_parser, "Compare the images of two pyramids, level by level."),
    ):
        subcommands.add_subcommand(name, make(), help=text)
    arguments = parser.parse_args(argv)
    run = {"export": _export, "import": _import, "inspect": _inspect, "compare": _compare}
    return run[arguments.action](arguments[arguments.action])


def _export(options: Namespace) -> int:
    if options.prefix != options.prefix.strip("./") or "/" in options.prefix:
        raise UserError(f"prefix must be the beginning of a file's name; received {options.prefix!r}")
    spec = ImageSpec(**{name: options[name] for name in _spec_options()})
    settings = ImageExampleGenSettings(layout=options.layout, normal_class=options.normal_class)
    # Imported late: TensorFlow takes seconds, and a mistyped option should not wait for it.
    from proganomaly.pipeline.records_transfer import export_records

    done = export_records(
        options.images, options.out, spec, settings, options.prefix, options.all, options.labels
    )
    print(f"{options.out}: {done.written} images at {spec.resolution.bit_length() - 2} resolutions")
    if done.classes:
        print(f"classes: {', '.join(f'{number} {name}' for number, name in enumerate(done.classes))}")
    _print_rest(done)
    return 0


def _import(options: Namespace) -> int:
    from proganomaly.pipeline.records_transfer import import_records

    done = import_records(options.records, options.out, options.normal_class)
    print(f"{options.out}: {done.written} images written")
    if done.classes:
        print(
            f"classes: {', '.join(done.classes)}; "
            f"use them with run --data={options.out} --ingest.normal_class=CLASS"
        )
    _print_rest(done)
    return 0


def _print_rest(done: "Transferred") -> None:
    """Says of every other image what became of it."""
    if done.left_out:
        print(f"{done.left_out} images left out that are not known to be normal (see --all)")
    if done.unusable:
        print(f"{len(done.unusable)} could not be used:")
    for name, reason in done.unusable:
        print(f"  {name!a}: {reason}" if not name.isprintable() else f"  {name}: {reason}")


def _inspect(options: Namespace) -> int:
    from proganomaly.components.records.survey import survey_records

    survey = survey_records(options.path)
    if options.json:
        print(json.dumps(dataclasses.asdict(survey), indent=2, sort_keys=True))
    else:
        _print_survey(survey)
    if survey.damage:
        more = f" (and {len(survey.damage) - 1} more)" if len(survey.damage) > 1 else ""
        raise UserError(f"{survey.damage[0]}{more}")
    return 0


def _print_survey(survey: "Survey") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("records of", "files", "records", "bytes", "format", "shape", "order", box=None)
    table.columns[0].overflow = "fold"
    for found in survey.sets:
        name, told = ascii(found.name)[1:-1], (found.formats, found.shapes)
        numbers = (f"{number:,}" for number in (found.files, found.records, found.bytes))
        table.add_row(name, *numbers, *map(_counted, told), found.order[:_SHORT])
    console = Console(markup=False)
    if not console.is_terminal:
        console.width = _WIDE
    console.print(table)
    for name, shape in survey.labels.items():
        console.print(f"classes: {name}: {shape} (images x classes)")
    if survey.passed_over:
        console.print(f"{survey.passed_over} files are not meant as records")
    for line in survey.damage:
        console.print(f"damaged: {line}", soft_wrap=True)


def _counted(counts: dict[str, int]) -> str:
    """Returns the commonest entries of a count, in a line each, with their numbers if there are several."""
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    shown = [f"{name} ({count:,})" if len(ordered) > 1 else name for name, count in ordered[:_SHOWN]]
    more = len(ordered) - _SHOWN
    return "\n".join(shown + ([f"and {more} others"] if more > 0 else []))


def _compare(options: Namespace) -> int:
    from proganomaly.components.records.pyramid_comparison import compare_pyramids

    compared = compare_pyramids(options.first, options.second)
    width = max(len(level.name) for level in compared)
    for level in compared:
        counts = " and ".join(f"{count:,}" for count in sorted({*level.images}, key=level.images.index))
        verdict = f"differ: {level.difference}" if level.difference else "equal"
        print(f"{level.name:<{width}}  {counts} images, {verdict}{level.note and f', {level.note}'}")
    different = sum(bool(level.difference) for level in compared)
    print(f"{different} of {len(compared)} differ" if different else "the same images")
    return _DIFFERENT if different else 0


def _spec_options() -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(ImageSpec))


def _export_parser() -> CommandParser:
    parser = make_parser(
        "records export",
        "Write images as the original's pyramid, <prefix>rNN.tfrecords, which `proganomaly train` and the "
        "original code read. Example: proganomaly records export data/brick pyramids --prefix=brick-",
    )
    default = ImageSpec()
    parser.add_argument(
        "images", help="a folder of images in any layout, a manifest, TFRecords, or tfds:NAME"
    )
    parser.add_argument("out", help="folder to write to")
    parser.add_argument("--prefix", default="images-", help="what the files' names begin with")
    parser.add_argument(
        "--resolution", type=int, default=default.resolution, help="side of the largest level"
    )
    parser.add_argument("--channels", type=int, default=default.channels, help="1 grey, 3 RGB, 4 with alpha")
    parser.add_argument("--fit", default=default.fit, help=f"how images become square: {', '.join(FITS)}")
    parser.add_argument(
        "--tile-size", type=int, default=default.tile_size, help="side of a tile; 0: resolution"
    )
    parser.add_argument("--tile-overlap", type=float, default=default.tile_overlap, help="share in [0, 0.9]")
    parser.add_argument(
        "--white-level", type=int, default=default.white_level, help="what is white in 16-bit images"
    )
    parser.add_argument("--layout", default="auto", help=f"how IMAGES are laid out: {', '.join(LAYOUTS)}")
    parser.add_argument(
        "--normal-class", default="", help="the class that is normal, where there are classes"
    )
    parser.add_argument(
        "--all", action="store_true", help="write anomalous images too, not the normal ones alone"
    )
    parser.add_argument(
        "--labels", action="store_true", help="write all images, and their classes to <prefix>rxx.labels"
    )
    return parser


def _import_parser() -> CommandParser:
    parser = make_parser(
        "records import",
        "Write the images of a pyramid's largest level, or of TFRecords of encoded images, as files that "
        "`run --data` takes, without loss. Example: proganomaly records import pyramids/brick images/brick",
    )
    parser.add_argument("records", help="folder of a pyramid, or folder or file of TFRecords")
    parser.add_argument("out", help="folder to write to, empty or missing")
    parser.add_argument(
        "--normal-class", default="", help="the class that is normal; without it each class gets its folder"
    )
    return parser


def _inspect_parser() -> CommandParser:
    parser = make_parser(
        "records inspect",
        "Show what is in files of TFRecords: number, format, shape, order, damage. Exits with 2 where "
        "something is damaged. Example: proganomaly records inspect pyramids/brick",
    )
    parser.add_argument("path", help="a file, or a folder with all that is below")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


def _compare_parser() -> CommandParser:
    parser = make_parser(
        "records compare",
        "Compare the images of two pyramids, level by level, in any order and any number of files. Exits "
        "with 0 where they are the same, 1 where they differ, 2 where one cannot be read. Example: "
        "proganomaly records compare pyramids/old pyramids/new",
    )
    parser.add_argument("first", help="folder of a pyramid")
    parser.add_argument("second", help="folder of another")
    return parser
