"""An independent reader of a GLUE submission, written from the server's rules alone.

It shares no code and no table with the writer.
"""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

ROWS = {
    "CoLA": 1063,
    "SST-2": 1821,
    "MRPC": 1725,
    "QQP": 390965,
    "STS-B": 1379,
    "MNLI-m": 9796,
    "MNLI-mm": 9847,
    "QNLI": 5463,
    "RTE": 3000,
    "WNLI": 146,
    "AX": 1104,
}
THREE = {"entailment", "neutral", "contradiction"}
TWO = {"entailment", "not_entailment"}
BITS = {"0", "1"}
ALLOWED = {
    "CoLA": BITS,
    "SST-2": BITS,
    "MRPC": BITS,
    "QQP": BITS,
    "WNLI": BITS,
    "MNLI-m": THREE,
    "MNLI-mm": THREE,
    "AX": THREE,
    "QNLI": TWO,
    "RTE": TWO,
}


def read_submission(path: Path) -> dict[str, list[str]]:
    """Predictions by test set, in the order of the row numbers; AssertionError on any flaw."""
    found: dict[str, list[str]] = {}
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert len(names) == len(set(names))
        for name in names:
            match = re.fullmatch(r"([A-Za-z0-9-]+)\.tsv", name)
            assert match is not None, f"{name} is not at the top of the zip"
            title = match[1]
            assert title in ROWS, f"{title} is no test set of GLUE"
            found[title] = read_table(title, archive.read(name))
    return found


def read_table(title: str, content: bytes) -> list[str]:
    assert content.endswith(b"\n")
    assert b"\r" not in content
    lines = io.BytesIO(content).read().decode("ascii").split("\n")[:-1]
    assert lines[0] == "index\tprediction", lines[0]
    assert len(lines) - 1 == ROWS[title], f"{title}: {len(lines) - 1} rows"
    predictions = []
    for number, line in enumerate(lines[1:]):
        index, prediction = line.split("\t")
        assert index == str(number), f"{title}, row {number}: index {index}"
        if title == "STS-B":
            assert re.fullmatch(r"\d(\.\d+)?", prediction), prediction
            assert 0 <= float(prediction) <= 5
        else:
            assert prediction in ALLOWED[title], f"{title}, row {number}: {prediction!r}"
        predictions.append(prediction)
    return predictions
