"""Walks an image folder once: every file is an image by name, stands beside the images, or has a problem."""

import dataclasses
import errno
import os
import posixpath
import re
import stat

import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.image_example_gen.listing import ImageFile, is_local

# What stands beside images without being meant as one. Anything else counts as an image, so that a broken or
# unknown one is quarantined with its reason and never dropped in silence.
_SIDE_FILE = re.compile(
    r".*\.(txt|json|jsonl|csv|tsv|md|rst|xml|ya?ml|toml|html?|pdf|docx?|xlsx?|log|py|sh|db|ini|part)"
    r"|(readme|licen[sc]e|copying|notice|changelog)[^.]*",
    re.IGNORECASE | re.DOTALL,
)
_ARCHIVER_FOLDER = "__MACOSX"
_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


@dataclasses.dataclass
class Tree:
    """What a folder holds, by paths relative to it.

    Attributes:
        root: The folder.
        files: Files that may be images or hold some, sorted.
        side_files: Files that are not meant as images, sorted.
        problems: Path -> why it can be no image, or why the files below it cannot be listed.
        folders: All folders that were gone through.
        hidden: Hidden files and folders, such as `.DS_Store`, `._0.png` and `.git`, without what is below.
    """

    root: str
    files: list[str] = dataclasses.field(default_factory=list)
    side_files: list[str] = dataclasses.field(default_factory=list)
    problems: dict[str, str] = dataclasses.field(default_factory=dict)
    folders: set[str] = dataclasses.field(default_factory=set)
    hidden: list[str] = dataclasses.field(default_factory=list)

    def below(self, folder: str) -> list[str]:
        """Returns the files below a folder."""
        return [path for path in self.files if path.startswith(f"{folder}/")]

    def children(self, folder: str = "") -> list[str]:
        """Returns the names of the folders in a folder, sorted."""
        return sorted(posixpath.basename(path) for path in self.folders if posixpath.dirname(path) == folder)

    def problem_files(self) -> list[ImageFile]:
        """Returns what has a problem, as files that cannot be used."""
        return [broken(path, problem) for path, problem in self.problems.items()]

    def first_problem(self, folder: str = "") -> str:
        """Returns the first problem in a folder or of it, ready to end a message; "" without any."""
        inside = sorted(path for path in self.problems if not folder or f"{path}/".startswith(f"{folder}/"))
        return f" ({printable(inside[0])}: {self.problems[inside[0]]})" if inside else ""


def broken(path: str, problem: str) -> ImageFile:
    """Returns a file that cannot be used, with the reason."""
    return ImageFile(path, label=None, defect_type="", problem=problem)


