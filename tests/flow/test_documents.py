"""The documents: the tutorial runs as it is written, generated pages say what the code says."""

import dataclasses
import html
import inspect
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import xnoreplay as xr
from xnoreplay.flow import api, cli, reference
from xnoreplay.flow.datasets.registry import Dataset
from xnoreplay.flow.verify import simulate
from xnoreplay.flow.verify.cosim import chip, coverage, whole
from xnoreplay.spec import limits, presets, registers
from xnoreplay.spec import plan as plans
from xnoreplay.spec.commands import Command
from xnoreplay.spec.features import METHODS, FeatureSpec
from xnoreplay.spec.network import Conv, NetworkSpec
from xnoreplay.spec.pixels import FITS, PixelSpec
from xnoreplay.spec.scenario import KNOWN, OFFICIAL_ORDERS, FeatureSource, ImageSource, ScenarioSpec
from xnoreplay.spec.target import DEVICE_TYPES, REPLAYS, TECHNOLOGIES, TargetSpec

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]*)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
EXIT = re.compile(r"  # exit code (\d)$")


def few(data: Dataset) -> Dataset:
    """The first samples of a data set."""
    images, labels, is_test = (part[:60] for part in (data.images, data.labels, data.is_test))
    return dataclasses.replace(data, images=images, labels=labels, is_test=is_test)


def test_the_tutorial_runs(tmp_path, monkeypatch, capfd):
    """Files are written, commands end with the exit code that they name, Python runs as one script.

    Co-simulations are of few samples, compiled without optimisation. No process compiles kernels ahead: those of `tiny` are
    there before the tests.
    """
    build = whole.build
    monkeypatch.setattr(
        whole, "build", lambda preset, chip, data, bits, _: build(preset, chip, few(data), bits, 2)
    )
    monkeypatch.setattr(simulate, "compile_kernels", lambda *_: None)
    monkeypatch.setattr(chip, "optimisation", lambda _: "-O0")
    monkeypatch.chdir(tmp_path)
    text = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    ran = []
    for language, title, body in BLOCK.findall(text):
        if language == "toml":
            Path(title).write_text(body, encoding="utf-8")
        elif language == "console":
            for line in body.splitlines():
                command = line.removeprefix("$ ")
                expected = int(found[1]) if (found := EXIT.search(command)) else 0
                program, *arguments = shlex.split(EXIT.sub("", command))
                assert program == "xnoreplay"
                assert cli.main(arguments) == expected, capfd.readouterr().err
                ran.append(arguments[0])
        else:
            assert language == "python"
            exec(compile(body, "tutorial.md", "exec"), {})
            ran.append(language)
    assert ran == [
        "run",
        "generate",
        "cosim",
        "run",
        "report",
        "report",
        "compare",
        "cosim",
        "cosim",
        "python",
    ]
    said = capfd.readouterr()
    assert "must equal the simulator, but: command" in said.err
    assert re.search(r"[\d,]+ cycles, [\d.]+ ms", said.out)
    assert len(list(tmp_path.glob("runs/mine/cosim/waves/*-*/*.fst"))) == 1


@pytest.mark.parametrize(
    "kind",
    [
        NetworkSpec,
        Conv,
        TargetSpec,
        ScenarioSpec,
        ImageSource,
        PixelSpec,
        FeatureSource,
        FeatureSpec,
    ],
)
def test_every_field_of_a_spec_is_on_its_page(kind):
    page = reference.spec_fields()
    for field in reference.fields_of(kind):
        row = next(r for r in page.splitlines() if r.startswith(f"| `{field.name}` |"))
        if not presets.must_be_given(field):
            assert f"`{field.default!r}`" in page, row
    for title, rule in (("dataset", PixelSpec), ("dataset of features", FeatureSpec)):
        section = page.split(f"## {title}, as a table")[1].split("\n## ")[0]
        own = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
        assert own == ["path", "name", *(f.name for f in dataclasses.fields(rule))]


def test_every_field_of_a_spec_has_a_meaning_and_words_are_all_named():
    page = reference.spec_fields()
    rows = [row.split(" | ") for row in page.splitlines() if row.startswith("| `")]
    assert not [row for row in rows if len(row[-1].strip(" |").split()) < 3]
    for word in (*TECHNOLOGIES, *DEVICE_TYPES, *REPLAYS, *FITS, *KNOWN, *METHODS):
        assert f'"{word}"' in page
    assert f"0 to {OFFICIAL_ORDERS['core50'] - 1}." in page


