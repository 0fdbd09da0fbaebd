"""Named presets: a network, the machine it runs on, and the scenario it learns."""

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

from xnoreplay.spec import reading
from xnoreplay.spec.codes import KINDS
from xnoreplay.spec.errors import LONGEST_NAME, ReadError, SpecError, require, shown, unknown
from xnoreplay.spec.features import FeatureSpec
from xnoreplay.spec.network import IMAGE_FIELDS, Conv, NetworkSpec
from xnoreplay.spec.pixels import PixelSpec
from xnoreplay.spec.scenario import KNOWN, FeatureSource, ImageSource, ScenarioSpec
from xnoreplay.spec.target import GENERATIVE, TargetSpec


@dataclass(frozen=True)
class Preset:
    """What a run is about: three parts, held against each other."""

    name: str
    network: NetworkSpec
    target: TargetSpec
    scenario: ScenarioSpec

    def __post_init__(self) -> None:
        require.name("name", self.name)
        if self.network.classes < self.scenario.classes:
            raise SpecError(
                f"classes of the network must be at least the scenario's {self.scenario.classes}, "
                f"not {self.network.classes}"
            )
        source = self.scenario.source
        if source is None and not self.network.takes_images and self.scenario.dataset != "random":
            raise SpecError(
                f"dataset of network {self.network.name}, which is given latents, must be 'random' or features of your "
                f"own, not {self.scenario.dataset!r}"
            )
        if source is not None and self.network.takes_images == isinstance(source, FeatureSource):
            given = ("images", "features") if self.network.takes_images else ("features", "images")
            raise SpecError(
                f"the data set of network {self.network.name} must be {given[0]}, not {given[1]}"
            )


_DIGITS = Preset(
    "digits",
    NetworkSpec(
        name="digits",
        height=8,
        width=8,
        colour="grey",
        levels=(16,),
        convs=(
            Conv(32),
            Conv(32, pool=True),
            Conv(64, groups=2),
            Conv(64, groups=2, pool=True),
        ),
        latent=128,
        hidden=32,
        classes=10,
    ),
    TargetSpec(
        name="digits",
        lanes=4,
        channels=16,
        batch=16,
        replay_capacity=100,
        staging_capacity=160,
        rate_shift=3,
        clock_hz=50_000_000,
    ),
    ScenarioSpec(dataset="digits", classes=10, base=5, step=1),
)

_TINY = Preset(
    "tiny",
    NetworkSpec(
        name="tiny",
        height=4,
        width=4,
        colour="grey",
        levels=(4,),
        convs=(Conv(8), Conv(8, groups=2, pool=True)),
        latent=12,
        hidden=5,
        classes=4,
    ),
    TargetSpec(
        name="tiny",
        lanes=2,
        channels=4,
        batch=4,
        replay_capacity=9,
        staging_capacity=6,
        epochs=2,
    ),
    ScenarioSpec(dataset="digits", classes=4, base=2, step=1),
)

_3MB = Preset(
    "3mb",
    NetworkSpec(
        name="3mb",
        height=32,
        width=32,
        colour="ycbcr",
        levels=(32, 16, 16),
        convs=(
            Conv(128),
            Conv(128, pool=True),
            Conv(256, groups=2),
            Conv(256, groups=2, pool=True),
            Conv(512, groups=4),
            Conv(512, groups=4, pool=True),
        ),
        latent=1024,
        hidden=128,
        classes=100,
    ),
    TargetSpec(
        name="3mb",
        lanes=16,
        channels=64,
        batch=32,
        most_error_units=8,
        replay_capacity=4882,  # of the stored replay that it is compared with
        clock_hz=100_000_000,
        replay="generative",
    ),
    ScenarioSpec(dataset="cifar100", classes=100, base=50, step=10),
)

# The paper's way of replay at the paper's 5 Mb, and room to stage the 500 images of each of ten classes.
_3MB_STORED = Preset(
    "3mb-stored",
    _3MB.network,
    dataclasses.replace(_3MB.target, name="3mb-stored", replay="stored", staging_capacity=5000),
    _3MB.scenario,
)

_3MB_RES = Preset(
    "3mb-res",
    NetworkSpec(
        name="3mb-res",
        height=128,
        width=128,
        colour="ycbcr",
        levels=(32, 16, 16),
        # Every group has 64 channels in: a fan-in of 576, one beat of the target's window.
        convs=(
            Conv(64),
            Conv(64, pool=True, skip=True),
            Conv(64),
            Conv(64, pool=True, skip=True),
            Conv(128),
            Conv(128, groups=2),
            Conv(128, groups=2, pool=True, skip=True),
            Conv(256, groups=2),
            Conv(256, groups=4),
            Conv(256, groups=4, pool=True, skip=True),
            Conv(512, groups=4),
            Conv(512, groups=8),
            Conv(512, groups=8, pool=True, skip=True),
        ),
        latent=1024,
        hidden=128,
        classes=50,
    ),
    # Five classes of CORe50 bring 11,990 training images on average.
    dataclasses.replace(_3MB_STORED.target, name="3mb-res", staging_capacity=12_000),
    # The New Classes protocol: nine batches, the first of ten classes, the others of five.
    ScenarioSpec(dataset="core50", classes=50, base=10, step=5),
)

