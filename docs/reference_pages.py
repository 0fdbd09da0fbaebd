"""Renews the pages of the reference that are read from the code: `python docs/reference_pages.py`."""

from pathlib import Path

from xnoreplay.flow import reference

DOCS = Path(__file__).parent


def main() -> None:
    """Write each page below the documents' folder."""
    for path, text in reference.pages().items():
        (DOCS / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