def test_every_command_and_option_is_on_its_page():
    import typer

    page = reference.commands()
    root = typer.main.get_command(cli.app)
    for name, command in root.commands.items():
        if hasattr(command, "commands"):
            continue
        section = page.split(f"## xnoreplay {name}\n")[1].split("\n## ")[0]
        for parameter in command.params:
            if parameter.name != "help":
                is_argument = parameter.param_type_name == "argument"
                metavar = parameter.metavar or parameter.name.upper()
                names = [metavar] if is_argument else parameter.opts
                assert any(n in section for n in names), (name, names)
        assert not re.search(r"^\| `[^`]*<", section, re.MULTILINE), "an option without a metavar"
    assert "## xnoreplay presets show\n" in page


@pytest.mark.parametrize("name", reference.SHOWN)
def test_all_that_a_host_addresses_is_on_its_page(name):
    """Each register, command, status bit, window and counter of a chip, with its number."""
    preset = presets.load(name)
    memories = plans.compile(preset.network, preset.target).memories
    sections = reference.host_map().split("\n## ")
    page = {section.split("\n")[0]: section for section in sections}
    for register in registers.Register:
        assert f"| `{int(register):#05x}` | `{register.name}` |" in page["Registers"]
    for register in registers.writable(memories):
        row = next(r for r in page["Registers"].splitlines() if f"`{register.name}` |" in r)
        assert "| read, write while idle |" in row
    for command in Command:
        assert f"| {int(command)} | `{command.name}` |" in page["Commands"]
    for bit in registers.Status:
        assert f"| {int(bit)} | `{bit.name}` |" in page["Bits of STATUS"]
    for window in registers.windows(memories):
        row = next(r for r in page["Windows"].splitlines() if f"`{window.memory.name}` |" in r)
        assert f"`{window.base:#010x}`" in row
        assert f"{window.memory.depth:,} x {window.memory.width:,}" in row
    column = reference.SHOWN.index(name) + 3
    for i, counter in enumerate(registers.counters(memories, preset.target)):
        row = next(r for r in page["Counters"].splitlines() if r.startswith(f"| `{counter}` |"))
        assert row.split("|")[column].strip() == f"`{0x400 + 8 * i:#x}`"
        assert row.split("|")[2].strip() == registers.meaning(counter) != ""


def test_the_table_of_coverage_has_every_point():
    """A row of docs/design.md for each point, in its order, with the scripts that must reach it."""
    text = (DOCS / "design.md").read_text(encoding="utf-8")
    table = text.split("| must be reached | whole | large | Icarus |")[1].split("\n\n")[0]
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    lengths = ("whole", "large", "short")
    assert len(rows) == len(coverage.POINTS)
    for (what, *marks), (name, point) in zip(rows, coverage.POINTS.items(), strict=True):
        reached = tuple(n for n, mark in zip(lengths, marks, strict=True) if mark)
        assert reached == point.lengths, (what, name)


def test_the_table_of_limits_is_that_of_the_code():
    text = (DOCS / "limits.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z_ ]+)` \| ([\d,]+) \| (.*?) \|$", text, re.MULTILINE)
    told = [(name, int(most.replace(",", "")), why) for name, most, why in rows]
    assert told == [(name, *bound) for name, bound in limits.MOST.items()]


@pytest.mark.parametrize("path", reference.pages())
def test_a_generated_page_says_what_the_code_says(path):
    """So that its links work in a checkout, too."""
    committed = (DOCS / path).read_text(encoding="utf-8")
    assert committed == reference.pages()[path], "python docs/reference_pages.py must renew it"


