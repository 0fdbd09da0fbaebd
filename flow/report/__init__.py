"""The report of a run folder. Begin with `page`, which joins the sections; `compare` sets two runs side by side."""
