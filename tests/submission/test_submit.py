"""`calisr submit` from runs to the zip, on made-up files in GLUE's form."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from calisr_engine.process.execute import execute
from calisr_engine.storage.sealed import MANIFEST, sealed_folder
from calisr_tui.cli.app import run_command_line
from tests.submission.reader import read_submission
from tests.training.tiny_run import make_run, save_model

WORDS = ["a cat", "the dog", 'a "quoted', "it's", "rain", "some snow", "red wine", "big oaks"]


def text(number: int) -> str:
    """Many have one double quote, which is a plain character and must not join lines."""
    return f"{WORDS[number % 8]} {WORDS[number // 8 % 8]} {WORDS[number // 64 % 8]}"


def table(header: str, rows: list[str]) -> str:
    return "\n".join([header, *rows]) + "\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GLUE/ with WNLI and MNLI, and runs of both; test sets of the official sizes where there are
    any (WNLI, AX), a wrong one (MNLI-m) and none (MNLI-mm)."""
    root = tmp_path_factory.mktemp("submit")
    glue = root / "GLUE"
    for name in ("WNLI", "MNLI", "AX"):
        (glue / name).mkdir(parents=True)
    pair = "index\tsentence1\tsentence2"
    plain = [f"{i}\t{text(i)}\t{text(3 * i + 1)}" for i in range(1104)]
    labelled = [f"{row}\t{i % 2}" for i, row in enumerate(plain[:60])]
    for name in ("train", "dev"):
        (glue / "WNLI" / f"{name}.tsv").write_text(table(f"{pair}\tlabel", labelled))
    (glue / "WNLI" / "test.tsv").write_text(table(pair, plain[:146]))
    three = ["entailment", "neutral", "contradiction"]
    labelled = [f"{row}\t{three[i % 3]}" for i, row in enumerate(plain[:60])]
    for name in ("train", "dev_matched"):
        (glue / "MNLI" / f"{name}.tsv").write_text(table(f"{pair}\tgold_label", labelled))
    (glue / "MNLI" / "test_matched.tsv").write_text(table(pair, plain[:50]))
    (glue / "AX" / "AX.tsv").write_text(table(pair, plain))
    model = save_model(root / "tiny")
    runs = root / "runs"

    def train(name: str, task: str, method: str, *more: str) -> None:
        data = (f"task.name={task}", f"task.data_dir={glue}", f"method.name={method}")
        run = make_run(model, runs, name, *data, "training.epochs=2", *more)
        assert execute(run, raise_errors=True) == 0

    train("wnli", "WNLI", "lora", "calibration.variant=S", "calibration.delta=0.3")
    train("wnli-part", "WNLI", "fft", "task.max_validation_examples=10")
    train("mnli", "mnli", "adapter")
    train("mnli-plain", "mnli", "fft", "task.metric=macro_f1", "training.learning_rate=1e-3")
    mix(runs / "mnli-plain" / "model")
    return root


def mix(folder: Path) -> None:
    """Give a model a head that tells texts apart; after so little training it would not."""
    model: Any = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    pairs = [(text(i), text(3 * i + 1)) for i in range(200)]
    inputs = AutoTokenizer.from_pretrained(folder)(pairs, padding=True, return_tensors="pt")
    with torch.no_grad():
        model.classifier.weight.normal_(generator=torch.Generator().manual_seed(1))
        model.classifier.bias -= model(**inputs).logits.mean(0)
    own = folder.rename(folder.with_name("own"))
    with sealed_folder(folder, {}, "the model", "") as part:
        shutil.copytree(own, part, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST))
        model.save_pretrained(part)


@pytest.fixture
def at(place: Path, tmp_path: Path) -> Path:
    """A copy of the runs, to break."""
    shutil.copytree(place / "runs", tmp_path / "runs")
    return tmp_path


def submit(at: Path, *more: str, out: str = "glue.zip") -> tuple[int, Path]:
    arguments = ["submit", str(at / "runs"), "--device", "cpu", "--out", str(at / out), *more]
    return run_command_line(arguments), at / out


def test_from_runs_to_the_zip(at: Path, capfd: pytest.CaptureFixture[str]) -> None:
    status, out = submit(at, "--run", "mnli=mnli-plain", "--json")
    said, told = capfd.readouterr()
    assert status == 3  # files are missing
    found = read_submission(out)
    assert set(found) == {"WNLI", "AX"}
    files = {each["file"]: each for each in json.loads(said)["files"]}
    assert files["MNLI-m.tsv"]["why_missing"] == (
        "the test set has 50 rows where the official one has 9,796"
    )
    assert "no test file" in files["MNLI-mm.tsv"]["why_missing"]
    assert "no complete run of RTE" in files["RTE.tsv"]["why_missing"]
    assert "9 of 11 files are missing" in told
    # Evaluated on ten rows only, so it does not count however good it was.
    assert files["WNLI.tsv"]["run"].endswith("/wnli")
    assert "WNLI: " in told
    assert files["AX.tsv"]["run"].endswith("mnli-plain")
    assert "\r" not in told  # no progress where stderr is no terminal

    assert len(set(found["AX"])) == 3
    # What transformers alone says, one row at a time.
    for title, run, words in (
        ("AX", "mnli-plain", None),
        ("WNLI", "wnli", {"not_entailment": "0", "entailment": "1"}),
    ):
        folder = at / "runs" / run / "model"
        model: Any = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder)
        expected = []
        for i in range(len(found[title])):
            inputs = tokenizer(text(i), text(3 * i + 1), truncation=True, max_length=64)
            batch = {key: torch.tensor([value]) for key, value in inputs.items()}
            with torch.no_grad():
                number = int(model(**batch).logits.argmax())
            name = model.config.id2label[number]
            expected.append(name if words is None else words[name])
        assert found[title] == expected


