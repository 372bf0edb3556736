"""The official GLUE files: the real ones where CALISR_GLUE_DIR names them, and made-up quirks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from calisr_engine.errors import CalisrError, DataError, UnavailableError
from calisr_engine.tasks import glue
from calisr_engine.tasks.data import TaskData, load_task
from calisr_engine.tasks.settings import TaskSettings

# train, validation, test rows of the folder that CALISR_GLUE_DIR names
REAL = {
    "CoLA": (8551, 1043, 1063),
    "SST-2": (67349, 872, 1821),
    "MRPC": (3668, 408, 1725),
    "STS-B": (5749, 1500, 1379),
    "RTE": (2490, 277, 3000),
    "QNLI": (9999, 5463, 5463),
    "QQP": (8999, 1000, None),
    "MNLI": (8999, 1000, None),
}


def load(name: str, folder: Path) -> TaskData:
    return load_task(TaskSettings(name=name, data_dir=folder))


@pytest.mark.parametrize("name", REAL)
def test_every_row_of_the_real_files_is_read(name: str, glue_dir: Path) -> None:
    data = load(name, glue_dir)
    train, validation, test = REAL[name]
    assert len(data.train) == train
    key = "matched" if name == "MNLI" else "validation"
    assert {k: len(v) for k, v in data.validation.items()} == {key: validation}
    assert {k: len(v) for k, v in data.test.items()} == ({} if test is None else {"test": test})
    task = glue.find(name)
    assert (data.train.text_pair is not None) == task.is_pair
    labels = set(data.train.label or ())
    if task.kind == "classification":
        assert labels == set(range(len(task.label_names)))
    else:
        assert (min(labels), max(labels)) == (0.0, 5.0)
    official = (train, validation) == (task.sizes["train"], task.sizes.get("validation"))
    assert bool([note for note in data.notes if "this folder's" in note]) != official


def test_real_rows_keep_their_quotes_and_their_numbers(glue_dir: Path) -> None:
    mrpc = load("mrpc", glue_dir)
    assert '" the witness "' in mrpc.train.text[0]
    assert mrpc.train.label is not None
    assert mrpc.train.label[0] == 1
    assert mrpc.test["test"].index == tuple(range(1725))
    qnli = load("qnli", glue_dir)
    assert "this folder's QNLI train has 9,999 of 104,743 rows" in qnli.notes
    assert load("mrpc", glue_dir).fingerprint == mrpc.fingerprint != qnli.fingerprint


SST = "sentence\tlabel\ngood film\t1\nbad film\t0\n"


def folder_with(tmp_path: Path, name: str, **files: str | bytes) -> Path:
    folder = tmp_path / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (folder / f"{file}.tsv").write_bytes(data)
    return tmp_path


@pytest.mark.parametrize("name", ["SST-2", "sst2", "SST", "glue_data/SST-2", "."])
def test_folder_names_may_vary(name: str, tmp_path: Path) -> None:
    if name == ".":
        root = folder_with(tmp_path, "SST-2", train=SST, dev=SST) / "SST-2"
    elif name == "SST":
        root = folder_with(tmp_path, "SST_2", train=SST, dev=SST)
    else:
        root = folder_with(tmp_path, name, train=SST, dev=SST)
    assert load("sst-2", root).train.text == ("good film", "bad film")


def test_quotes_mark_and_windows_line_ends(tmp_path: Path) -> None:
    text = '\ufeffsentence\tlabel\r\n"open quote\t1\r\nsaid "" he\t0\r\n'
    data = load("sst2", folder_with(tmp_path, "SST-2", train=text, dev=SST))
    assert data.train.text == ('"open quote', 'said "" he')
    assert data.test == {}


def test_cola_with_and_without_header(tmp_path: Path) -> None:
    bare = "gj04\t1\t\tHe left.\ngj04\t0\t*\tHim left.\n"
    headed = "source\tlabel\tmark\tsentence\n" + bare
    data = load("cola", folder_with(tmp_path, "CoLA", train=bare, dev=headed))
    assert data.train.text == data.validation["validation"].text == ("He left.", "Him left.")
    assert data.train.label == data.validation["validation"].label == (1, 0)


NLI = (
    "index\tsentence1\tsentence2\tgold_label\n0\ta\tb\tneutral\n1\tc\td\tentailment\n"
    "2\te\tf\tcontradiction\n"
)


def test_mnli_takes_the_sets_that_are_there(tmp_path: Path) -> None:
    root = folder_with(tmp_path, "MNLI", train=NLI, dev_matched=NLI)
    data = load("mnli", root)
    assert list(data.validation) == ["matched"]
    assert data.train.label == (1, 0, 2)
    assert any("dev_mismatched.tsv is missing" in note for note in data.notes)
    bare = "index\tsentence1\tsentence2\n7\ta\tb\n9\tc\td\n"
    folder_with(tmp_path, "MNLI", dev_mismatched=NLI, test_mismatched=bare)
    folder_with(tmp_path, "AX", AX=bare)
    data = load("mnli", root)
    assert list(data.validation) == ["matched", "mismatched"]
    assert list(data.test) == ["mismatched", "ax"]
    assert data.test["ax"].index == (7, 9)
    assert data.test["ax"].label is None


def test_a_few_broken_lines_are_left_out_and_said(tmp_path: Path) -> None:
    rows = "".join(f"text {n}\t{n % 2}\n" for n in range(300))
    broken = f"sentence\tlabel\n{rows}only a text\n"
    data = load("sst2", folder_with(tmp_path, "SST-2", train=broken, dev=SST))
    assert len(data.train) == 300
    assert any("1 broken lines" in note and "line 302" in note for note in data.notes)


BAD = {
    "no dev file": ({"train": SST}, "dev.tsv: there is no such file"),
    "empty train": ({"train": "", "dev": SST}, "train.tsv: the file is empty"),
    "header only": ({"train": "sentence\tlabel\n", "dev": SST}, "no row of data"),
    "column": ({"train": SST.replace("sentence", "text"), "dev": SST}, "no column 'sentence'"),
    "label": ({"train": SST + "odd\t2\n", "dev": SST}, "line 4, column 'label': unknown label '2'"),
    "commas": ({"train": SST.replace("\t", ","), "dev": SST}, "there is no column 'label'"),
    "ragged": ({"train": SST + "no label\n", "dev": SST}, "line 4: wrong number of fields"),
    "utf8": ({"train": SST.encode() + b"caf\xe9\t1\n", "dev": SST}, "line 4: byte 4 (0xe9)"),
    "nul": ({"train": SST + "a\0b\t1\n", "dev": SST}, "line 4: there is a NUL byte"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_official_files(case: str, tmp_path: Path) -> None:
    files, expected = BAD[case]
    root = folder_with(tmp_path, "SST-2", **files)  # type: ignore[arg-type]
    with pytest.raises(CalisrError) as caught:
        load("sst2", root)
    assert expected in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == 3


def test_no_such_task_folder_names_what_is_there(tmp_path: Path) -> None:
    folder_with(tmp_path, "RTE", train="")
    with pytest.raises(UnavailableError, match=r"no folder of CoLA in it \(found: RTE\)"):
        load("cola", tmp_path)
    with pytest.raises(UnavailableError, match="no such folder"):
        load("cola", tmp_path / "nowhere")
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(DataError, match="this is a file, not a folder"):
        load("cola", file)
    shutil.rmtree(tmp_path / "RTE")


def test_folders_that_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="cannot be read: File name too long"):
        load("cola", tmp_path / ("x" * 300))
    root = folder_with(tmp_path, "MNLI", train=NLI, dev_matched=NLI)
    exists = Path.exists

    def refuse(path: Path) -> bool:
        if path.name == "dev_mismatched.tsv":
            raise PermissionError(13, "Permission denied")
        return exists(path)

    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(DataError, match=r"dev_mismatched\.tsv: it cannot be reached: Permission"):
        load("mnli", root)


def test_the_hub_out_of_reach_names_the_mend(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(UnavailableError, match="hub is turned off") as caught:
        load_task(TaskSettings(name="rte"))
    assert "--data-dir" in caught.value.hint
    assert "demo" in caught.value.hint
    assert caught.value.exit_code == 3


def test_a_hub_that_does_not_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    import huggingface_hub

    asked = []

    class Dead:
        def head(self, *args: object, **kwargs: object) -> None:
            asked.append(args)
            raise OSError("no route")

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "get_session", Dead)
    with pytest.raises(UnavailableError, match="cannot be reached"):
        load_task(TaskSettings(name="wnli"))
    assert len(asked) == 1
    assert datasets.config.HF_HUB_OFFLINE is False
