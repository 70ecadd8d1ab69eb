"""Where weights come from: built in, a local file, a training run, or the Hugging Face hub."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from page4d.io.names import checked_name, checked_relative
from page4d.places import json_of
from page4d.schema import MALFORMED, UserError

BUILTIN_FOLDER = Path(__file__).parent.parent / "model" / "builtin"
ALIASES = {"tiny": "page4d-tiny"}
WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth")
INDEX_SUFFIX = ".index.json"  # of the file that says which of several holds each tensor, as the hub's tools write it
INDEX_FILES = ("model.safetensors" + INDEX_SUFFIX, "pytorch_model.bin" + INDEX_SUFFIX)
# The last is what older versions of the hub's mixin wrote.
ONE_FILE = ("best.safetensors", "best.pt", "model.safetensors", "model.pt", "pytorch_model.bin")
RUN_FILES = (*ONE_FILE, *INDEX_FILES)
HUB_FILES = ("model.safetensors", "model.pt", INDEX_FILES[0])
LARGEST_FILE = 100_000_000_000  # bytes; no weights of this kind come near it
SAFE_NAME = r"[0-9A-Za-z][0-9A-Za-z._-]*"  # what a commit or an ETag may be, since folders and files are named so

HUB_OPTIONS = ("revision", "token", "cache_dir", "local_files_only", "force_download", "endpoint", "etag_timeout")


class NoSuchFileError(UserError):
    """The repository is there, the file is not."""


@dataclass(frozen=True)
class HubFile:
    """One file of a hub repository; `mask` says whether the network runs with its mask on, None = not known."""

    repo: str
    file: str
    kind: str = "model"
    mask: bool | None = None


RELEASED = {
    "nomask": HubFile(repo="zhouk777/PAGE4D", file="checkpoint_nomask.pt", kind="dataset", mask=False),
    "mask": HubFile(repo="zhouk777/PAGE4D", file="checkpoint_mask.pt", kind="dataset", mask=True),
    "vggt": HubFile(repo="facebook/VGGT-1B", file="model.safetensors", mask=False),
    # The same network under a licence that allows commercial use, after a form on the hub; its own training run.
    "vggt-commercial": HubFile(repo="facebook/VGGT-1B-Commercial", file="vggt_1B_commercial.pt", mask=False),
    # VGGT with the track head for scenes that move; the one in VGGT-1B was trained for rigid scenes.
    "vggt-tracker": HubFile(repo="facebook/VGGT_tracker_fixed", file="model_tracker_fixed_e20.pt", mask=False),
}
UNTRAINED_MASKS = ("vggt-tiny",)  # networks that came before their mask head was first used


@dataclass(frozen=True)
class WeightsFile:
    """A weights file on this machine, how the user named it, and whether its mask is known to be on or off."""

    path: Path
    name: str
    mask: bool | None = None
    mask_trained: bool = True


def builtin_names() -> list[str]:
    """Names of the small networks that come with the package, aliases first."""
    stored = sorted(path.stem for path in BUILTIN_FOLDER.glob("*.safetensors"))
    return [alias for alias, name in ALIASES.items() if name in stored] + stored


def find_weights(source: os.PathLike[str] | str, **hub_options: Any) -> WeightsFile:
    """The local file behind a source, fetched from the hub where it is not here yet.

    Note:    tried in this order: a built-in or released name; an existing file or folder;
             `[datasets/]owner/name[/file]` on the hub. PAGE-4D's own file names (checkpoint_mask.pt,
             checkpoint_nomask.pt) say their mask.
    Raises:  UserError if nothing of that name exists, here or there, or for options that the source does not have.
    """
    name = os.fspath(source)
    if unknown := hub_options.keys() - set(HUB_OPTIONS):
        raise UserError(f"unknown options {sorted(unknown)}; for weights of the hub there are {', '.join(HUB_OPTIONS)}")
    if name in RELEASED:
        return WeightsFile(fetch(RELEASED[name], **hub_options), name, RELEASED[name].mask)
    local = _local_weights(name)
    if local is not None:
        if hub_options:
            raise UserError(f"{name} is on this machine; {', '.join(hub_options)} can be given for weights of the hub")
        released = {file.file: file.mask for file in RELEASED.values() if file.kind == "dataset"}
        return WeightsFile(local, name, released.get(local.name), local.stem not in UNTRAINED_MASKS)
    hub_files = parse_hub_name(name)
    by_file = {(known.repo, known.file): known for known in RELEASED.values()}
    candidates = [by_file.get((wanted.repo, wanted.file), wanted) for wanted in hub_files]
    return fetch_any(candidates, name, **hub_options)


def _local_weights(name: str) -> Path | None:
    builtin = builtin_file(name)
    path = Path(name).expanduser()
    if builtin is None and path.is_dir():
        return best_of_run(path)
    return builtin or (path if path.exists() else None)


def builtin_file(name: str) -> Path | None:
    """The file of a network that comes with the package; None if no such network has that name."""
    path = BUILTIN_FOLDER / f"{ALIASES.get(name, name)}.safetensors"
    return path if os.sep not in name and path.is_file() else None


def best_of_run(folder: Path) -> Path:
    """The best weights of a training run's folder, or those of `save_pretrained`.

    Raises:  UserError if the folder holds none.
    """
    for name in RUN_FILES:
        for place in (folder, folder / "checkpoints", folder / "weights"):
            if (place / name).is_file():
                return place / name
    raise UserError(
        f"{folder} holds no {' or '.join(ONE_FILE)}; "
        "give a training run's folder, one of save_pretrained, or a weights file"
    )


def parts_of(index: Path) -> dict[str, str]:
    """The name of the file that holds each tensor, of weights in several files; all stand beside their index.

    Raises:  UserError for an index that is damaged or names a place elsewhere.
    """
    try:
        stored = json_of(index)["weight_map"]
        if not isinstance(stored, Mapping) or not stored:
            raise ValueError("weight_map is no table of names")
    except (OSError, *MALFORMED) as error:
        raise UserError(f"{index} is no index of weights in several files, it lacks a weight_map: {error}") from error
    return {str(name): checked_name(str(file), str(index)) for name, file in stored.items()}


def parse_hub_name(name: str) -> list[HubFile]:
    """`[datasets/]owner/name[/file]` as the files to try, in order.

    Raises:  UserError if the name can be neither a hub repository nor an existing file.
    """
    kind = "dataset" if name.startswith("datasets/") else "model"
    parts = name.removeprefix("datasets/").split("/")
    looks_local = name.startswith((".", "/", "~")) or (len(parts) < 3 and name.endswith(WEIGHT_SUFFIXES))
    if looks_local or len(parts) < 2 or not all(parts):
        raise UserError(
            f"{name}: no file or folder here, and not a known name; known are {', '.join(known_names())}, "
            "or give a .pt or .safetensors file, a training run's folder, or owner/name[/file] of the hub"
        )
    checked_relative("/".join(parts), "the hub")
    repo, file = "/".join(parts[:2]), "/".join(parts[2:])
    return [HubFile(repo, file, kind)] if file else [HubFile(repo, each, kind) for each in HUB_FILES]


def known_names() -> list[str]:
    """Every name that needs no path: the built-in networks and the released checkpoints."""
    return [*builtin_names(), *RELEASED]


def fetch(wanted: HubFile, **hub_options: Any) -> Path:
    """One file of the hub, from the cache where it is there.

    Note:    huggingface_hub does the work: HF_HOME, HF_ENDPOINT and HF_HUB_OFFLINE hold, a broken connection is
             resumed where it stopped. `hub_options` are its revision, token, cache_dir, local_files_only, ...
    Raises:  UserError if the repository or file does not exist, needs a login, or cannot be reached.
    """
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    # Each version of the hub's client has its own HTTP library; this is the base class of that one's errors.
    http_error: type[Exception] = HfHubHTTPError.__bases__[0]
    where = f"{wanted.file} of the {wanted.kind} repository {wanted.repo}"
    try:
        _check_claims(wanted, where, **hub_options)
        return Path(hf_hub_download(wanted.repo, wanted.file, repo_type=wanted.kind, **hub_options))
    except GatedRepoError as error:
        raise UserError(f"{where} needs a login: accept its terms on the hub, then run `hf auth login`") from error
    except RepositoryNotFoundError as error:
        raise UserError(f"the {wanted.kind} repository {wanted.repo} does not exist, or needs a login") from error
    except RevisionNotFoundError as error:
        raise UserError(f"{wanted.repo} has no revision {hub_options.get('revision')!r}") from error
    except LocalEntryNotFoundError as error:
        offline = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else f"{constants.ENDPOINT} cannot be reached"
        raise UserError(f"{where} is not in the cache {constants.HF_HUB_CACHE}, and {offline}") from error
    except EntryNotFoundError as error:
        raise NoSuchFileError(f"there is no {where}") from error
    except UserError:
        raise
    except HFValidationError as error:
        raise UserError(f"{wanted.repo} is not the name of a hub repository: {error}") from error
    except (http_error, OSError, ValueError) as error:  # a ValueError: a name that no address can hold
        raise UserError(f"{where} could not be fetched: {' '.join(str(error).split())}") from error


def _check_claims(wanted: HubFile, where: str, **hub_options: Any) -> None:
    """Ask the hub what it is about to send, before its client makes files of the names that it says.

    Raises:  UserError for a commit or ETag that is a path, or a size beyond all sense; the client's own errors.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RepositoryNotFoundError

    if hub_options.get("local_files_only"):
        return
    endpoint = hub_options.get("endpoint")
    revision = hub_options.get("revision")
    address = hf_hub_url(wanted.repo, wanted.file, repo_type=wanted.kind, revision=revision, endpoint=endpoint)
    timeout = hub_options.get("etag_timeout", 10)
    http_error: type[Exception] = HfHubHTTPError.__bases__[0]
    try:
        said = get_hf_file_metadata(address, token=hub_options.get("token"), timeout=timeout)
    except (EntryNotFoundError, RepositoryNotFoundError):
        raise
    except (http_error, OSError):
        return  # the client that comes next takes what is in the cache, or says what is the matter
    for what, name in {"commit": said.commit_hash, "ETag": said.etag}.items():
        if name is not None and not re.fullmatch(SAFE_NAME, name):
            raise UserError(f"{where}: the server names its {what} {name!r}, which is no name; is it a hub?")
    if said.size is not None and said.size > LARGEST_FILE:
        raise UserError(f"{where}: the server says {said.size / 1e9:.0f} GB, weights are never so large; is it a hub?")


