"""What the lists of the setup's pages offer, and what the paths on them may lead to."""

from __future__ import annotations

from calisr_engine.config.describe import FieldInfo
from calisr_engine.methods.catalog import METHODS
from calisr_engine.models import catalog
from calisr_engine.tasks import glue
from calisr_tui import data_source, estimates
from calisr_tui.draft import OWN
from calisr_tui.widgets.paths import Wanted

VARIANTS = {
    "off": "no calibration: the method as it is",
    "S": "each component switches by itself",
    "S3": "three groups: attention, and the two feed-forward matrices",
    "D": "one score and one switch for the whole model",
    "L": "each layer switches by itself",
    "LC": "each component of each layer: a switch a matrix",
    "own": "groups of your own, in the fold of groups below",
}


def offers(page: str) -> dict[str, str]:
    """What the list of a page is to choose from, each with a note; empty for pages without."""
    if page == "model":
        found = {}
        for each in catalog.names():
            entry = catalog.find(each)
            assert entry is not None
            total = estimates.millions(catalog.parameter_total(entry))
            found[each] = f"{entry.layers} layers, hidden {entry.hidden}, {total}"
        return found
    if page == "task":
        tasks = [(each, glue.find(each)) for each in glue.known()]
        return {
            "demo": "synthetic sentences, needs no download",
            OWN: "a file, a folder, or a data set of the hub",
            **{each: f"{t.title}, {t.sizes['train']:,} examples" for each, t in tasks},
        }
    if page == "method":
        return {each: model.summary for each, model in METHODS.items()}
    return VARIANTS if page == "calibration" else {}


def wanted(info: FieldInfo) -> Wanted | None:
    """What a path may lead to; None for settings that are no paths."""
    if info.key in ("task.train_file", "task.validation_file", "task.test_file"):
        return Wanted(endings=data_source.endings())
    if info.key == "model.name":
        return Wanted(words=tuple(catalog.names()), marker="config.json")
    return Wanted() if info.kind == "path" else None
