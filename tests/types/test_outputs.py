from __future__ import annotations

import errno
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medtrim.errors import ConfigError, TableError
from medtrim.types import Provenance
from medtrim.types.outputs import check_output, check_output_folder
from medtrim.types.tables import write_table


def test_an_input_is_no_output_whatever_it_is_called(tmp_path):
    table = tmp_path / "t.parquet"
    table.write_bytes(b"x")
    (tmp_path / "link.parquet").symlink_to(table)
    os.link(table, tmp_path / "hard.parquet")
    (tmp_path / "d").mkdir()
    for name in ("t.parquet", "d/../t.parquet", "link.parquet", "hard.parquet"):
        with pytest.raises(ConfigError, match="would be overwritten"):
            check_output(tmp_path / name, None, tmp_path / "other", table)
    check_output(table, tmp_path / "other.parquet", None)
    with pytest.raises(ConfigError, match="would be overwritten"):
        check_output(tmp_path / "missing", tmp_path / "d" / ".." / "missing")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"")
    with pytest.raises(ConfigError, match=f"{tmp_path} is a folder"):
        check_output(tmp_path)
    with pytest.raises(ConfigError, match="file is a file, not a folder"):
        check_output(file / "deep" / "x.parquet")
    with pytest.raises(ConfigError, match="file is a file: name a folder"):
        check_output_folder(file)
    with pytest.raises(ConfigError, match="file is a file, not a folder"):
        check_output_folder(file / "run")
    with pytest.raises(ConfigError, match="/proc/x.parquet cannot be written"):
        check_output("/proc/x.parquet")
    check_output(tmp_path / "new" / "x.parquet")
    check_output_folder(tmp_path / "new" / "run")
    assert [p.name for p in tmp_path.iterdir()] == ["file"], "a check leaves nothing behind"


def test_a_full_disk_is_an_error_that_names_the_table(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "anything")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(TableError, match=r"t\.parquet cannot be written \(No space left on device\)"):
        write_table(pa.table({"a": [1]}), tmp_path / "t.parquet", Provenance("x"))
    assert not list(tmp_path.iterdir())
