"""Hook of mkdocs: README, CONTRIBUTING, CHANGELOG and the dated results are pages of the site too.

They stay where a code host shows them. On the site, README.md is the start page and docs/X is X;
links are written for the repository and turned here.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
RESULTS = "benchmarks/results"
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")


def page_of(path: str) -> str:
    """Where the site has a file of the repository."""
    return {"README.md": "index.md"}.get(path, path.removeprefix("docs/"))


def file_of(page: str) -> str:
    """The file of the repository that a page was made from."""
    if page == "index.md":
        return "README.md"
    return page if page in PAGES or page.startswith(RESULTS) else f"docs/{page}"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    results = sorted((ROOT / RESULTS).glob("*.md"))
    for path in [*(ROOT / name for name in PAGES), *results]:
        name = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, page_of(name), abs_src_path=str(path)))
    titles = [(path.name, path.read_text().partition("\n")[0].lstrip("# ")) for path in results]
    index = "# Measured\n\nWith machine, date and versions on each page.\n\n" + "".join(
        f"- [{title}]({name})\n" for name, title in titles
    )
    files.append(File.generated(config, f"{RESULTS}/index.md", content=index))
    for number, item in enumerate(config.nav or []):
        if f"{RESULTS}/" in item.values():
            names = ["index.md", *(name for name, _ in titles)]
            config.nav[number] = {"Measured": [f"{RESULTS}/{name}" for name in names]}
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    here = file_of(page.file.src_uri)

    def turned(link: re.Match[str]) -> str:
        there = posixpath.normpath(posixpath.join(posixpath.dirname(here), link[0]))
        there = f"{RESULTS}/index.md" if there == RESULTS else page_of(there)
        return posixpath.relpath(there, posixpath.dirname(page.file.src_uri) or ".")

    return LINK.sub(turned, markdown)
