"""`proganomaly generate`: pictures and films by an exported model's generator."""

import re

from proganomaly.components.errors import UserError, check_choice, check_range
from proganomaly.pipeline.commands.parser import make_parser

_DEFAULT_GRID = "4x8"
_FORMATS = ("gif", "mp4", "both")


def main(argv: list[str]) -> int:
    """Writes `grid.png`, `images/*.png` and `interpolation.gif` or `.mp4` into the output folder."""
    parser = make_parser(
        "generate",
        "Generate images with a trained model: a grid, single images, a film from latent to latent. "
        f"Without any of the three, a grid of {_DEFAULT_GRID}.",
    )
    parser.add_argument("model", help="folder of a SavedModel, or of its versions")
    parser.add_argument("out", help="folder to write to")
    parser.add_argument("--grid", type=str | None, default=None, help="ROWSxCOLUMNS images as grid.png")
    parser.add_argument("--images", type=int | None, default=None, help="this many as images/*.png")
    parser.add_argument(
        "--interpolation",
        type=int | None,
        default=None,
        help="a film that repeats: this many frames from each latent to the next, 25 a second",
    )
    parser.add_argument("--stops", type=int, default=4, help="latents that the film comes by")
    parser.add_argument("--format", default="gif", help=f"of the film: {', '.join(_FORMATS)}")
    parser.add_argument("--seed", type=int, default=1, help="seed of the latents")
    parser.add_argument(
        "--truncation",
        type=float | None,
        default=None,
        help="largest absolute value of a latent's entries: the smaller, the less the images vary",
    )
    parser.add_argument(
        "--label",
        type=int | None,
        default=None,
        help="class of all images, for a conditional model; one after the other",
    )
    options = parser.parse_args(argv)
    if options.grid is None and options.images is None and options.interpolation is None:
        options.grid = _DEFAULT_GRID
    rows, columns = _grid(options.grid) if options.grid is not None else (0, 0)
    for name in ("images", "interpolation"):
        if options[name] is not None:
            check_range(name, options[name], minimum=1)
    check_range("stops", options.stops, minimum=2)
    check_choice("format", options.format, _FORMATS)
    check_range("seed", options.seed, minimum=0)
    if options.truncation is not None:
        check_range("truncation", options.truncation, minimum=0, exclusive=True)
    # Imported late: TensorFlow takes seconds, and a mistyped option should not wait for it.
    from proganomaly.components.files import require_folder
    from proganomaly.pipeline import generation

    generator = generation.ServedGenerator(options.model)
    codes = generator.codes(
        max(rows * columns, options.images or 0, options.stops),
        options.seed,
        options.truncation,
        options.label,
    )
    require_folder("output", options.out)

    if rows:
        generation.write_grid(
            f"{options.out}/grid.png", generator.images(codes[: rows * columns]), rows, columns
        )
        print(f"{options.out}/grid.png: {rows} x {columns} images")
    if options.images:
        generation.write_images(f"{options.out}/images", generator.images(codes[: options.images]))
        print(f"{options.out}/images: {options.images} images")
    if options.interpolation:
        frames = generator.looped(codes[: options.stops], options.interpolation)
        writers = {"gif": generation.write_gif, "mp4": generation.write_mp4}
        for suffix in writers if options.format == "both" else (options.format,):
            film = f"{options.out}/interpolation.{suffix}"
            writers[suffix](film, generator.images(frames))
            print(f"{film}: {len(frames)} frames")
    return 0


def _grid(text: str) -> tuple[int, int]:
    """Returns rows and columns of "4x8"."""
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if not match:
        raise UserError(f"grid must be ROWSxCOLUMNS, such as {_DEFAULT_GRID}; received {text!r}")
    return int(match[1]), int(match[2])
