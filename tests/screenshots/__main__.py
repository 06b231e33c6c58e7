"""Take the pictures of the panel in `docs/images/`: ``make screenshots``.

Pages are those of a real service with the stand-in of a hub's API (`tests.fixtures.browser.panel`), opened in Chromium.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fixtures.browser.pages import chromium
from tests.fixtures.browser.panel import PanelBrowser, PanelPage, running_panel
from tests.screenshots.installation import NOW, History, fixed_time
from tests.screenshots.pictures import IMAGES, PICTURES, Picture

QUALITY = 80
CONTENT_HEIGHT = """() => Math.ceil(32 + Math.max(
  ...[...document.querySelectorAll("main *, nav a")].map((element) => element.getBoundingClientRect().bottom)))"""


def take(picture: Picture, opened: PanelPage) -> bytes:
    """Return the picture of an opened page as WebP, cut at the end of the page or at the greatest height."""
    page = opened.page
    page.clock.set_fixed_time(NOW)
    page.reload()
    page.evaluate("document.fonts.ready")
    page.wait_for_load_state("networkidle")
    if opened.complaints:
        raise AssertionError(f"{picture.path}: {opened.complaints}")
    height = min(picture.max_height, page.evaluate(CONTENT_HEIGHT))
    page.set_viewport_size({"width": picture.width, "height": height})
    devtools = page.context.new_cdp_session(page)
    taken = devtools.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    return base64.b64decode(taken["data"])


def main(names: list[str]) -> int:
    """Take all pictures, or those that are named."""
    unknown = set(names) - {picture.name for picture in PICTURES}
    if unknown:
        print(f"there is no picture {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    IMAGES.mkdir(exist_ok=True)
    with (
        TemporaryDirectory() as folder,
        fixed_time() as clock,
        running_panel(Path(folder), populated=False) as panel,
        chromium() as program,
    ):
        ids = History(panel, clock).make()
        browser = PanelBrowser(program, panel)
        for picture in PICTURES:
            if names and picture.name not in names:
                continue
            path = picture.path.format(**ids)
            opened = browser.open(path, picture.user, theme=picture.theme, width=picture.width)
            content = take(picture, opened)
            (IMAGES / f"{picture.name}.webp").write_bytes(content)
            print(f"{picture.name}.webp  {len(content) / 1000:.0f} kB")
        browser.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
