"""A small network for all tests of this folder: 20 images as 16 tokens."""

import pytest

from accelsim.explore.accuracy import StudyModel, load_model

FEW = ("workload.images=20",)


@pytest.fixture(scope="session")
def digits() -> StudyModel:
    """The first test images."""
    return load_model("digits_vit_16", FEW)


@pytest.fixture(scope="session")
def calibration() -> StudyModel:
    """The first calibration images."""
    return load_model("digits_vit_16", (*FEW, "workload.split=calibration"))
