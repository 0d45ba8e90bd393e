"""The digits of scikit-learn, which come with that package: 1797 images of 8 x 8 pixels with the levels 0 to 16."""

from __future__ import annotations

import numpy as np

from sdpcert.running.extras import needed_by
from sdpcert.training.image_files import Split

#: Every fifth image of a class, from the fifth on, is a test image.
TEST_EVERY = 5


def read_digits() -> tuple[Split, Split]:
    """The training (1442 images) and test split (355), images (count, 1, 8, 8) with values 0 to 16."""
    with needed_by("the digits data set, which comes with scikit-learn,"):
        from sklearn.datasets import load_digits
    pixels, labels = load_digits(return_X_y=True)
    images = np.asarray(pixels).astype(np.uint8).reshape(-1, 1, 8, 8)
    numbers = np.asarray(labels).astype(np.uint8)
    test = np.zeros(len(images), bool)
    for label in range(10):
        test[np.flatnonzero(numbers == label)[TEST_EVERY - 1 :: TEST_EVERY]] = True
    return Split(images[~test], numbers[~test]), Split(images[test], numbers[test])
