"""Codes of memories: every wrong bit is named, every pair is found, and a reader's word follows from the pattern alone."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnoreplay.spec import codes, plan, presets
from xnoreplay.spec.codes import ECC, PARITY, Code, Verdict
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.memories import DECLARATIONS, Apart, Kind
from xnoreplay.spec.registers import WRONG_BIT, error_bit

TINY = presets.load("tiny")
WIDTHS = (1, 2, 4, 5, 11, 36, 57, 144)


def plan_of(base: presets.Preset = TINY, **fields):
    target = dataclasses.replace(base.target, **fields)
    return plan.compile(base.network, target)


@pytest.mark.parametrize("width", WIDTHS)
def test_one_wrong_bit_is_corrected_and_two_are_found(width):
    code = Code(ECC, width)
    bits = width + code.checks
    word = int.from_bytes(np.random.default_rng(width).bytes(20), "little") & (1 << width) - 1
    row = code.encode(word)
    assert code.decode(row) == (word, Verdict.RIGHT)
    for i in range(bits):
        assert code.decode(row ^ 1 << i) == (word, Verdict.CORRECTED)
    for i, k in itertools.combinations(range(bits), 2):
        wrong = row ^ 1 << i ^ 1 << k
        assert code.decode(wrong) == (wrong & (1 << width) - 1, Verdict.WRONG)


@given(st.sampled_from(codes.KINDS), st.sampled_from(WIDTHS), st.data())
def test_what_a_reader_is_given_follows_from_the_wrong_bits(kind, width, data):
    code = Code(kind, width)
    word = data.draw(st.integers(0, (1 << width) - 1))
    pattern = data.draw(st.integers(0, (1 << width + code.checks) - 1))
    changed, verdict = code.effect(pattern)
    assert code.decode(code.encode(word) ^ pattern) == (word ^ changed, verdict)


@pytest.mark.parametrize("width", WIDTHS)
def test_parity_finds_an_odd_number_of_wrong_bits(width):
    code = Code(PARITY, width)
    for count in range(1, 4):
        pattern = (1 << count) - 1 & (1 << width + 1) - 1
        odd = pattern.bit_count() % 2
        word = pattern & (1 << width) - 1
        assert code.effect(pattern) == (word, Verdict.WRONG if odd else Verdict.RIGHT)


@pytest.mark.parametrize("width", WIDTHS)
def test_columns_are_different_and_odd_and_as_short_as_can_be(width):
    found = codes.columns(width)
    assert len(set(found)) == len(found) == width
    weights = [column.bit_count() for column in found]
    assert weights == sorted(weights)
    assert all(weight % 2 and weight >= 3 for weight in weights)
    inputs = [len(Code(ECC, width).inputs(n)) for n in range(codes.check_bits(width))]
    assert max(inputs) - min(inputs) <= 2


def test_memories_that_may_have_a_code_have_rows_that_are_written_whole():
    for name in codes.PROTECTED:
        declared = DECLARATIONS[name]
        memory = plan.compile(TINY.network, TINY.target).memory(name)
        assert (declared.kind, declared.unit, declared.late) == (Kind.RAM, "", False)
        assert not memory.granule
        assert declared.apart in Apart
        assert error_bit(name, corrected=True) < WRONG_BIT


def test_check_bits_are_bits_of_the_memory():
    coded = plan_of(ecc=("weights.fe",), parity=("replay.label",))
    plain = plan.compile(TINY.network, TINY.target)
    fe, label = coded.memory("weights.fe"), coded.memory("replay.label")
    assert fe.bits == plain.memory("weights.fe").bits + fe.depth * codes.check_bits(fe.width)
    assert label.bits == plain.memory("replay.label").bits + label.depth
    assert (fe.width, label.width) == tuple(
        plain.memory(n).width for n in ("weights.fe", "replay.label")
    )


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"ecc": ("cls.top",)},
            "memory of ecc must be one of replay.label, replay.latent, .* not 'cls.top'",
        ),
        ({"parity": ("nosuch",)}, "memory of parity must be one of .* not 'nosuch'"),
        ({"ecc": "weights.fe"}, "ecc must be a list of memories, not 'weights.fe'"),
        (
            {"ecc": ("weights.fe", "weights.fe")},
            "ecc must name a memory once, not 'weights.fe' twice",
        ),
        (
            {"ecc": ("weights.fe",), "parity": ("weights.fe",)},
            "a memory must have parity or ecc, not both as 'weights.fe'",
        ),
        (
            {"ecc": ("staging.label",), "staging_capacity": 0},
            "ecc must name memories that this chip has, of weights.fe, .* not 'staging.label'",
        ),
        (
            {"parity": ("replay.latent",), "replay": "generative"},
            "parity must name memories that this chip has, of weights.fe, weights.lgap, .* not 'replay.latent'",
        ),
    ],
)
def test_a_code_that_cannot_be_is_a_sentence(fields, sentence):
    with pytest.raises(SpecError, match=sentence):
        plan_of(**fields)


def test_codes_are_read_and_written():
    given = {"preset": "tiny", "target": {"ecc": ["weights.lgap", "weights.fe"]}}
    read = presets.from_dict(given)
    assert read.target.ecc == ("weights.fe", "weights.lgap")
    assert presets.target_to_dict(read.target)["ecc"] == ["weights.fe", "weights.lgap"]
    assert not {*codes.KINDS} & presets.target_to_dict(TINY.target).keys()
