"""Pages of the site that are read from the code when the site is built."""

from mkdocs.structure.files import File

from xnoreplay.flow import reference


def on_files(files, config):
    """Add the generated pages to those of the documents' folder."""
    for path, text in reference.pages().items():
        files.append(File.generated(config, path, content=text))
    return files
