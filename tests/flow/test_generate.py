"""The generated folder: reproducible Verilog, and memory images that read back."""

import hashlib

import numpy as np

from xnoreplay.flow import generate
from xnoreplay.flow.progress import Silent
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import image, plan, presets
from xnoreplay.spec.bits import from_int

TINY = presets.load("tiny")
PLAN = plan.compile(TINY.network, TINY.target)


def test_the_same_chip_is_the_same_text(tmp_path):
    bundle = bundles.random(TINY.network, 0)
    results = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        results.append(generate.run(TINY, bundle, tmp_path / name, Silent()))
    assert results[0] == results[1]
    text = (tmp_path / "a" / generate.VERILOG).read_text()
    assert results[0]["digest"] == hashlib.sha256(text.encode()).hexdigest()
    assert f"module {results[0]['top']}(" in text
    assert str(tmp_path) not in text
    assert "/" not in "".join(line for line in text.splitlines() if "src =" in line)


def test_memory_images_read_back(tmp_path):
    bundle = bundles.random(TINY.network, 1)
    result = generate.run(TINY, bundle, tmp_path, Silent())
    expected = image.load(PLAN, bundle)
    assert result["memories"] == sorted(expected)
    for name, rows in expected.items():
        lines = (tmp_path / generate.IMAGES / f"{name}.hex").read_text().split()
        got = np.array([from_int(int(line, 16), rows.shape[1]) for line in lines])
        assert (got == rows).all()