_PARTS = {"network": NetworkSpec, "target": TargetSpec, "scenario": ScenarioSpec}
PRESETS = {p.name: p for p in (_DIGITS, _TINY, _3MB, _3MB_STORED, _3MB_RES)}


def load(name_or_path: str) -> Preset:
    """A preset by name, or from a TOML file.

    A file names the preset it starts from and overrides fields by part::

        preset = "digits"
        [target]
        lanes = 8

    SpecError for an unknown preset, section or field, or a value that breaks a rule.
    """  # noqa: DOC501  unknown() makes a SpecError
    if name_or_path in PRESETS:
        return PRESETS[name_or_path]
    path = Path(name_or_path)
    if path.suffix == ".toml" or path.exists():
        return from_file(path)
    raise unknown("preset", name_or_path, PRESETS)


def from_file(path: Path) -> Preset:
    """Read a preset from a TOML file; see `load`."""
    try:
        tree = reading.read_toml(path, "spec file")
    except ReadError as error:
        raise SpecError(str(error)) from None
    return from_dict(tree, default_name=path.stem, folder=path.absolute().parent)


def from_dict(tree: dict, default_name: str = "custom", folder: Path | None = None) -> Preset:
    """Build a preset from nested plain values, as `to_dict` or a TOML file gives them.

    Parameters
    ----------
    tree : dict
    default_name : str
        Where the tree gives none.
    folder : Path, optional
        To which the path of a user's own data set is relative; the working folder without it.

    Raises
    ------
    SpecError
        As `load`.
    """  # noqa: DOC501  unknown() makes a SpecError
    tree = dict(tree)
    base_name = tree.pop("preset", None)
    if base_name is not None and str(base_name) not in PRESETS:
        raise unknown("preset", str(base_name), PRESETS)
    name = tree.pop("name", default_name)
    base = PRESETS[str(base_name)] if base_name is not None else None
    parts: dict = {}
    for part, kind in _PARTS.items():
        fields = tree.pop(part, {})
        if not isinstance(fields, dict):
            raise SpecError(f"section {part!r} must be a table of fields, not {shown(fields)}")
        if part == "scenario":
            fields = _with_source(fields, folder, parts["network"].takes_images)
        parts[part] = _build(kind, part, fields, getattr(base, part) if base else None)
    if tree:
        raise unknown("section", sorted(tree)[0], ("preset", "name", *_PARTS))
    return Preset(name, **parts)


def _build(kind, part: str, fields: dict, base):
    fields = dict(fields)
    known = {f.name for f in dataclasses.fields(kind) if f.init}
    for name in fields:
        if name not in known or (
            name == "source" and not isinstance(fields[name], ImageSource | FeatureSource | None)
        ):
            raise unknown(f"field of {part}", name, known - {"source"})
    for name in ("levels", "step", "class_names", "class_order", "counters", *KINDS):
        if isinstance(fields.get(name), list):
            fields[name] = tuple(fields[name])
    if "convs" in fields:
        fields["convs"] = _convs(fields["convs"])
    values = _plain(base) if base else {}
    required = {f.name for f in dataclasses.fields(kind) if f.init and must_be_given(f)}
    if fields.get("convs") == ():  # none: what a preset says of images is not taken over
        values = {name: value for name, value in values.items() if name not in IMAGE_FIELDS}
        required -= IMAGE_FIELDS.keys()
    values.update(fields)
    missing = sorted(required - values.keys())
    if missing:
        latents = "; a network that is given latents, not images, says convs = []"
        raise SpecError(
            f"section {part!r} must give {', '.join(missing)}, or name a preset to start from"
            + (latents if "convs" in missing else "")
        )
    try:
        return kind(**values)
    except TypeError as error:
        raise SpecError(f"section {part!r} has a field of the wrong type: {error}") from None


def must_be_given(field: dataclasses.Field) -> bool:
    """Whether a spec file without a preset to start from must give a field of one of its parts."""
    return field.default is dataclasses.MISSING or "given" in field.metadata


