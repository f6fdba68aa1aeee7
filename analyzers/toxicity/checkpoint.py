"""Finding Detoxify's checkpoint and proving that it is the one that was meant. Loading one runs code in it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from analyzers.hosting import ModelUnavailableError
from schemas.analysis import ToxicitySettings


@dataclass(frozen=True)
class Checkpoint:
    """A file whose content has been verified."""

    path: Path
    sha256: str


def verified_checkpoint(settings: ToxicitySettings) -> Checkpoint:
    """The checkpoint that the settings mean.

    Raises:
        ModelUnavailableError: it is not there, or is not what its SHA-256 says; the message names the fix.
    """
    if settings.checkpoint is None:
        return _published(settings)
    return _verified(settings.checkpoint, settings.checkpoint_sha256 or "")


def _published(settings: ToxicitySettings) -> Checkpoint:
    """The published one, from torch's cache. Its name ends in the first digits of its SHA-256."""
    import torch
    from detoxify.detoxify import MODEL_URLS

    url = MODEL_URLS[settings.model]
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    digits = path.stem.rsplit("-", 1)[-1]
    if not path.is_file() and settings.download:
        _download(url, path, digits)
    return _verified(path, digits)


def _download(url: str, path: Path, digits: str) -> None:
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(path), hash_prefix=digits, progress=False)
    except (OSError, RuntimeError) as error:
        raise ModelUnavailableError(
            f"Detoxify's checkpoint cannot be fetched from {url} ({error}): set analysis.toxicity.checkpoint to a local copy"
        ) from error


def _verified(path: Path, digits: str) -> Checkpoint:
    try:
        sha256 = _sha256(path)
    except OSError as error:
        raise ModelUnavailableError(
            f"Detoxify's checkpoint {path} cannot be read ({error.strerror}): set analysis.toxicity.checkpoint and "
            "checkpoint_sha256 to a local copy, or analysis.toxicity.download to fetch it, or analysis.toxicity.model to none"
        ) from error
    if not digits or not sha256.startswith(digits.lower()):
        raise ModelUnavailableError(
            f"{path} was not loaded, because loading runs code in it and it is not the file that was meant: its SHA-256 is "
            f"{sha256}, expected {digits or 'none'}; correct analysis.toxicity.checkpoint_sha256, or get the right file"
        )
    return Checkpoint(path, sha256)


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
