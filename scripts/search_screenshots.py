"""The pictures of docs/search.md, of an index of phantoms: python scripts/search_screenshots.py demo/index."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

DOCS = Path(__file__).parents[1] / "docs"
SERVE = "from medtrim.cli import main; main()"


def take(page: Page, address: str, folder: Path) -> None:
    """The page with hits, and the viewer with the query beside the hit."""
    page.goto(address)
    page.fill("#text", "large left pleural effusion, no cardiomegaly")
    page.keyboard.press("Enter")
    page.wait_for_selector("#hits > li")
    page.mouse.move(0, 0)
    page.locator("#results-title").focus()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=folder / "search-page.png")
    page.locator("#hits > li").nth(1).get_by_role("button", name="More like this").click()
    page.wait_for_selector("#study-picture:visible")
    page.locator(".picture").nth(0).click()
    for pane in ("query", "hit"):
        page.wait_for_selector(f'#{pane}-pane figcaption:has-text("px")')
    page.screenshot(path=folder / "search-viewer.png")


def main() -> None:
    """Serve the index on a free port, take the pictures, end the server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("index", type=Path)
    parser.add_argument("--into", type=Path, default=DOCS)
    arguments = parser.parse_args()
    browser = os.environ.get("MEDTRIM_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("no Chromium: scripts/install-chromium installs it, or set MEDTRIM_CHROMIUM")
    command = [sys.executable, "-c", SERVE, "serve", str(arguments.index), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            found = re.search(r"http://\S+", server.stdout.readline() if server.stdout else "")
            if found is None:
                sys.exit("the server does not say its address")
            with sync_playwright() as playwright:
                chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
                take(chromium.new_page(viewport={"width": 1440, "height": 980}), found[0], arguments.into)
                chromium.close()
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