def _with_source(fields: dict, folder: Path | None, images: bool) -> dict:
    """Fields of a scenario, in which the table of a user's own data set has become its name and its source.

    images : whether the network takes images; features otherwise

    Raises SpecError as `load` does.
    """  # noqa: DOC501  unknown() makes a SpecError
    table = fields.get("dataset")
    if not isinstance(table, dict):
        if table is None or "source" in fields:
            return fields
        return fields | {"source": None}  # a data set by its name, in place of the preset's own
    table = dict(table)
    path, name = table.pop("path", None), table.pop("name", None)
    if not isinstance(path, str) or not path:
        raise SpecError(f"dataset must have a path, as in {{ path = 'parts' }}, not {shown(path)}")
    rule: type = PixelSpec if images else FeatureSpec
    known = {f.name for f in dataclasses.fields(rule)}
    for field in table:
        if field not in known:
            raise unknown("field of dataset", field, ("path", "name", *known))
    try:
        full = (folder or Path.cwd()) / Path(path).expanduser()
    except RuntimeError:  # ~somebody
        raise SpecError(
            f"path of a data set must name a home that is there, not {shown(path)}"
        ) from None
    kind: type = ImageSource if images else FeatureSource
    source = kind(str(full), rule(**table))
    return fields | {"dataset": name or word(full.stem), "source": source}


def word(stem: str) -> str:
    """A file's name as the name of a data set: what is no letter, digit, '.', '-' or '_' becomes '-'."""
    word = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:LONGEST_NAME] or "own"
    return f"own-{word}" if word in KNOWN else word


def _convs(rows) -> tuple[Conv, ...]:
    known = {f.name for f in dataclasses.fields(Conv)}
    convs = []
    if not isinstance(rows, list | tuple):
        raise SpecError(f"convs must be a list of tables, not {shown(rows)}")
    for i, row in enumerate(rows):
        if not isinstance(row, dict):
            raise SpecError(f"convs[{i}] must be a table of fields, not {shown(row)}")
        for name in row:
            if name not in known:
                raise unknown(f"field of convs[{i}]", name, known)
        if "filters" not in row:
            raise SpecError(f"convs[{i}] must give filters")
        convs.append(Conv(**row))
    return tuple(convs)


def vary(preset: Preset, part: str, **fields) -> Preset:
    """The same preset with other fields in one part; raises SpecError as the part does.

    >>> vary(PRESETS["digits"], "target", epochs=3).target.epochs
    3
    """
    changed = dataclasses.replace(getattr(preset, part), **fields)
    return dataclasses.replace(preset, **{part: changed})


def to_dict(preset: Preset) -> dict:
    """Nested plain values that `from_dict` turns back into the same preset."""
    return {
        "name": preset.name,
        "network": network_to_dict(preset.network),
        "target": target_to_dict(preset.target),
        "scenario": _scenario_to_dict(preset.scenario),
    }


def _scenario_to_dict(scenario: ScenarioSpec) -> dict:
    """Plain values; fields that a preset of the package does not need stand there only where they say something."""
    tree = _plain(scenario)
    source = tree.pop("source")
    if source is not None:
        usual = _plain(type(source.rule)())
        rule = {k: v for k, v in _plain(source.rule).items() if v != usual[k]}
        tree["dataset"] = {"path": source.path, "name": scenario.dataset} | rule
    for name in ("class_names", "class_order", "shots"):
        if not tree[name]:
            del tree[name]
    return {k: list(v) if isinstance(v, tuple) else v for k, v in tree.items()}


def target_to_dict(target: TargetSpec) -> dict:
    """Plain values of a target."""
    # These fields are named only where they say something: files and digests without them stay as they were.
    names = ("replay", *GENERATIVE, "counter_bits", "counters", *KINDS, "watchdog_bits")
    later = {f.name: f.default for f in dataclasses.fields(target) if f.name in names}
    tree = {k: v for k, v in _plain(target).items() if k not in later or v != later[k]}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in tree.items()}


def network_to_dict(network: NetworkSpec) -> dict:
    """Plain values of a network; those of `IMAGE_FIELDS` only where it is given images."""
    tree = _plain(network)
    if not network.takes_images:
        return {k: v for k, v in tree.items() if k not in IMAGE_FIELDS} | {"convs": []}
    tree["levels"] = list(tree["levels"])
    # A skip is named only where there is one: files and digests without any stay as they were.
    tree["convs"] = [
        {k: v for k, v in dataclasses.asdict(c).items() if k != "skip" or v} for c in tree["convs"]
    ]
    return tree


def network_from_dict(tree: dict) -> NetworkSpec:
    """Inverse of `network_to_dict`; raises SpecError."""
    if not isinstance(tree, dict):
        raise SpecError(f"network must be a table of fields, not {shown(tree)}")
    return _build(NetworkSpec, "network", tree, None)


def _plain(spec) -> dict:
    return {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec) if f.init}
