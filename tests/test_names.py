"""Names of others reach no shell, directory or job script as anything but a name."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calisr_engine.config.load import load
from calisr_engine.errors import CalisrError, ConfigError
from calisr_engine.grid.slurm import JobNeeds, _check_folder, _check_options
from calisr_engine.plain_words import command, name_part, one_line, quoted
from calisr_engine.runs.place import new_run_dir

ODD = st.text(
    st.sampled_from("ab-./%$`'\"\\ \n\t\0\x1b*?~;|&<>(){}[]!#é名") | st.characters(), max_size=90
)
generated = settings(derandomize=True, max_examples=200, deadline=None)


@generated
@given(ODD, ODD)
def test_a_command_to_copy_is_read_back_as_its_words(name: str, value: str) -> None:
    words = shlex.split(command("resume", Path(name), "--set", value))
    assert words[:2] == ["calisr", "resume"]
    assert words[3:] == ["--set", value]
    assert not words[2].startswith("-")
    assert Path(words[2]) == Path(name)


@generated
@given(ODD)
def test_part_of_a_name(text: str) -> None:
    part = name_part(text)
    assert part.isascii()
    assert part[0] not in "-."
    assert not set(part) & set("/%$`'\"\\ \n\t\0*?~;|&<>(){}[]!#")
    assert 0 < len(part) <= 60
    assert name_part(part) == part


@generated
@given(ODD)
def test_quotes_of_input_stay_on_a_line(text: str) -> None:
    for said in (quoted(text), one_line(text), CalisrError(f"a file: {text}").message):
        assert len(said.splitlines()) <= 1
    assert len(quoted(text * 50)) < 900


@pytest.mark.parametrize("odd", ["../../x", "-rf", "$(id)", "a\nb", "%j", "." * 5, "名前" * 90])
def test_a_run_directory_of_an_odd_task_and_model(odd: str, tmp_path: Path) -> None:
    config = load("demo").config
    task = config.task.model_copy(update={"name": odd})
    model = config.model.model_copy(update={"name": odd})
    made = new_run_dir(tmp_path, config.model_copy(update={"task": task, "model": model}))
    assert made.parent == tmp_path
    assert name_part(made.name[:60]) == made.name[:60]
    assert len(made.name) < 200


@generated
@given(ODD, ODD)
def test_options_of_sbatch_stay_on_their_line(key: str, value: str) -> None:
    try:
        _check_options(JobNeeds(sbatch={key: value}))
    except ConfigError:
        return
    assert key.isascii()
    assert len(f"#SBATCH --{key}={value}".splitlines()) == 1


@pytest.mark.parametrize(("folder", "fits"), [("a b/c'd", True), ("a%j", False), ("a\nb", False)])
def test_a_folder_that_sbatch_would_change(folder: str, fits: bool) -> None:
    def check() -> Any:
        _check_folder(Path(folder))

    if fits:
        check()
    else:
        with pytest.raises(ConfigError, match="choose an --output-dir"):
            check()
