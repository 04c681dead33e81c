from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medtrim.errors import ConfigError, TableError
from medtrim.types import Provenance
from medtrim.types.outputs import check_output, check_output_folder, published_together, sole_writer
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


HOLDER = """
import sys, time
from medtrim.types.outputs import sole_writer
with sole_writer(sys.argv[1]):
    print("held", flush=True)
    time.sleep(120)
"""


@pytest.mark.parametrize("name", ["t.parquet", "folder", "new/deep/t.parquet"])
def test_a_second_writer_is_refused_until_the_first_has_ended_even_killed(tmp_path, name):
    (tmp_path / "folder").mkdir()
    output = tmp_path / name
    with subprocess.Popen([sys.executable, "-c", HOLDER, output], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with (
            pytest.raises(ConfigError, match=f"{output} is being written by process {first.pid}: wait"),
            sole_writer(output),
        ):
            pass
        first.send_signal(signal.SIGKILL)
    with sole_writer(output):
        pass
    assert not list(tmp_path.rglob(".*")), "a lock is removed with the block"


def test_the_lock_of_one_output_is_free_for_another_and_follows_links(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with sole_writer(tmp_path / "a"):
        with sole_writer(tmp_path / "b"):
            pass
        with pytest.raises(ConfigError, match="link is being written"), sole_writer(tmp_path / "link"):
            pass


def test_partial_outputs_of_a_killed_run_are_removed_and_nothing_else(tmp_path):
    for name in (".a[1].x9.part", ".a[1].rejects.y.part", ".b.x.part", ".a1.x.part"):
        (tmp_path / name).write_bytes(b"report")
    (tmp_path / ".a[1].folder.part").mkdir()
    (tmp_path / ".a[1].folder.part" / "report").write_bytes(b"report")
    (tmp_path / "keep").mkdir()
    (tmp_path / ".a[1].link.part").symlink_to(tmp_path / "keep")
    with sole_writer(tmp_path / "a[1]", tmp_path / "c"):
        assert sorted(p.name for p in tmp_path.glob(".*.part")) == [
            ".a1.x.part",
            ".a[1].rejects.y.part",
            ".b.x.part",
        ]
    with sole_writer(tmp_path / "c", tmp_path / "b"):
        assert not (tmp_path / ".b.x.part").exists()
    assert (tmp_path / "keep").is_dir()


def test_a_lock_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="cannot be written"), sole_writer(tmp_path / "file" / "x"):
        pass


def test_files_are_published_together_or_not_at_all(tmp_path):
    folder = tmp_path / "run"
    with published_together(folder, ("a", "b", "last")) as part:
        for name in ("a", "b", "last"):
            (part / name).write_text("first")
    refused = pytest.raises(TableError, match=r"run cannot be written \(No space")
    with refused, published_together(folder, ("a", "b", "last")) as part:
        (part / "a").write_text("second")
        raise OSError(errno.ENOSPC, "anything")
    assert {p.name: p.read_text() for p in folder.iterdir()} == {"a": "first", "b": "first", "last": "first"}
    (folder / "other").write_text("stays")
    with published_together(folder, ("a", "b", "last")) as part:
        (part / "a").write_text("third")
        (part / "last").write_text("third")
    assert {p.name: p.read_text() for p in folder.iterdir()} == {"a": "third", "last": "third", "other": "stays"}
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_a_kill_while_publishing_leaves_no_whole_looking_mixture(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    with published_together(folder, ("a", "b", "last")) as part:
        for name in ("a", "b", "last"):
            (part / name).write_text("first")
    replace, done = type(folder).replace, []

    def killed_at_the_second(self, target):
        if done:
            raise KeyboardInterrupt
        done.append(replace(self, target))

    monkeypatch.setattr(type(folder), "replace", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt), published_together(folder, ("a", "b", "last")) as part:
        for name in ("a", "b", "last"):
            (part / name).write_text("second")
    assert {p.name: p.read_text() for p in folder.iterdir()} == {"a": "second", "b": "first"}
