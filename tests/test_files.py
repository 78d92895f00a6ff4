import errno
import hashlib

import numpy as np
import pytest

from kgen import files


def test_a_file_and_a_folder_appear_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with files.written_beside(path) as temporary:
        assert temporary.name == "a.txt"
        temporary.write_text("whole")
        assert not path.exists()
    with pytest.raises(ZeroDivisionError), files.written_beside(str(path)) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    with files.written_beside(path.with_name("folder")) as temporary:
        temporary.mkdir()
        (temporary / "b").write_text("b")
    assert path.read_text() == "whole" and (path.with_name("folder") / "b").read_text() == "b"
    assert sorted(p.name for p in path.parent.iterdir()) == ["a.txt", "folder"]


def fail(context, error):
    with context as temporary:
        temporary.write_text("half")
        raise error


def test_an_error_names_the_file_and_keeps_its_kind(tmp_path):
    (tmp_path / "file").write_text("mine")
    path, stays = tmp_path / "a.txt", r"No space left on device\. What was there stays\."
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match=rf"Cannot write {path}: {stays}$") as caught:
        fail(files.written_beside(path), full)
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(OSError, match=rf"Cannot write to {tmp_path}: {stays}$"):  # noqa: SIM117
        with files.written_within(tmp_path) as folder:
            fail(files.written_beside(folder / "b"), full)
    with pytest.raises(FileExistsError, match=rf"Cannot write {tmp_path}/file/a: "):
        fail(files.written_beside(tmp_path / "file" / "a"), full)
    with pytest.raises(OSError, match=rf"Cannot write {path}: of h5py\."):
        fail(files.written_beside(path), OSError("of h5py"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_digests(tmp_path):
    rows = np.arange(6.0).reshape(2, 3)
    expected = hashlib.blake2b(b"head" + rows.tobytes(), digest_size=16).hexdigest()
    (tmp_path / "file").write_bytes(b"head" + rows.tobytes())
    assert files.digest(b"head", rows) == files.digest_of_parts([b"head", *rows]) == expected
    assert files.digest_of_file(tmp_path / "file") == expected
    whole = hashlib.sha256(b"head" + rows.tobytes()).hexdigest()
    assert files.sha256_of_file(tmp_path / "file") == whole
