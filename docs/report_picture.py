"""Renews the README's picture of a report: `python docs/report_picture.py runs/digits/report/report.html`.

Chromium or Chrome must be on the PATH. It draws the page's head with its figures, and below them the accuracy over the
sessions, in a frame, without a network.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageChops, ImageOps

PICTURE = Path(__file__).parent / "report.webp"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT = 920, 1200  # of the window, in pixels of the page
SCALE = 1.5  # pixels of the picture for each of the page
MARGIN, FRAME = 24, "#9aa5b1"  # pixels below what is shown, and the colour of the frame around all
STYLE = """
nav, section:not(:has(#learning)), section > :not(h2, figure) { display: none }
main { padding: 1.5rem }
h2 { margin-top: 1.6rem }
figure svg { width: 100% }
"""
"""Added to the page, so that figures and the accuracy's curve alone are left."""


def browser() -> str:
    """The first of `BROWSERS` that is there."""
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    sys.exit(f"error: one of {', '.join(BROWSERS)} must be on the PATH, but none is")


def main(report: Path) -> None:
    """Write the picture of a report: what `STYLE` leaves of it, cut off below, in a frame of one pixel."""
    if not report.is_file():
        sys.exit(f"error: {report} must be a report's HTML file")
    view = _view(report.read_text(encoding="utf-8"))
    shown = ImageChops.difference(view, Image.new("RGB", view.size, "white")).getbbox()
    assert shown is not None, "the page is empty"
    view = view.crop((0, 0, view.width, min(shown[3] + MARGIN, view.height)))
    ImageOps.expand(view, 1, FRAME).save(PICTURE, quality=80, method=6)


def _view(page: str) -> Image.Image:
    """What a window shows of a page with `STYLE` added to its own."""
    with tempfile.TemporaryDirectory() as folder:
        source, shot = Path(folder) / "page.html", Path(folder) / "view.png"
        source.write_text(f"{page}<style>{STYLE}</style>", encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        options += [f"--force-device-scale-factor={SCALE}"]
        options += [f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={shot}"]
        command = [browser(), *options, source.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        return Image.open(shot).convert("RGB")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python docs/report_picture.py REPORT.html")
    main(Path(sys.argv[1]))
