"""xnoreplay: an FPGA/ASIC co-design flow for fully-binarised networks that keep learning."""

__version__ = "0.1.0"
