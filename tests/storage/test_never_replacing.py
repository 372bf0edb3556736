"""A file written with `replace=False` never takes the place of what is there already."""

from __future__ import annotations

from pathlib import Path

import pytest

from calisr_engine.errors import StorageError
from calisr_engine.storage.whole import whole_file


def test_a_new_file_is_written_and_nothing_beside_it(tmp_path: Path) -> None:
    final = tmp_path / "folder/mine.toml"
    with whole_file(final, "mine", replace=False) as part:
        part.write_text("a")
    assert final.read_text() == "a"
    assert list(final.parent.iterdir()) == [final]


def test_what_is_there_stays(tmp_path: Path) -> None:
    final = tmp_path / "mine.toml"
    final.write_text("the other's")
    with pytest.raises(FileExistsError), whole_file(final, "mine", replace=False):
        pytest.fail("there is nothing to write for")
    final.unlink()
    final.symlink_to(tmp_path / "gone")
    with pytest.raises(FileExistsError), whole_file(final, "mine", replace=False):
        pytest.fail("a link stands there, wherever it points")


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
def test_what_came_in_the_meantime_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr("os.link", refuse)
    final = tmp_path / "mine.toml"

    def write() -> None:
        with whole_file(final, "mine", replace=False) as part:
            part.write_text("mine")
            final.write_text("the other's")

    with pytest.raises(FileExistsError):
        write()
    assert final.read_text() == "the other's"
    assert list(tmp_path.iterdir()) == [final]


def test_a_file_in_the_way_of_the_folder_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file")
    final = tmp_path / "folder/mine.toml"
    with pytest.raises(StorageError), whole_file(final, "mine", replace=False):
        pytest.fail("the folder cannot be made")
