"""Renews the README's picture of a report: `python docs/report_picture.py runs/digits/report/report.html`.

Chromium or Chrome must be on the PATH; it draws two views of the page beside each other, in the light theme, without a
network.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

PICTURE = Path(__file__).parent / "report.webp"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT = 1200, 1320  # pixels of the page in one view
VIEWS = ("", "main > :not(section:has(#learning)) { display: none }")
"""The style that is added to the page for each view, from left to right: the top, and how well the chip learns."""
SHOWN = 640  # pixels of a view in the picture, across


def browser() -> str:
    """The first of `BROWSERS` that is there."""
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    sys.exit(f"error: one of {', '.join(BROWSERS)} must be on the PATH, but none is")


def main(report: Path) -> None:
    """Write the picture of a report: `VIEWS` beside each other."""
    if not report.is_file():
        sys.exit(f"error: {report} must be a report's HTML file")
    size = (SHOWN, SHOWN * HEIGHT // WIDTH)
    picture = Image.new("RGB", (size[0] * len(VIEWS), size[1]), "white")
    for i, style in enumerate(VIEWS):
        view = _view(report.read_text(encoding="utf-8"), style)
        picture.paste(view.resize(size, Image.Resampling.LANCZOS), (i * size[0], 0))
    picture.save(PICTURE, quality=80, method=6)


def _view(page: str, style: str) -> Image.Image:
    """What a window shows of a page with a style added to its own."""
    with tempfile.TemporaryDirectory() as folder:
        source, shot = Path(folder) / "page.html", Path(folder) / "view.png"
        source.write_text(f"{page}<style>{style}</style>", encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        options += [f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={shot}"]
        command = [browser(), *options, source.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        return Image.open(shot).convert("RGB")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python docs/report_picture.py REPORT.html")
    main(Path(sys.argv[1]))
