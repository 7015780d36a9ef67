"""M2N2's own script on the digits of scikit-learn, and the digits for `sprat bench niches`.

    pip install jax optax tqdm scikit-learn
    git clone https://github.com/SakanaAI/natural_niches      # Apache-2.0; made with commit 3b90342
    python make_niches.py natural_niches [digits.csv]         # writes niches.json beside this file

Ten runs from random weights, with the script's own seeds and defaults but for 10,000 children instead of 50,000: these
are timed. Ten are few for a distribution so broad (those ten are lucky ones: Mann-Whitney p = .008 against the others), so
twenty more follow, with seeds from 1042 on, by the script's own functions in a loop that is compiled.
The file `digits.csv` is not committed: it is scikit-learn's copy of the UCI set (CC BY 4.0).
"""

import json
import os
import pathlib
import sys
import time

os.environ["JAX_PLATFORM_NAME"] = "cpu"
CHILDREN = 10_000


def further(seed):
    """The script's run from random weights with another seed: accuracy on unseen pictures, and on those evolved on."""
    import jax
    import jax.numpy as jnp
    from data import load_data
    from helper_fn import crossover, mutate
    from model import mlp, num_params
    from natural_niches_fn import sample_parents, update_archive

    (x, y), (x_test, y_test) = load_data()
    right = lambda model, x, y: jnp.argmax(mlp(model, x), axis=1) == y

    @jax.jit
    def step(archive, scores, key):
        k1, k2, k3, key = jax.random.split(key, 4)
        child = mutate(crossover(sample_parents(archive, scores, k1, 1.0, True), k2), k3)
        archive, scores = update_archive(right(child, x, y), child, archive, scores, 1.0)
        return archive, scores, key

    key, key1, key2 = jax.random.split(jax.random.PRNGKey(seed), 3)
    archive, scores = jnp.zeros([20, num_params]), jnp.zeros([20, len(x)], dtype=bool)
    for k in (key1, key2):
        model = jax.random.normal(k, (num_params,)) * 0.01
        archive, scores = update_archive(right(model, x, y), model, archive, scores, 1.0)
    for _ in range(CHILDREN):
        archive, scores, key = step(archive, scores, key)
    train = scores.mean(axis=1)
    best = int(jnp.argmax(train))
    return float(right(archive[best], x_test, y_test).mean()), float(train[best])


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
    more = [further(seed) for seed in range(1042, 1062)]
    result = {
        "children": CHILDREN,
        "evaluations_per_second": 10 * CHILDREN / seconds,
        "test": [float(run["test_values"][-1]) for run in runs] + [test for test, _ in more],
        "train": [float(run["train_values"][-1]) for run in runs] + [train for _, train in more],
    }
    pathlib.Path(__file__).with_name("niches.json").write_text(json.dumps(result, indent=1) + "\n")


main()
