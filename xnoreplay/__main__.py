"""``python -m xnoreplay``: the command line."""

from xnoreplay.flow.entry import entry

if __name__ == "__main__":
    entry()
