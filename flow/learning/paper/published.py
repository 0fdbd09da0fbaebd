"""Figures of the paper and its predecessor, to stand beside our numbers; a_final in percent.

Sources: arXiv 2503.07107 (CIFAR-100, CIFAR50+5x10), and, where "± 2" says that a value was read off
a plot, its predecessor: Basso-Bert et al., "On Class-Incremental Learning for Fully Binarized
Convolutional Neural Networks", ISCAS 2024, with a network of 4.1 Mb.
"""

SCENARIO = ("cifar100", 50, 10)
"""Data set, base classes, classes a session."""

LATENT_RPT = {True: "45.5", False: "40.9"}
"""Latent replay, 5 Mb, an extractor of the base classes; by whether the cross-entropy is weighted."""

EXTRACTORS = {
    ("base", "supervised"): "45.5",
    ("all", "supervised"): "51.28",
    ("all", "semi"): "52.45",
}
"""The same, weighted, by the classes and the objective of the pre-training."""

LATENT_MEMORY = {0.5: "26 ± 2", 5.0: "40 ± 2", 25.0: "44 ± 2"}
NATIVE_MEMORY = {1.0: "19 ± 2", 5.0: "26 ± 2", 25.0: "40 ± 2"}
"""By megabits."""

OFFLINE_TRAIN = "78.5"
"""Training accuracy of the network on all 100 classes at once."""
