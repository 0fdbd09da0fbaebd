"""The integer update rule of the classifier: tables, rounding, shifts and ranges.

`docs/learning_rule.md` derives it. Names follow the formulas there: s logit sum, E exponential,
S their sum, R reciprocal, p probability in 1/4096, g error, q quantised delta, theta proxy.
"""

import math
from dataclasses import dataclass

from xnoreplay.spec.network import COPIES, NetworkSpec
from xnoreplay.spec.target import TargetSpec

EXP_ENTRIES = 16
EXP_TABLE = tuple(round(255 * math.exp(-i / 2)) for i in range(EXP_ENTRIES))
P_BITS = 12  # fraction bits of a probability
WEIGHT_BITS = 4  # fraction bits of a class weight
BALANCE_BITS = 20  # an inverse class frequency is floor(2^20 / f)
DRAW_BITS = 4  # random bits of one delta rounding, the lowest of a drawn register
DRAW_MASK = (1 << DRAW_BITS) - 1
DECAYS = 3  # times a session halves its rate
MASTER_GAIN_SHIFT = 3  # import multiplies the mean of a pair by 16, a single proxy by 8


def saturate(x: int, bits: int) -> int:
    """Clamp to two's complement of so many bits.

    >>> saturate(200, 8), saturate(-200, 8)
    (127, -128)
    """
    return max(-(1 << bits - 1), min((1 << bits - 1) - 1, x))


def clamp_delta(x: int, bits: int) -> int:
    """Clamp to the symmetric range +-(2^(bits-1) - 1)."""
    top = (1 << bits - 1) - 1
    return max(-top, min(top, x))


def shift_round(x: int, t: int, r: int) -> int:
    """Rounded shift (x + r) >> t, r in [0, 2^t); a negative t shifts left and ignores r."""
    return (x + r) >> t if t >= 0 else x << -t


def delta_offset(draw4: int, t: int) -> int:
    """Rounding offset of a delta shift from four random bits.

    Above t = 4 the four bits are the top of the offset and a half of their unit is added, so that
    the mean offset stays (2^t - 1) / 2 to within half a unit.
    """
    if t <= 0:
        return 0
    if t <= DRAW_BITS:
        return draw4 & (1 << t) - 1
    return (draw4 << t - DRAW_BITS) + (1 << t - DRAW_BITS - 1)


def reciprocal(total: int) -> tuple[int, int]:
    """(R, l) of a sum S: l = floor(log2 S), R = round(2^(l+4) / S), half rounds up; R is 8 to 16.

    >>> reciprocal(255), reciprocal(256), reciprocal(384)
    ((8, 7), (16, 8), (11, 8))
    """
    l = total.bit_length() - 1  # noqa: E741  (the rule's name)
    return ((1 << l + 5) + total) // (2 * total), l


def exponential(m: int, s: int, logit_shift: int) -> int:
    """Exponential E = LUT[min(15, (m - s) >> shift)], m the largest logit sum."""
    return EXP_TABLE[min(EXP_ENTRIES - 1, m - s >> logit_shift)]


def probability(e: int, r: int, l: int) -> int:  # noqa: E741
    """Probability p = min(4096, (E R) >> (l - 8)), a left shift where l < 8; in units of 1/4096.

    It is at most 255 * 16 = 4080, of a sum of one exponential: the bound never acts.
    """
    product = e * r
    return min(1 << P_BITS, product >> l - 8 if l >= 8 else product << 8 - l)


def error(p: int, is_target: bool, weight: int) -> int:
    """Error g = ((p - 4096 [c = y]) w_y) >> 4, w_y in units of 1/16."""
    return (p - (is_target << P_BITS)) * weight >> WEIGHT_BITS


def class_weights(counts: list[int]) -> list[int]:
    """Loss balance: w_i = C (1/f_i) / sum_j (1/f_j) in units of 1/16, at least 1.

    1/f is floor(2^20 / f), zero for a class without samples; the quotient rounds half up. Without
    any sample every weight is 1.

    >>> class_weights([10, 10]), class_weights([1, 3])
    ([16, 16], [24, 8])
    """
    inverse = [(1 << BALANCE_BITS) // f if f else 0 for f in counts]
    total = sum(inverse)
    scale = len(counts) << WEIGHT_BITS
    return [max(1, (scale * v + total // 2) // total) if total else 1 for v in inverse]


def import_proxy(master: int, partner: int | None, proxy_bits: int) -> int:
    """The chip's proxy from 16-bit master proxies floor(2^15 u).

    One proxy a pair: saturate(floor(2^(n-1) 16 mean(u, u'))) from both masters.
    Two: saturate(floor(2^(n-1) 8 u)) from one.
    """
    total = master if partner is None else master + partner
    return saturate((total << MASTER_GAIN_SHIFT) >> (16 - proxy_bits), proxy_bits)


@dataclass(frozen=True)
class Rule:
    """Shifts, widths and scales of the learning rule for one network on one target."""

    proxy_bits: int
    delta_bits: int
    proxies_per_pair: int
    logit_shift: int
    hidden_mask: int
    epochs: int
    update_shift: int
    back_shift: int

    @classmethod
    def of(cls, net: NetworkSpec, target: TargetSpec) -> "Rule":
        """Derive the rule; see each property's formula in `docs/learning_rule.md`.

        8 alpha = 8 / sqrt(5 fan_in C) is rounded to 2^-(logit_shift + 1), because the table steps
        by half a nat; the shift of a classifier with few inputs stops at 0. The
        straight-through estimator passes where |S a| <= 1, S = 1/sqrt(fan_in).
        """
        shift = max(0, round(-math.log2(8 * net.alpha)) - 1)
        return cls(
            proxy_bits=target.proxy_bits,
            delta_bits=target.delta_bits,
            proxies_per_pair=target.proxies_per_pair,
            logit_shift=shift,
            hidden_mask=math.isqrt(net.latent),
            epochs=target.epochs,
            update_shift=target.delta_bits - target.proxy_bits + target.rate_shift,
            back_shift=target.delta_bits // 2 - 1,
        )

    @property
    def low_bits(self) -> int:
        """Bits of an output proxy outside cls.top, where each weight of its pair has one."""
        return self.proxy_bits - COPIES // self.proxies_per_pair

    def decay(self, epoch: int) -> int:
        """k: how many of the decay points E/2, 2E/3, 5E/6 (rounded up) have begun.

        >>> r = Rule(8, 6, 1, 3, 11, 6, 3, 2)
        >>> [r.decay(e) for e in range(6)]
        [0, 0, 0, 1, 2, 3]
        """
        return sum(epoch * 6 >= n * self.epochs for n in range(3, 3 + DECAYS))

    def delta_shift(self, epoch: int) -> int:
        """Right shift of an output error g to its delta."""
        return P_BITS + 1 - self.delta_bits + self.decay(epoch)

    def hidden_shift(self, epoch: int) -> int:
        """Right shift of a back-propagated error e to its delta."""
        return self.back_shift + self.decay(epoch)

    def pair(self, theta: tuple[int, ...]) -> tuple[int, ...]:
        """The two weight bits of a pair from its one or two proxies.

        One proxy: the top two bits of theta + 2^(n-1), which are the ternary weight.
        Two proxies: the top bit of each.
        """
        top = self.proxy_bits - 1
        if self.proxies_per_pair == 2:
            return tuple(t + (1 << top) >> top for t in theta)
        code = theta[0] + (1 << top) >> top - 1
        return code >> 1, code & 1