def fetch_any(candidates: list[HubFile], name: str, **hub_options: Any) -> WeightsFile:
    """The first of several files that its repository has, with all parts where they are in several.

    Raises:  UserError as `fetch`; NoSuchFileError naming all of them if it has none.
    """
    for candidate in candidates:
        try:
            path = fetch(candidate, **hub_options)
        except NoSuchFileError:
            continue
        if candidate.file.endswith(INDEX_SUFFIX):
            _fetch_parts(candidate, path, **hub_options)
        return WeightsFile(path, name, candidate.mask)
    files = " or ".join(candidate.file for candidate in candidates)
    raise NoSuchFileError(f"there is no {files} of the {candidates[0].kind} repository {candidates[0].repo}")


def _fetch_parts(wanted: HubFile, index: Path, **hub_options: Any) -> None:
    """All files that an index of the hub names, and the configuration beside it."""
    folder, slash, _ = wanted.file.rpartition("/")
    for name in sorted(set(parts_of(index).values())):
        fetch(replace(wanted, file=folder + slash + name), **hub_options)
    with suppress(NoSuchFileError):
        fetch(replace(wanted, file=f"{folder}{slash}config.json"), **hub_options)


def upload(folder: Path, repo: str, *, private: bool | None = None, token: str | None = None) -> str:
    """Make a model repository of the hub from a folder's files; returns its address.

    Raises:  UserError if the name is not one, the login is missing, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    http_error: type[Exception] = HfHubHTTPError.__bases__[0]
    api = HfApi(token=token)
    try:
        address = api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Weights of page4d")
    except LocalTokenNotFoundError as error:
        raise UserError(f"{repo} needs a login; run `hf auth login`") from error
    except HFValidationError as error:
        raise UserError(f"{repo} is not a name of a hub repository: {error}") from error
    except (http_error, OSError) as error:
        raise UserError(f"{repo} could not be written to: {error}; run `hf auth login`, or give a token") from error
    return str(address)