def printable(text: str) -> str:
    """Returns a name in one line, with escapes for what would break it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def walk(root: str, follow_links: bool) -> Tree:
    """Lists a folder with all that is below it.

    Nothing is opened. Links that lead out of the folder, to nowhere or in a circle, names that are not UTF-8,
    pipes, sockets, devices and folders that cannot be read become problems.

    Args:
        root: A folder, on any file system that `tf.io.gfile` knows.
        follow_links: Whether links out of the folder are followed; elsewhere than on local disks there are
            none.

    Raises:
        UserError: the folder is missing, is a file or cannot be read.
    """
    if not tf.io.gfile.isdir(root):
        state = "is a file" if tf.io.gfile.exists(root) else "does not exist"
        raise UserError(f"the image folder {printable(root)} {state}")
    tree = Tree(root)
    if is_local(root):
        _LocalWalk(tree, follow_links).run()
    else:
        _walk_remote(tree)
    if problem := tree.problems.get(""):
        raise UserError(f"the image folder {printable(root)} {problem}")
    tree.files.sort()
    tree.side_files.sort()
    return tree


def _add_file(tree: Tree, path: str) -> None:
    side = _SIDE_FILE.fullmatch(posixpath.basename(path))
    (tree.side_files if side else tree.files).append(path)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == _ARCHIVER_FOLDER


def _walk_remote(tree: Tree) -> None:
    """Goes through a folder of a bucket or cluster volume."""

    def note(error: tf.errors.OpError) -> None:
        raise UserError(
            f"the image folder {printable(tree.root)} cannot be read: {printable(error.message)}"
        ) from error

    for folder, folders, names in tf.io.gfile.walk(tree.root, onerror=note):
        inside = folder.removeprefix(tree.root).strip("/")
        everything = [name.rstrip("/") for name in [*folders, *names]]
        tree.hidden += [posixpath.join(inside, name) for name in everything if _is_hidden(name)]
        # The walk goes on with what is left here.
        folders[:] = [name for name in folders if not _is_hidden(name.rstrip("/"))]
        tree.folders.update(posixpath.join(inside, name.rstrip("/")) for name in folders)
        for name in names:
            if not _is_hidden(name):
                _add_file(tree, posixpath.join(inside, name))


@dataclasses.dataclass(frozen=True)
class _Folder:
    """A folder on the way down: its path below the root, its identity, and where it was come from."""

    path: str
    identity: tuple[int, int]
    parent: "_Folder | None"

    def is_inside(self, identity: tuple[int, int]) -> bool:
        """Whether the folder is, or is inside of, the one with that identity, by the way that was taken."""
        folder: _Folder | None = self
        while folder and folder.identity != identity:
            folder = folder.parent
        return folder is not None


class _LocalWalk:
    """Goes through a local folder; `os.scandir` tells folders from files without a look at each."""

    def __init__(self, tree: Tree, follow_links: bool) -> None:
        self._tree = tree
        self._follow_links = follow_links
        self._root = os.fsencode(tree.root)
        self._real_root = os.path.realpath(self._root)
        self._linked: set[tuple[int, int]] = set()

    def run(self) -> None:
        """Fills the tree. A list of what is to be done has no depth at which it breaks, as recursion has."""
        about = os.stat(self._root)
        waiting = [_Folder("", (about.st_dev, about.st_ino), None)]
        while waiting:
            folder = waiting.pop()
            try:
                with os.scandir(os.path.join(self._root, os.fsencode(folder.path))) as entries:
                    waiting += filter(None, [self._visit(folder, entry) for entry in entries])
            except OSError as error:
                self._tree.problems[folder.path] = f"cannot be read: {error.strerror}"

    def _visit(self, folder: _Folder, entry: os.DirEntry[bytes]) -> _Folder | None:
        """Notes an entry; returns it where it is a folder to go through."""
        name = entry.name.decode("utf-8", "backslashreplace")
        path = f"{folder.path}/{name}" if folder.path else name
        if _is_hidden(name):
            self._tree.hidden.append(path)
            return None
        try:
            problem = self._problem(folder, entry, name)
            if not problem and entry.is_dir():
                self._tree.folders.add(path)
                about = entry.stat()
                return _Folder(path, (about.st_dev, about.st_ino), folder)
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
        if not problem:
            _add_file(self._tree, path)
        elif entry.is_symlink() or not _SIDE_FILE.fullmatch(name):
            self._tree.problems[path] = problem
        else:
            self._tree.side_files.append(path)
        return None

    def _problem(self, folder: _Folder, entry: os.DirEntry[bytes], name: str) -> str:
        """Returns what is wrong with an entry, "" if nothing."""
        if entry.is_symlink() and (problem := self._link_problem(folder, entry)):
            return problem
        if name.encode("utf-8") != entry.name:
            return "its name is not UTF-8"
        if entry.is_file() or entry.is_dir():
            return ""
        return special_kind(entry.stat().st_mode)

    def _link_problem(self, folder: _Folder, entry: os.DirEntry[bytes]) -> str:
        if problem := link_problem(entry.path, self._real_root, self._follow_links):
            return problem
        if not entry.is_dir():
            return ""
        about = entry.stat()
        identity = about.st_dev, about.st_ino
        if folder.is_inside(identity):
            return "a link in a circle, to a folder that it is in"
        if identity in self._linked:
            # Links that lead from each folder to each other would have no end that anyone sees.
            return "a link to a folder that another link leads to"
        self._linked.add(identity)
        return ""


def link_problem(path: bytes, real_root: bytes, follow_links: bool) -> str:
    """Returns what is wrong with the place that a local path leads to, "" if nothing.

    Args:
        path: A path that exists or is a link; its folders may be links, too.
        real_root: The real path of the folder that it may not leave.
        follow_links: Whether it may all the same.
    """
    try:
        os.stat(path)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "a link in a circle"
        return f"a link to nowhere: {error.strerror}"
    real = os.path.realpath(path)
    if not follow_links and os.path.commonpath([real, real_root]) != real_root:
        return "a link out of the image folder (see --ingest.follow_links)"
    return ""


def special_kind(mode: int) -> str:
    """Returns what a file of such a mode is instead of a regular one."""
    return next((f"no file but {name}" for test, name in _KINDS if test(mode)), "no regular file")
