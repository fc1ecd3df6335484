"""The folder of a site: written whole, and never where somebody's files are."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitops_ml.cli.site.folder import write_site
from gitops_ml.errors import InputError


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_pages_of_an_earlier_site_go(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "site"
    assert write_site(folder, [("index.html", "a"), ("dev/old/index.html", "b"), ("style.css", "c")]) == 2
    assert write_site(folder, [("index.html", "new"), ("style.css", "c")]) == 1
    assert files(folder) == [".gitops-ml-site", "index.html", "style.css"]
    assert not (folder / "dev").exists()
    assert (folder / "index.html").read_text() == "new"


def test_somebodys_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds other files"):
        write_site(tmp_path, [("index.html", "a")])
    assert files(tmp_path) == ["thesis.txt"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "site").write_text("")
    with pytest.raises(InputError, match="is no folder"):
        write_site(tmp_path / "site", [])


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_site(tmp_path / "file" / "site", [("index.html", "a")])


def test_a_link_in_the_folder_is_removed_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("")
    folder = tmp_path / "site"
    write_site(folder, [("index.html", "a")])
    (folder / "link").symlink_to(outside)
    write_site(folder, [("index.html", "a")])
    assert files(outside) == ["kept"] and not (folder / "link").exists()
