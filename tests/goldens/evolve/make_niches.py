"""M2N2's own script on the digits of scikit-learn, and the digits for `sprat bench niches`.

    pip install jax optax tqdm scikit-learn
    git clone https://github.com/SakanaAI/natural_niches      # Apache-2.0; made with commit 3b90342
    python make_niches.py natural_niches [digits.csv]         # writes niches.json beside this file

Ten runs from random weights, with the script's own seeds and defaults but for 10,000 children instead of 50,000.
The file `digits.csv` is not committed: it is scikit-learn's copy of the UCI set (CC BY 4.0).
"""

import json
import os
import pathlib
import sys
import time

os.environ["JAX_PLATFORM_NAME"] = "cpu"
CHILDREN = 10_000


def main():
    sys.path.insert(0, sys.argv[1])
    from natural_niches_fn import run_natural_niches
    from sklearn import datasets

    if len(sys.argv) > 2:
        images, labels = datasets.load_digits(return_X_y=True)
        rows = (",".join(str(int(v)) for v in [*image, label]) for image, label in zip(images, labels))
        pathlib.Path(sys.argv[2]).write_text("\n".join(rows) + "\n")
    began = time.time()
    runs = run_natural_niches(
        runs=10,
        pop_size=20,
        total_forward_passes=CHILDREN,
        store_train_results=True,
        no_matchmaker=False,
        no_crossover=False,
        no_splitpoint=False,
        use_pre_trained=False,
    )
    seconds = time.time() - began
    result = {
        "children": CHILDREN,
        "evaluations_per_second": 10 * CHILDREN / seconds,
        "test": [float(run["test_values"][-1]) for run in runs],
        "train": [float(run["train_values"][-1]) for run in runs],
    }
    pathlib.Path(__file__).with_name("niches.json").write_text(json.dumps(result, indent=1) + "\n")


main()
