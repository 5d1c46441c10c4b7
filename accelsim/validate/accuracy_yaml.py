"""Held-out errors of a GPU as YAML."""

import io

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from accelsim.config.accuracy import Accuracy


def accuracy_yaml(accuracy: Accuracy, name: str) -> str:
    """Text of the YAML file of a GPU's held-out errors.

    Parameters
    ----------
    accuracy : Accuracy
    name : str
        Of the file, by which a GPU's `accuracy` refers to it.
    """
    document = CommentedMap(accuracy.model_copy(update={"name": name}).model_dump(mode="json"))
    document["formats"] = CommentedSeq(document["formats"])
    document["formats"].fa.set_flow_style()
    for regimes in document["engines"].values():
        for regime, spread in regimes.items():
            regimes[regime] = CommentedMap(spread)
            regimes[regime].fa.set_flow_style()
    document.yaml_set_start_comment(
        f"Held-out errors of {accuracy.of_gpu}, written by accelsim accuracy-hw: where measured over predicted latency "
        "lies,\nby engine and regime, on rows that took no part in a fit."
    )
    yaml = YAML()
    yaml.width = 4096
    text = io.StringIO()
    yaml.dump(document, text)
    return text.getvalue()
