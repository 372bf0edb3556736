"""An exported model to the Hugging Face hub: only on request, private unless said otherwise."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from calisr_engine.errors import CalisrError, ConfigError, UnavailableError
from calisr_engine.plain_words import a_sentence, quoted

SENT = ("*.safetensors", "*.json", "*.txt", "*.model", "README.md", "onnx/*.onnx", "onnx/*.data")
"""All that is uploaded: weights, settings, tokenizer and card; nothing that is pickled."""

_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,95}/)?[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


def hub() -> Any:
    """The hub's client, with the token of this user.

    Raises:
        UnavailableError: the hub is off, or there is no token.
    """
    from huggingface_hub import HfApi, constants, get_token

    if constants.HF_HUB_OFFLINE:
        raise UnavailableError(
            "the hub is off (HF_HUB_OFFLINE), so nothing can be pushed", "unset HF_HUB_OFFLINE"
        )
    token = get_token()
    if token is None:
        raise UnavailableError(
            "there is no token of the hub", "log in with `hf auth login`, or set HF_TOKEN"
        )
    return HfApi(token=token)


def check_name(name: str) -> None:
    """Refuse what is no name of a repository.

    Raises:
        ConfigError: with the form of one.
    """
    if not _NAME.fullmatch(name) or ".." in name or "--" in name:
        raise ConfigError(
            f"{quoted(name)} is no name of a repository",
            "give NAME or OWNER/NAME of letters, digits, single dashes, dots and underscores",
        )


def push(folder: Path, name: str, client: Any, public: bool = False) -> str:
    """Upload an exported model to the repository `name`, made where there is none; its address.

    A repository that exists gets a new commit, if it is as private or public as asked for.

    Args:
        folder: what `export_run` wrote.
        client: as `hub` gives it.

    Raises:
        ConfigError: the repository is public and the push was to be private, or the reverse.
        UnavailableError: the hub cannot be reached, or refuses.
    """
    check_name(name)
    try:
        made = client.create_repo(name, private=not public, exist_ok=True, repo_type="model")
        there = client.repo_info(made.repo_id, repo_type="model")
        if bool(there.private) is public:
            is_now, option = ("private", "without") if public else ("public", "with")
            raise ConfigError(
                f"{made.repo_id} exists on the hub and is {is_now}; nothing was uploaded",
                f"push {option} --public, or to another name",
            )
        client.upload_folder(
            repo_id=made.repo_id,
            folder_path=folder,
            repo_type="model",
            allow_patterns=list(SENT),
            commit_message="A model trained with calisr",
        )
    except CalisrError:
        raise
    except Exception as error:  # of the network too: the client has no common base class
        raise UnavailableError(
            f"the model could not be pushed to {name}: {a_sentence(str(error), 300)}",
            "check the network, the name, and that the token may write (`hf auth whoami`)",
        ) from error
    return f"https://huggingface.co/{made.repo_id}"
