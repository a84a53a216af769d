"""Checkpoints of a run: everything that going on exactly needs."""

import contextlib
import re
import time

import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.files import writing
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.trainer import stored_weights
from proganomaly.components.trainer.report import Reporter
from proganomaly.components.trainer.settings import TrainerSettings
from proganomaly.components.trainer.step import TrainingState
from proganomaly.components.trainer.stored_weights import DamagedError, Manifest

_MANIFEST = re.compile(r"(?P<name>.+-(?P<images>\d+))\.json")
# What a process leaves that is killed while saving; hidden names are those of `write_atomic`.
_UNFINISHED = re.compile(r"\.?(?P<name>.+-\d+)(_temp|\.data-.*|\.index|\.json\.\w+)/?")


class RunCheckpoint:
    """Saves and restores a run's state: the files `<prefix>-<images seen>.*` in a folder.

    The random state, the position in the data and everything that follows a schedule are pure functions of
    the images seen, so that number and the variables are all there is. The newest `keep` are kept, and the
    last one of each resolution. A run killed while saving finds the one before.

    Args:
        state: What is saved and restored.
        folder: Where the checkpoints are.
        settings: The run's settings.
        spec: What the networks take.
        report: Receives warnings of damaged checkpoints.
        writes: Whether this process writes: of several workers, which all hold the same state and read the
            same checkpoints, only the chief does.
    """

    def __init__(
        self,
        state: TrainingState,
        folder: str,
        settings: TrainerSettings,
        spec: ImageSpec,
        report: Reporter,
        writes: bool = True,
    ) -> None:
        self._checkpoint = stored_weights.as_checkpoint(
            **stored_weights.network_groups(state.networks, state.averages),
            **{f"{name}_optimizer": optimizer.variables for name, optimizer in state.optimizers.items()},
        )
        self._networks, self._spec = settings.networks, spec
        self._settings, self._folder, self._report = settings.checkpoints, folder, report
        self._writes = writes and settings.checkpoints.save
        self._last_time, self._last_images = time.monotonic(), 0

    def restore(self) -> int:
        """Restores the newest checkpoint that is whole, if there is any, and returns the images seen.

        Raises:
            UserError: there are checkpoints and none is whole, or the newest is of other networks.
        """
        self._remove_unfinished()
        newest = newest_checkpoint(self._folder, self._report)
        if newest is None:
            return 0
        path, manifest = newest
        manifest.check_same_networks(stored_weights.describe(self._networks, self._spec), path)
        try:
            self._checkpoint.read(path).assert_existing_objects_matched()
        except (AssertionError, IndexError, ValueError, tf.errors.OpError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"the checkpoint {path} cannot be restored: {reason}") from error
        self._last_images = manifest.images_seen
        return manifest.images_seen

    def is_due(self, images_seen: int) -> bool:
        """Whether it is time for another checkpoint, by the clock or by the images seen."""
        images = self._settings.images
        if images and images_seen // images > self._last_images // images:
            return True
        return time.monotonic() - self._last_time >= self._settings.seconds

    def save(self, images_seen: int, resolution: int) -> None:
        """Writes a checkpoint and removes those that are no longer kept.

        Raises:
            UserError: it cannot be written; those before it are intact.
        """
        path, began = f"{self._folder}/{self._settings.prefix}-{images_seen}", time.monotonic()
        if self._writes:
            manifest = stored_weights.describe(self._networks, self._spec, images_seen, resolution)
            with writing(f"the checkpoint {path}", "the checkpoints before it are intact"):
                stored_weights.write(self._checkpoint, path, manifest)
                self._prune(images_seen)
            self._report.debug(f"checkpoint {path} written in {time.monotonic() - began:.2f} s")
        self._last_time, self._last_images = time.monotonic(), images_seen

    def _prune(self, images_seen: int) -> None:
        """Removes what is neither among the newest nor the last one of its resolution.

        Checkpoints of more images than have been seen are damaged ones that the run had to go behind.
        """
        paths = checkpoints_in(self._folder)
        past = [number for number in paths if number <= images_seen]
        kept = set(past[: self._settings.keep])
        resolutions: set[int] = set()
        for number in past:
            with contextlib.suppress(DamagedError):
                resolution = stored_weights.read_manifest(paths[number]).resolution
                if resolution not in resolutions:
                    kept.add(number)
                resolutions.add(resolution)
        for number, path in paths.items():
            if number not in kept:
                stored_weights.remove(path)

    def _remove_unfinished(self) -> None:
        if not (self._writes and tf.io.gfile.isdir(self._folder)):
            return
        finished = checkpoints_in(self._folder).values()
        names = filter(None, map(_UNFINISHED.fullmatch, tf.io.gfile.listdir(self._folder)))
        for path in sorted({f"{self._folder}/{match['name']}" for match in names} - set(finished)):
            self._report.warning(f"the checkpoint {path} was never finished; it is removed")
            stored_weights.remove(path)


def checkpoints_in(folder: str) -> dict[int, str]:
    """Returns the paths of the checkpoints in a folder by images seen, the newest first.

    Their prefix does not matter: it may have changed in the middle of a run.
    """
    if not tf.io.gfile.isdir(folder):
        return {}
    names = filter(None, map(_MANIFEST.fullmatch, tf.io.gfile.listdir(folder)))
    found = {int(match["images"]): f"{folder}/{match['name']}" for match in names}
    return dict(sorted(found.items(), reverse=True))


def newest_checkpoint(folder: str, report: Reporter) -> tuple[str, Manifest] | None:
    """Returns path and manifest of the newest checkpoint that is whole; None if there is none at all.

    Raises:
        UserError: there are checkpoints, and none is whole.
    """
    paths, reasons = checkpoints_in(folder), []
    for images_seen, path in paths.items():
        try:
            manifest = stored_weights.verify(path)
        except DamagedError as error:
            reasons.append(str(error))
        else:
            for reason in reasons:
                report.warning(f"{reason}; going back to the checkpoint at {images_seen:,} images")
            return path, manifest
    if reasons:
        raise UserError(
            f"no checkpoint in {folder} is whole ({reasons[0]}); "
            "restore one, or delete the folder to begin anew"
        )
    return None
