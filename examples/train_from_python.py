# %% [markdown]
# # From rows in Python to a model that answers
# A script in cells (`# %%`), for an editor or a notebook. Offline: the packaged demo model, and
# rows that are made here.

# %%
import pandas as pd

import calisr_engine as calisr
from calisr_engine.events.types import Evaluated, Event, GroupSwitched

GOOD = ["wonderful", "warm", "funny", "clever", "moving"]
BAD = ["dull", "cold", "tedious", "clumsy", "boring"]
WHAT = ["film", "book", "play", "story", "song", "scene", "ending", "novel"]
rows = [
    {"text": f"a {how} {what} by a {other} author", "label": label}
    for label, words in (("good", GOOD), ("bad", BAD))
    for how in words
    for what in WHAT
    for other in ("young", "famous")
]
frame = pd.DataFrame(rows)


# %% [markdown]
# ## Train
# Columns, labels and a validation set are found, as on the command line. Each event of the run's
# log is handed to the callbacks.
# %%
def tell(step: int, event: Event) -> None:
    if isinstance(event, Evaluated):
        print(f"step {step}: {event.metrics}")
    elif isinstance(event, GroupSwitched):
        print(f"step {step}: {event.group} goes over to the light method")


run = calisr.train(
    train=frame,
    model="demo-bert",
    method="lora",
    calibration="S",
    settings={"training.epochs": 4, "training.learning_rate": 1e-3, "task.max_length": 16},
    callbacks=[tell],
)
print(run, run.view.state, run.best)

# %% [markdown]
# ## Ask it
# %%
for found in run.predict(["a warm ending by a famous author", "a clumsy song"]):
    print(found.prediction, found.probabilities)

# %% [markdown]
# ## Later
# A run is a directory. It holds its rows, and opens again by its name; `export` writes a folder
# that plain transformers opens.
# %%
again = calisr.Run.open(run.path)
print(again.config.task.train_file)
print(again.export("exported"))
