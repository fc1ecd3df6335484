"""The folder of a site: written whole, and never where somebody's files are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gitops_ml.cli.site.folder import write_site, written_pages
from gitops_ml.errors import InputError
from gitops_ml.page.render import Page


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_pages_of_an_earlier_site_go(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "site"
    assert write_site(folder, [Page("index.html", "a"), Page("dev/old/index.html", "b"), Page("style.css", "c")]) == 2
    assert write_site(folder, [Page("index.html", "new"), Page("style.css", "c")]) == 1
    assert files(folder) == [".gitops-ml-site", "index.html", "style.css"]
    assert not (folder / "dev").exists()
    assert (folder / "index.html").read_text() == "new"


def test_somebodys_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds other files"):
        write_site(tmp_path, [Page("index.html", "a")])
    assert files(tmp_path) == ["thesis.txt"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "site").write_text("")
    with pytest.raises(InputError, match="is no folder"):
        write_site(tmp_path / "site", [])


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_site(tmp_path / "file" / "site", [Page("index.html", "a")])


def test_a_link_in_the_folder_is_removed_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("")
    folder = tmp_path / "site"
    write_site(folder, [Page("index.html", "a")])
    (folder / "link").symlink_to(outside)
    write_site(folder, [Page("index.html", "a")])
    assert files(outside) == ["kept"] and not (folder / "link").exists()


def test_a_link_in_the_place_of_a_page_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "index.html").write_text("theirs")
    folder = tmp_path / "site"
    pages = [Page("index.html", "a", "1"), Page("dev/index.html", "b", "2")]
    write_site(folder, pages)
    for place in (folder / "index.html", folder / "dev" / "index.html"):
        place.unlink()
    (folder / "dev").rmdir()
    (folder / "index.html").symlink_to(outside / "index.html")
    (folder / "dev").symlink_to(outside)
    assert "index.html" not in written_pages(folder)
    write_site(folder, pages)
    assert (outside / "index.html").read_text() == "theirs"
    assert [(folder / page.path).read_text() for page in pages] == ["a", "b"]


def test_a_page_without_a_text_is_left_as_it_is_and_its_digest_is_kept(tmp_path: Path) -> None:
    write_site(tmp_path, [Page("a.html", "a", "1"), Page("b.html", "b", "2"), Page("index.html", "i")])
    assert written_pages(tmp_path) == {"a.html": "1", "b.html": "2"}
    write_site(tmp_path, [Page("a.html", None, "1"), Page("b.html", "new", "3")])
    assert (tmp_path / "a.html").read_text() == "a" and (tmp_path / "b.html").read_text() == "new"
    assert written_pages(tmp_path) == {"a.html": "1", "b.html": "3"}
    (tmp_path / "a.html").unlink()
    assert written_pages(tmp_path) == {"b.html": "3"}


def test_pages_of_a_run_that_was_stopped_are_drawn_again(tmp_path: Path) -> None:
    def stopped() -> Iterator[Page]:
        yield Page("a.html", "new", "2")
        raise KeyboardInterrupt

    write_site(tmp_path, [Page("a.html", "a", "1")])
    with pytest.raises(KeyboardInterrupt):
        write_site(tmp_path, stopped())
    assert written_pages(tmp_path) == {}


@pytest.mark.parametrize("marker", [b"", b"Written by gitops-ml site.\n", b"[1]", b"\xff"])
def test_a_site_of_an_earlier_version_is_drawn_again(tmp_path: Path, marker: bytes) -> None:
    write_site(tmp_path, [Page("a.html", "a", "1")])
    (tmp_path / ".gitops-ml-site").write_bytes(marker)
    assert written_pages(tmp_path) == {}
