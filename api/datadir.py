"""The data directory: one process at a time, its own files readable by its user only."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from pydantic import SecretStr

from schemas.settings import Settings
from storage.keys import load_pepper

LOCK = "lock"
TEMPORARY = "tmp"


class DataDirError(Exception):
    """The data directory cannot be used; the message names the fix."""


class PepperError(Exception):
    """The secret that API keys are hashed with is missing or unreadable; the message names the fix."""


class DataDirLock:
    """An advisory lock on `data_dir/lock`. The kernel drops it with the process, so a killed one leaves nothing behind."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / LOCK
        self._file: int | None = None

    def acquire(self) -> None:
        """Take the lock and leave this process's id in the file.

        Raises:
            DataDirError: another process has it, or the folder cannot be written.
        """
        create(self.path.parent)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(file)
            raise DataDirError(
                f"{self.path.parent} is used by another tracewarden process{_named(self.path)}: "
                "stop that process, or pass another --data-dir"
            ) from error
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode())
        self._file = file

    def release(self) -> None:
        """Let another process in. Safe to call twice."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def _named(lock: Path) -> str:
    pid = lock.read_text().strip()
    return f" (pid {pid})" if pid else ""


def create(data_dir: Path) -> None:
    """Make the folder with access for its user only; leave an existing one as it is.

    Raises:
        DataDirError: it cannot be made or written.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise DataDirError(
            f"{data_dir} cannot be created ({error.strerror}): pass --data-dir with a writable folder"
        ) from error
    if not os.access(data_dir, os.W_OK | os.X_OK):
        raise DataDirError(f"{data_dir} is not writable for this user: change its owner, or pass another --data-dir")


def own_temporary_files(data_dir: Path) -> None:
    """Keep temporary files in a closed folder of the data directory, emptied now: inserts pass their text through some."""
    folder = data_dir.resolve() / TEMPORARY
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    tempfile.tempdir = str(folder)


def holder(data_dir: Path) -> int | None:
    """The id of the process that has the lock now; None when it is free."""
    lock = DataDirLock(data_dir)
    if not lock.path.exists():
        return None
    with lock.path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = file.read().strip()
            return int(pid) if pid else 0
    return None


def read_pepper(settings: Settings) -> SecretStr:
    """The secret that API keys are hashed with: from the settings, else made once and kept in the data directory.

    Raises:
        PepperError: it is given twice or unreadable; or the control database is shared, where each process would make its own.
    """
    shared = settings.database_url is not None
    if shared and settings.auth.pepper is None and settings.auth.pepper_file is None:
        raise PepperError(
            "auth.pepper is not set: processes that share a control database need the same one. Set TRACEWARDEN_AUTH__PEPPER "
            "or TRACEWARDEN_AUTH__PEPPER_FILE to 32 random bytes, such as `openssl rand -hex 32`"
        )
    create(settings.data_dir)
    try:
        return load_pepper(settings.auth, settings.data_dir)
    except ValueError as error:
        raise PepperError(str(error)) from error
