"""Files that programs and people do write: read to the cell, or refused with place and mend."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calisr_engine.errors import DataError
from calisr_engine.plain_words import one_line
from calisr_engine.tasks.data import TaskData, load_task
from calisr_engine.tasks.formats import read_table
from calisr_engine.tasks.settings import TaskSettings


def load(path: Path, test: Path | None = None, **more: Any) -> TaskData:
    keys = {"text_column": "text", "label_column": "label", "kind": "classification"} | more
    return load_task(
        TaskSettings(name="mine", train_file=path, validation_file=path, test_file=test, **keys)
    )


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refused(path: Path, **more: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        load(path, **more)
    assert one_line(str(path)) in caught.value.message
    assert caught.value.hint
    assert len(str(caught.value)) < 2000
    return caught.value


def parquet(path: Path, names: list[str], columns: list[Any]) -> Path:
    import pyarrow as pa
    from pyarrow import parquet as pq

    pq.write_table(pa.table(columns, names=names), path)
    return path


GOOD = "text,label\nfine day,pos\nbad day,neg\n"


def test_long_cells_are_read(tmp_path: Path) -> None:
    long = "word " * 60_000
    csv.field_size_limit(131_072)
    for name, content in [
        ("quoted.csv", f'{GOOD}"{long}",pos\n'),
        ("plain.csv", f"{GOOD}{long},pos\n"),
        ("quoted.tsv", f'"text"\t"label"\n"{long}"\t"a"\n"b"\t"b"\n'),
    ]:
        assert long in load(written(tmp_path, name, content)).train.text


def test_halves_of_characters_are_replaced_and_told(tmp_path: Path) -> None:
    rows = [{"text": "half \ud83d smile", "label": 1}, {"text": "whole \ud83d\ude42", "label": 0}]
    data = load(written(tmp_path, "t.jsonl", "\n".join(map(json.dumps, rows))))
    assert data.train.text == ("half \ufffd smile", "whole 🙂")
    assert any("1 of 2 texts hold halves of characters" in note for note in data.notes)
    assert sum("the first in line 1" in note for note in data.notes) == 1


def test_only_the_named_columns_of_a_parquet_file_are_read(tmp_path: Path) -> None:
    import pyarrow as pa

    bytes_no_text = pa.array([b"\xff", b"\xfe"]).cast(pa.binary())
    broken = pa.Array.from_buffers(pa.string(), 2, bytes_no_text.buffers())
    long_ago = pa.array([3 * 10**17, 0], pa.timestamp("us"))
    twice = pa.array(["x", "y"])
    path = parquet(
        tmp_path / "t.parquet",
        ["text", "label", "broken", "when", "twice", "twice"],
        [pa.array(["a", "b"]), pa.array([0, 1]), broken, long_ago, twice, twice],
    )
    assert load(path).train.text == ("a", "b")
    error = refused(path, text_column="twice")
    assert "the header has 2 columns named 'twice'" in error.message
    error = refused(path, text_column="broken")
    assert "row 1, column 'broken': a text that is not UTF-8" in error.message
    assert "row 1, column 'when'" in refused(path, label_column="when").message
    error = refused(path, text_column="txet")
    assert "there is no column 'txet'" in error.message
    assert "did you mean 'text'?" in error.hint


def test_a_dotted_name_is_no_part_of_a_structure(tmp_path: Path) -> None:
    path = parquet(
        tmp_path / "t.parquet", ["a", "a.b", "label"], [[{"b": 1}, {"b": 2}], ["x", "y"], [0, 1]]
    )
    assert load(path, text_column="a.b").train.text == ("x", "y")
    assert "an object where a text" in refused(path, text_column="a").message


def test_a_parquet_page_with_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet as pq

    path = tmp_path / "t.parquet"
    table = pa.table({"text": ["fine day", "bad day"], "label": [0, 1]})
    pq.write_table(table, path, compression="none", write_page_checksum=True, use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[content.index(b"\x08\0\0\0fine day") + 4] ^= 1
    path.write_bytes(bytes(content))
    assert "not a readable Parquet file" in refused(path).message


def test_the_separator_of_a_csv_file_is_found(tmp_path: Path) -> None:
    tabs = written(tmp_path, "t.csv", "text\tlabel\na, b; c\tpos\nd\tneg\n")
    assert load(tabs).train.text == ("a, b; c", "d")
    bars = written(tmp_path, "b.csv", 'text|label\n"a, b|c"|pos\nd; e|neg\n')
    assert load(bars).train.text == ("a, b|c", "d; e")
    comma_in_name = written(tmp_path, "s.csv", "a, b;text;label\n1;c, d;x\n2;e;y\n")
    assert load(comma_in_name).train.text == ("c, d", "e")
    quoted = written(tmp_path, "q.csv", '"text\tx";"a,b";label\nc;d;1\ne;f;0\n')
    assert load(quoted, text_column="text\tx").train.text == ("c", "e")
    with pytest.raises(DataError, match="line 3: 1 field where the header has 2"):
        load(written(tmp_path, "r.csv", "text,label;x\na,b\nc\n"))


def test_a_file_without_header_has_numbered_columns(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"text_column": "column 2", "label_column": "column 1", "header": False}
    rows = "neg{0}a, b\npos{0}c\n"
    for name, separator in (("t.tsv", "\t"), ("t.csv", ";"), ("u.csv", "\t")):
        data = load(written(tmp_path, name, rows.format(separator)), **keys)
        assert data.train.text == ("a, b", "c")
        assert data.label_names == ("neg", "pos")


def test_other_encodings_are_read_where_the_settings_say_so(tmp_path: Path) -> None:
    text = "text,label\nun café,oui\nnaïf,non\n"
    path = written(tmp_path, "t.csv", text.encode("cp1252"))
    assert "task.encoding" in refused(path).hint
    data = load(path, encoding="cp1252")
    assert data.train.text == ("un café", "naïf")
    assert any("is read as cp1252" in note for note in data.notes)
    utf_8 = load(written(tmp_path, "u.csv", text), encoding="cp1252")
    assert utf_8.train.text == data.train.text
    utf_16 = load(written(tmp_path, "v.csv", text.encode("utf-16")))
    assert utf_16.train.text == data.train.text
    assert utf_8.fingerprint == utf_16.fingerprint == data.fingerprint


@pytest.mark.parametrize("indent", [None, 1])
def test_a_list_of_objects_is_as_good_as_one_a_line(indent: int | None, tmp_path: Path) -> None:
    rows = [{"text": f"[{n}], {{\n", "label": n % 2, "n": 10 ** (n * 80)} for n in range(50)]
    lines = written(tmp_path, "t.jsonl", "\n".join(map(json.dumps, rows)))
    listed = written(tmp_path, "u.json", f" \n{json.dumps(rows, indent=indent)}\n")
    assert read_table(listed, None).columns == read_table(lines, None).columns
    assert load(listed).fingerprint == load(lines).fingerprint
    none = written(tmp_path, "v.json", "[ ]")
    with pytest.raises(DataError, match="no row of data"):
        load(none)


def test_a_key_that_comes_twice(tmp_path: Path) -> None:
    content = '{"text": "a", "label": 1, "n": 1, "n": 2}\n{"text": "b", "label": 0, "text": "c"}\n'
    path = written(tmp_path, "t.jsonl", content)
    assert "line 2: the key 'text' comes twice" in refused(path).message
    fine = written(tmp_path, "u.jsonl", content.replace('"text": "c"', '"n": 3'))
    assert load(fine).train.text == ("a", "b")


def test_numbers_without_end(tmp_path: Path) -> None:
    row = '{"text": %s, "label": %s, "id": %s}\n'
    digits = "9" * 5000
    path = written(tmp_path, "t.jsonl", row % ('"a"', 0, digits) + row % ('"b"', 1, "1e999"))
    assert load(path).train.text == ("a", "b")
    for cell in (digits, "1e999", "-Infinity"):
        path = written(tmp_path, "t.jsonl", row % (cell, 0, 0) + row % ('"b"', 1, 0))
        assert "line 1, column 'text': a number that is too large" in refused(path).message
        path = written(tmp_path, "t.jsonl", row % ('"a"', cell, 0) + row % ('"b"', 1, 0))
        assert "inf is no class" in refused(path).message
        assert "is too large to learn" in refused(path, kind="regression").message


@pytest.mark.parametrize("cell", ["1e19", "-1e300", "inf", "9" * 400, "Infinity"])
def test_targets_whose_square_is_beyond_32_bits(cell: str, tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", f"text,label\na,1\nb,{cell}\n")
    error = refused(path, kind="regression")
    assert "line 3, column 'label': " in error.message
    assert "too large to learn" in error.message
    assert "scale the column" in error.hint


@pytest.mark.parametrize(
    ("cell", "hint"), [("1_000", "write a number"), ("True", "write a number"), ("1,500", "point")]
)
def test_targets_that_are_no_numbers(cell: str, hint: str, tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", f'text,label\na,1\nb,"{cell}"\n')
    error = refused(path, kind="regression")
    assert f"line 3, column 'label': '{cell}' is not a number to learn" in error.message
    assert hint in error.hint


def test_targets_that_are_one_number_in_32_bits(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", "text,label\na,1700000001\nb,1700000002\n")
    error = refused(path, kind="regression")
    assert "are all one number in 32 bits" in error.message
    assert "subtract their mean" in error.hint
    path = written(tmp_path, "t.csv", "text,label\na,1700000001\nb,1700009002\n")
    assert load(path, kind="regression").train.label == (1700000001.0, 1700009002.0)


def test_rows_without_any_cell_are_told_and_empty_texts_kept(tmp_path: Path) -> None:
    train = written(tmp_path, "t.csv", f"{GOOD},\n\n  \n")
    data = load(train, written(tmp_path, "test.csv", 'text\na\n""\n\nb\n'))
    assert data.train.text == ("fine day", "bad day")
    assert any("1 line without any cell left out, the first is line 4" in n for n in data.notes)
    assert data.test["test"].text == ("a", "", "b")
    data = load(train, written(tmp_path, "test.tsv", "text\na\n\nb\n\n"))
    assert data.test["test"].text == ("a", "b")
    assert any("test.tsv: 1 line without any cell" in note for note in data.notes)


def test_line_ends_of_all_systems(tmp_path: Path) -> None:
    for end in ("\r\n", "\n", "\r"):
        path = written(tmp_path, "t.csv", end.join(["text,label", "a,0", "", '"b\r\nc",1']) + end)
        assert load(path).train.text == ("a", "b\r\nc")
    mixed = written(tmp_path, "m.csv", "text,label\r\na,0\nb,1\rc,0\r\n")
    assert load(mixed).train.text == ("a", "b", "c")
    old = written(tmp_path, "o.tsv", "text\tlabel\ra\t0\rb\t1\r")
    assert load(old).train.text == ("a", "b")
    (tmp_path / "o.tsv").write_bytes(b"text\tlabel\ra\t0\rb\xff\t1\r")
    assert "line 3: byte 2 (0xff) is not UTF-8" in refused(tmp_path / "o.tsv").message
    assert "line 2: there is a NUL" in refused(written(tmp_path, "n.csv", "text\ra\0")).message


def test_lines_of_separators_before_the_header(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", "\ufeff  \r\n\r\ntext;label\r\na, b;0\r\nc;1\r\n")
    assert load(path).train.text == ("a, b", "c")


def test_a_column_is_no_pair_with_itself(tmp_path: Path) -> None:
    path = written(tmp_path, "t.jsonl", '{"text": "a", "label": 0}\n{"text": "b", "label": 1}')
    with pytest.raises(ValueError, match="are the same column, 'text'"):
        load(path, text_pair_column="text")


def test_a_headerless_file_is_quoted_in_short(tmp_path: Path) -> None:
    cells = ",".join(f"a text of some length {n}" for n in range(5000))
    error = refused(written(tmp_path, "t.csv", f"{cells}\n{cells}\n"))
    assert "there is no column 'text'" in error.message
    error = refused(written(tmp_path, "u.csv", f"{'long ' * 99},label\na,b\n"))
    assert "columns: 'long long" in error.hint
    labels = "\n".join(f"a,{letter * 5000}" for letter in "ab" * 40)
    train = written(tmp_path, "v.csv", f"text,label\n{labels}\n")
    other = written(tmp_path, "w.csv", f"text,label\na,{'c' * 9999}\n")
    with pytest.raises(DataError, match="unknown label 'ccc") as caught:
        load_task(
            TaskSettings(
                name="mine",
                train_file=train,
                validation_file=other,
                text_column="text",
                label_column="label",
                kind="classification",
            )
        )
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_names_of_files_that_are_not_utf8(ending: str, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"s3:caf\xe9." + ending.encode())
    if ending == "parquet":
        plain = parquet(tmp_path / "plain.parquet", ["text", "label"], [["a", "b"], [0, 1]])
        plain.rename(path)
    else:
        rows = '{"text": "a", "label": 0}\n{"text": "b", "label": 1}\n'
        path.write_text(rows if ending == "jsonl" else "text,label\na,0\nb,1\n")
    data = load(path)
    assert data.train.text == ("a", "b")
    assert data.notes
    path.write_text("")
    assert "the file is empty" in refused(path).message


def test_what_is_no_file_at_all(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    assert "this is not a plain file" in refused(tmp_path / "pipe.csv").message
    (tmp_path / "link.csv").symlink_to("link.csv")
    assert "there is no such file" in refused(tmp_path / "link.csv").message
    (tmp_path / "gone.parquet").symlink_to("nowhere.parquet")
    assert "there is no such file" in refused(tmp_path / "gone.parquet").message
    assert "cannot be reached" in refused(tmp_path / f"{'x' * 300}.csv").message


# Recorded before labels were texts: runs resume by them.
FINGERPRINTS: dict[str, tuple[list[Any], str]] = {
    "names": (["pos", "neg", "neu"], "dd370058fdf43276"),
    "whole": ([0, 1, 2, 10, 9], "889b2f0831e540f9"),
    "digits": (["0", "1", "10", "9"], "bf8954f92604a7be"),
    "mixed": (["a", "1", "B", "é"], "b6e063323615b941"),
    "sentiment": ([-2, -1, 0, 1, 2], "1990067bf6647634"),
    "booleans": ([True, False], "bd1a120ca6037255"),
    "targets": ([0.5, 1.0, -2.25, 3e5], "0005e8bd05de7f99"),
}


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
@pytest.mark.parametrize("case", FINGERPRINTS)
def test_plain_data_keep_their_fingerprints(case: str, ending: str, tmp_path: Path) -> None:
    labels, fingerprint = FINGERPRINTS[case]
    rows = [{"text": f"text {n}, é", "label": label} for n, label in enumerate(labels)]
    path = tmp_path / f"t.{ending}"
    if ending == "parquet":
        parquet(path, ["text", "label"], [[row["text"] for row in rows], labels])
    elif ending == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            dialect = "excel" if ending == "csv" else "excel-tab"
            csv.writer(file, dialect).writerows([("text", "label"), *(r.values() for r in rows)])
    kind = "regression" if case == "targets" else "classification"
    if case == "booleans" and ending in ("csv", "tsv"):
        assert load(path).label_names == ("False", "True")
    else:
        assert load(path, kind=kind).fingerprint[:16] == fingerprint


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@given(texts=st.lists(TEXT, min_size=2, max_size=8), comma=st.sampled_from(",;"))
@settings(
    derandomize=True,
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_every_text_comes_back_from_every_format(
    texts: list[str], comma: str, tmp_path: Path
) -> None:
    texts = [*texts, "a text"]
    labels = [row % 2 for row in range(len(texts))]
    path = tmp_path / "t.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=comma, quoting=csv.QUOTE_ALL)
        writer.writerows([("text", "label"), *zip(texts, labels, strict=True)])
    assert list(load(path).train.text) == texts
    rows = [{"text": text, "label": label} for text, label in zip(texts, labels, strict=True)]
    path = written(tmp_path, "t.jsonl", "\n".join(map(json.dumps, rows)))
    assert list(load(path).train.text) == texts
    path = parquet(tmp_path / "t.parquet", ["text", "label"], [texts, labels])
    assert list(load(path).train.text) == texts


@pytest.mark.parametrize("separator", [",", ";", "|", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_line_that_names_the_separator_is_no_header(
    separator: str, mark: str, tmp_path: Path
) -> None:
    rows = GOOD.replace(",", separator)
    path = written(tmp_path, "sheet.csv", f"{mark}sep={separator}\r\n{rows}")
    data = load(path)
    assert data.train.text == ("fine day", "bad day")
    assert data.label_names == ("neg", "pos")
    broken = written(
        tmp_path, "broken.csv", f"sep={separator}\n{rows}one{separator}a{separator}b\n"
    )
    assert "line 5" in refused(broken).message


def test_a_folder_is_called_so(tmp_path: Path) -> None:
    path = written(tmp_path, "train.csv", GOOD)
    with pytest.raises(DataError, match="is a folder"):
        load(path, test=tmp_path)
