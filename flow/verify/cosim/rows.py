"""Rows of memories as text, the form in which test bench and model report them."""

from xnoreplay.spec.plan import Plan

EVENT_ROWS = 4096  # rows of latents that every event of the replay memory shows whole


def rows_text(rows: list[int], width: int) -> str:
    """Rows of `width` bits as one hexadecimal text, a fixed number of digits each.

    The width is `Memory.stored` in every text, whether its rows are what the memory holds or the words that it gives.
    """
    digits = -(-width // 4)
    return "".join(f"{row:0{digits}x}" for row in rows)


def event_rows(plan: Plan, name: str, slot: int) -> range:
    """Rows of a replay memory that an event at a slot shows: all, or of a large memory the slot's latent."""
    depth, words = plan.memory(name).depth, plan.replay.words
    if name == "replay.latent" and depth > EVENT_ROWS:
        return range(slot * words, (slot + 1) * words)
    return range(depth)
