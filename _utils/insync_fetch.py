"""Taking the artefacts of a version from where builds are kept: a folder, or a prefix of a bucket."""

import contextlib
import pathlib
import re
import shutil
import tempfile

from insync_store_errors import StoreError
from insync_store_parts import parallel

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+~:@-]*")


class FetchError(ValueError):
    """The artefacts cannot be taken; the message says which and why."""


def version(source, version, folder, store=None):
    """
    Copy ``<source>/<version>/`` into ``folder``; return where it is then (pathlib.Path): ``<folder>/<version>``.

    source (str or pathlib.Path): a folder, or ``s3://bucket/prefix``; then store (insync_store.Store) is that bucket.
    version (str). folder (str or pathlib.Path): made if need be; what it has of the version is replaced.
    It appears as a whole, and nothing is left of it otherwise. Nothing is verified but that it came as it was sent.
    Raises FetchError for a name that no artefact has, a version that is not there, or a failing store or disk.
    """
    if not NAME.fullmatch(version):
        raise FetchError(f"{version!r}: no version; it is what a folder is called, such as 3.9.7.60031")
    target = pathlib.Path(folder, version)
    copy = _from_store if str(source).startswith("s3://") else _from_folder
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for stale in target.parent.glob(f".{version}.fetch-*"):
            shutil.rmtree(stale)
        with tempfile.TemporaryDirectory(prefix=f".{version}.fetch-", dir=target.parent) as temporary:
            new = pathlib.Path(temporary, "new")
            new.mkdir()
            copy(str(source), version, new, store)
            with contextlib.suppress(FileNotFoundError):
                target.rename(new.with_name("old"))
            new.rename(target)
    except OSError as exc:
        raise FetchError(f"{exc.filename or source}: {exc.strerror or exc}") from exc
    except StoreError as exc:
        raise FetchError(str(exc)) from exc
    return target


def _from_folder(source, version, new, _):
    folder = pathlib.Path(source, version)
    if not folder.is_dir():
        raise FetchError(f"{folder}: there is no version {version}")
    files = sorted(folder.iterdir())
    _check([file.name for file in files], folder)
    for file in files:
        if file.is_symlink() or not file.is_file():
            raise FetchError(f"{file}: is no file; a version is a flat folder of files")
        shutil.copyfile(file, new / file.name)


def _from_store(source, version, new, store):
    bucket, _, prefix = source.removeprefix("s3://").partition("/")
    if store is None or store.bucket != bucket:
        raise FetchError(f"{source}: is not in the bucket {store.bucket if store else ''} that its credentials are for")
    start = f"{prefix.strip('/')}/{version}/".lstrip("/")
    names = {key.removeprefix(start): item for key, item in store.list(start).items() if key != start}
    _check(names, f"{source}/{version}")
    parallel(lambda name: _download(store, start + name, new / name), names)


def _download(store, key, path):
    with path.open("wb") as file:
        for piece in store.read(key):
            file.write(piece)


def _check(names, where):
    if not names:
        raise FetchError(f"{where}: there is nothing of this version")
    for name in names:
        if not NAME.fullmatch(name):
            raise FetchError(f"{where}: {name!r} is no name of an artefact")