def test_without_an_export_the_best_weights_give_the_same(at: Path) -> None:
    """Both for a merged model (WNLI) and for a method with its own format (MNLI, adapters)."""
    _, exported = submit(at, "--run", "mnli=mnli", out="exported.zip")
    for run in ("wnli", "mnli"):
        shutil.rmtree(at / "runs" / run / "model")
    _, rebuilt = submit(at, "--run", "mnli=mnli", out="rebuilt.zip")
    assert set(read_submission(rebuilt)) == {"WNLI", "AX"}
    assert exported.read_bytes() == rebuilt.read_bytes()
    shutil.rmtree(at / "runs" / "wnli" / "best")
    _, out = submit(at, "--run", "mnli=mnli", out="less.zip")
    assert set(read_submission(out)) == {"AX"}


def test_classes_count_by_their_names_in_whatever_order(at: Path) -> None:
    _, before = submit(at, "--run", "mnli=mnli-plain", out="before.zip")
    folder = at / "runs" / "mnli-plain" / "model"
    order = [2, 0, 1]
    weights = load_file(folder / "model.safetensors")
    for name in ("classifier.weight", "classifier.bias"):
        weights[name] = weights[name][order].contiguous()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    names = [config["id2label"][str(number)] for number in order]
    config["id2label"] = {str(number): name for number, name in enumerate(names)}
    config["label2id"] = {name: number for number, name in enumerate(names)}
    (folder / "config.json").write_text(json.dumps(config))
    _, after = submit(at, "--run", "mnli=mnli-plain", out="after.zip")
    assert len(set(read_submission(after)["AX"])) == 3
    assert read_submission(after) == read_submission(before)
    # Names that are no classes of the task are refused, not guessed.
    config["id2label"] = {str(number): f"LABEL_{number}" for number in range(3)}
    config["label2id"] = {f"LABEL_{number}": number for number in range(3)}
    (folder / "config.json").write_text(json.dumps(config))
    _, last = submit(at, "--run", "mnli=mnli-plain", out="last.zip")
    assert set(read_submission(last)) == {"WNLI"}


def test_runs_are_compared_by_the_tasks_own_metric(
    at: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One of the MNLI runs picked its best model by macro F1."""
    status, _ = submit(at, "--dry-run", "--json")
    assert status == 0
    said = json.loads(capfd.readouterr()[0])
    ax = next(each for each in said["files"] if each["file"] == "AX.tsv")
    assert ax["metric"] == "accuracy"
    assert ax["chosen"] == "best accuracy of 2 complete runs"
    values = {}
    for run in ("mnli", "mnli-plain"):
        lines = (at / "runs" / run / "events.jsonl").read_text().splitlines()
        events = map(json.loads, lines)
        best = [e for e in events if e["type"] == "evaluated" and e["is_best"]][-1]
        values[run] = best["metrics"]["matched/accuracy"]
    assert ax["value"] == max(values.values())
    assert not (at / "glue.zip").exists()


def test_stand_ins_are_told(at: Path, capfd: pytest.CaptureFixture[str]) -> None:
    status, out = submit(at, "--fill-missing")
    said, told = capfd.readouterr()
    assert status == 0
    assert len(read_submission(out)) == 11
    assert said.count("CONSTANT, not predicted") == 9
    assert "9 of 11 files hold a constant" in told
    assert submit(at, "--fill-missing", "--dry-run")[0] == 0
    assert capfd.readouterr()[0].count("CONSTANT, not predicted") == 9


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        (["--run", "rte=wnli"], 2, "wnli is a run of wnli, not a run of RTE"),
        (["--run", "ax=mnli"], 2, "AX is predicted by the model of MNLI"),
        (["--run", "nothing=mnli"], 2, "there is no task 'nothing'"),
        (["--run", "mnli"], 2, "expected TASK=RUN"),
        (["--run", "wnli=no-such-run"], 4, "no run 'no-such-run'"),
        (["no-such-folder"], 4, "no-such-folder"),
        (["--out", "glue.tsv"], 2, "must end in .zip"),
    ],
)
def test_mistakes(
    more: list[str], status: int, words: str, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["submit", str(place / "runs"), *more]) == status
    said, told = capfd.readouterr()
    assert words in told
    assert said == ""
    assert "Traceback" not in told


def test_own_data_under_a_glue_name_is_no_run_of_it(at: Path) -> None:
    config = at / "runs" / "wnli" / "config.toml"
    lines = [line for line in config.read_text().splitlines() if "data_dir" not in line]
    own = 'train_file = "a.csv"\nvalidation_file = "a.csv"\ntext_column = "t"\n'
    own += 'label_column = "l"\nkind = "classification"'
    cut = [line for line in lines if not line.startswith("# ") or "file" not in line]
    text = "\n".join(cut).replace("[task]", f"[task]\n{own}")
    config.write_text(text + "\n")
    shutil.rmtree(at / "runs" / "wnli-part")
    _, out = submit(at)
    assert set(read_submission(out)) == {"AX"}


def test_a_dry_run_imports_no_torch(place: Path) -> None:
    code = (
        "import sys; from calisr_tui.cli.app import run_command_line as r;"
        f"r(['submit', {str(place / 'runs')!r}, '--dry-run']);"
        "heavy = {'torch', 'transformers', 'textual', 'datasets', 'peft'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WNLI.tsv     146 rows to predict" in done.stdout
