"""`proganomaly score`: scores images with an exported model."""

from proganomaly.components.errors import check_range
from proganomaly.pipeline.commands.parser import make_parser


def main(argv: list[str]) -> int:
    """Writes `scores.csv` and a heatmap per image into the output folder."""
    parser = make_parser(
        "score", "Score an image or a folder of images with a trained model: a CSV, and a heatmap per image."
    )
    parser.add_argument("images", help="an image (PNG, JPEG, BMP or GIF) or a folder of images")
    parser.add_argument("--model", required=True, help="folder of a SavedModel, or of its versions")
    parser.add_argument("--output", default="scores", help="folder to write to")
    parser.add_argument("--batch-size", type=int, default=16, help="images scored at a time")
    parser.add_argument(
        "--tiles",
        action="store_true",
        help="score large images at their own size, by overlapping tiles, one image at a time; a model that "
        "was trained on tiles always does",
    )
    options = parser.parse_args(argv)
    # Imported late: TensorFlow takes seconds, and a mistyped option should not wait for it.
    from proganomaly.components.files import require_folder
    from proganomaly.pipeline.scoring import score_images

    check_range("batch-size", options.batch_size, minimum=1)
    require_folder("output", options.output)

    result = score_images(options.images, options.model, options.output, options.batch_size, options.tiles)
    print(
        f"{result.scored} images scored, {result.anomalous} anomalous (threshold {result.threshold:.3f}"
        f"{' and above, by the number of tiles' if result.by_tiles else ''}); "
        f"{len(result.unreadable)} could not be read; see {result.table}"
    )
    for name, reason in result.unreadable:
        print(f"  {name}: {reason}")
    return 0