def test_a_menu_lists_every_page():
    menu = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:")[1]
    pages = {p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md")}
    assert sorted(pages) == sorted(re.findall(r"- (\S+\.md)$", menu, re.MULTILINE))


@pytest.mark.parametrize(
    ("script", "draws", "folder"),
    [("timing_strips", "strips", "timing"), ("sequence_diagrams", "sequences", "sequences")],
)
def test_the_pictures_are_what_the_chip_does(script, draws, folder):
    """Each committed one is the one drawn from the chip as it is now."""
    drawn = runpy.run_path(str(DOCS / f"{script}.py"))[draws]()
    committed = {p.stem: p.read_text(encoding="utf-8") for p in DOCS.glob(f"{folder}/*.svg")}
    assert sorted(committed) == sorted(drawn)
    stale = [name for name, text in drawn.items() if committed[name] != text]
    assert not stale, f"python docs/{script}.py must renew {stale}"


NAMED = re.compile(
    r"(?<![\w/.-])(?:spec|hw|sim|model|flow|tests|docs|extractors)/[\w/.-]*\w"
    r"|(?<![\w/.-])xnoreplay/[\w/.-]*\w(?=[`/])"
)
PAGES = sorted(
    [*DOCS.rglob("*.md"), *DOCS.parent.glob("*.md"), DOCS.parent / "extractors/README.md"]
)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(DOCS.parent).as_posix())
def test_every_path_that_a_page_names_is_there(page):
    """Files and folders of the repository that a text names from its top."""
    text = page.read_text(encoding="utf-8")
    missing = [name for name in NAMED.findall(text) if not (DOCS.parent / name).exists()]
    assert not missing


def test_every_link_of_a_page_outside_the_site_leads_somewhere():
    """The site's build checks the others."""
    for page in DOCS.parent.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", text):
            assert (DOCS.parent / target).exists(), (page.name, target)
        for name, anchor in re.findall(r"\]\(([\w/.-]+\.md)#([\w-]+)\)", text):
            heads = re.findall(r"^#+ (.*)$", (DOCS.parent / name).read_text("utf-8"), re.MULTILINE)
            heads = [re.sub(r"[^\w-]", "", h.lower().replace(" ", "-")) for h in heads]
            marks = re.findall(r'<a id="([\w-]+)"></a>', (DOCS.parent / name).read_text("utf-8"))
            assert anchor in heads + marks, (page.name, name, anchor)


def test_the_front_page_is_short():
    assert len((DOCS.parent / "README.md").read_text(encoding="utf-8").split()) < 900


def test_the_python_page_says_what_each_name_is_for(tmp_path):
    """The first line of every public docstring stands on the built page, and signatures have their types."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)],
        cwd=DOCS.parent,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(DOCS.parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "reference/api.html").read_text(encoding="utf-8")
    said = " ".join(html.unescape(re.sub(r"<[^>]+>", "", page)).split())
    objects = [getattr(xr, name) for name in xr.__all__ if name != "__version__"]
    members = [m for c in objects for n, m in vars(c).items() if n[0] != "_"]
    for found in [api, *objects, *(getattr(m, "fget", m) for m in members)]:
        if found is api or getattr(found, "__module__", "") == api.__name__:
            first = inspect.getdoc(found).splitlines()[0]
            assert first.replace("`", "") in said, (found, first)
    assert "classes: Iterable[int]" in said


def test_a_broken_link_ends_the_site(tmp_path):
    """The command of `make docs`, on a site of one page."""
    makefile = (DOCS.parent / "Makefile").read_text(encoding="utf-8")
    options = re.search(r"/mkdocs (build.*)$", makefile, re.MULTILINE)[1].split()
    (tmp_path / "docs").mkdir()
    (tmp_path / "mkdocs.yml").write_text("site_name: x\nstrict: true\n", encoding="utf-8")
    for text, code in (("[there](index.md)", 0), ("[nowhere](nowhere.md)", 1)):
        (tmp_path / "docs/index.md").write_text(text, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "mkdocs", *options], cwd=tmp_path, capture_output=True
        )
        assert done.returncode == code, done.stderr


def test_every_answer_of_the_notebook_page_is_the_projects():
    import doctest

    found = doctest.testfile(str(DOCS / "notebook.md"), module_relative=False)
    assert found.attempted > 20
    assert found.failed == 0


def test_the_bundle_that_numpy_alone_writes_is_read(tmp_path, monkeypatch):
    import doctest

    monkeypatch.chdir(tmp_path)
    page = DOCS / "weights.md"
    text = page.read_text(encoding="utf-8")
    assert text.index("import xnoreplay") > text.index('open("mine.safetensors"')
    found = doctest.testfile(str(page), module_relative=False)
    assert found.attempted > 30
    assert found.failed == 0
