"""Compares ways to calibrate a gate's regression, for docs/router.md: a table on standard output.

    sprat eval web/models/sprat-tiny --questions 4000 --seed 777 --data DATA --details answers.jsonl
    pip install numpy scikit-learn betacal cir-model
    python docs/router/calibrators.py answers.jsonl [ROUNDS [FIT]]

Each round draws at most 500 answers of each kind (half of a kind that has fewer than 1000), fits the regression to
60 % of them and each calibration to the probabilities that five-fold cross-fitting gives the same 60 %. 20 % are
the test part. Everything that was not drawn is measured too, each kind with its share of the drawn ones. With FIT only
so many are fitted on.
"""

import json
import sys
import warnings

import numpy as np
from betacal import BetaCalibration
from cir_model import CenteredIsotonicRegression
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import cross_val_predict

warnings.filterwarnings("ignore")
FAR, BINS = 8.0, 15  # Of the gate: where features are cut. Of the ECE.


def logit(p):
    p = np.clip(p, 1e-9, 1 - 1e-9)
    return np.log(p / (1 - p))[:, None]


def regression(x, y, c=1.0):
    model = LogisticRegression(C=c, max_iter=1000).fit(x, y)
    return lambda x: model.predict_proba(x)[:, 1]


def platt(p, y):
    model = regression(logit(p), y, 1e6)
    return lambda p: model(logit(p))


def beta(p, y):
    return BetaCalibration("abm").fit(p[:, None], y).predict


def isotonic(p, y):
    return IsotonicRegression(out_of_bounds="clip").fit(p, y).predict


def centred(p, y, weight=None):
    return CenteredIsotonicRegression(non_centered_points=[], out_of_bounds="clip").fit(p, y, weight).predict


def both(p, y):
    one, other = platt(p, y), isotonic(p, y)
    return lambda p: (one(p) + other(p)) / 2


def histogram(p, y):
    """Ten bins of equal mass, straight lines between their middles."""
    bins = np.array_split(np.argsort(p), 10)
    x, share = [p[b].mean() for b in bins], [(y[b].sum() + p[b].mean()) / (len(b) + 1) for b in bins]
    return lambda p: np.interp(p, x, share)


def spline(p, y):
    """Logistic regression on straight pieces between quintiles of the logit."""
    knots = np.quantile(logit(p), [0.2, 0.4, 0.6, 0.8])
    pieces = lambda p: np.hstack([logit(p)] + [np.maximum(logit(p) - k, 0) for k in knots])
    model = regression(pieces(p), y)
    return lambda p: model(pieces(p))


def binned(p, y):
    """The gate's own: ten bins of equal mass, an answer more at each end, centred isotonic regression."""
    bins = np.array_split(np.argsort(p), 10)
    scores, right = [list(p[b]) for b in bins], [list(y[b]) for b in bins]
    scores[0].append(0.0), right[0].append(1), scores[-1].append(1.0), right[-1].append(0)
    inner = centred([np.mean(s) for s in scores], [np.mean(r) for r in right], [len(s) for s in scores])
    # The original is flat outside of the middles; the gate goes on to 0 and 1.
    x = np.array([np.mean(s) for s in scores])
    pooled = np.unique(np.round(inner(x), 12), return_inverse=True)[1]
    middles = [np.concatenate([scores[i] for i in np.where(pooled == k)[0]]).mean() for k in range(pooled.max() + 1)]
    n, ys = len(p), inner(np.array(middles))
    return lambda p: np.interp(p, [0.0, *middles, 1.0], [1 / (n + 2), *ys, (n + 1) / (n + 2)])


WAYS = {"none": lambda p, y: lambda p: p, "Platt": platt, "beta": beta, "isotonic": isotonic,
        "centred isotonic": centred, "mean of Platt and isotonic": both, "histogram": histogram,
        "spline": spline, "centred isotonic over ten bins": binned}


def ece(p, y, w):
    order = np.argsort(p, kind="stable")
    p, y, w = p[order], y[order], w[order]
    b = np.minimum((np.cumsum(w) / w.sum() - 1e-12) * BINS, BINS - 1e-9).astype(int)
    return np.abs(np.bincount(b, w * (p - y), BINS)).sum() / w.sum()


def figures(p, y, w, random, draws):
    p = np.clip(p, 1e-6, 1 - 1e-6)
    chance = np.mean([ece(p, (random.random(len(p)) < p).astype(float), w) for _ in range(draws)])
    return [ece(p, y, w), chance, np.average((p - y) ** 2, weights=w), log_loss(y, p, sample_weight=w),
            roc_auc_score(y, p, sample_weight=w)]


def one_round(x, y, kind, seed, most):
    random = np.random.default_rng(seed)
    kinds = {k: np.where(kind == k)[0] for k in np.unique(kind)}
    take = {k: min(500, len(of) // 2) for k, of in kinds.items()}
    drawn = random.permutation(np.concatenate([random.permutation(of)[:take[k]] for k, of in kinds.items()]))
    outside = np.setdiff1d(np.arange(len(y)), drawn)
    weight = np.array([take[k] / (len(kinds[k]) - take[k]) for k in kind[outside]])
    fit, test = drawn[:int(0.6 * len(drawn))][:most], drawn[int(0.8 * len(drawn)):]
    mean, scale = x[fit].mean(axis=0), x[fit].std(axis=0)
    z = np.clip((x - mean) / scale, -FAR, FAR)
    model = LogisticRegression(max_iter=1000)
    crossed = cross_val_predict(model, z[fit], y[fit], cv=5, method="predict_proba")[:, 1]
    raw = model.fit(z[fit], y[fit]).predict_proba(z)[:, 1]
    rows = []
    for way in WAYS.values():
        p = way(crossed, y[fit])(raw)
        rows.append(figures(p[test], y[test], np.ones(len(test)), random, 20)[:2]
                    + figures(p[outside], y[outside], weight, random, 5))
    return rows


def main(path, rounds=200, most=None):
    answers = [json.loads(line) for line in open(path)]
    x, y = np.array([a["features"] for a in answers]), np.array([float(a["right"]) for a in answers])
    kind = np.array([a["skill"] for a in answers])
    all_rounds = np.array([one_round(x, y, kind, seed, most and int(most)) for seed in range(int(rounds))])
    print("| calibration | ECE of the test part | if calibrated | ECE outside | if calibrated | Brier | NLL | AUROC "
          "| ECE, Brier, NLL better than none in |\n|---|" + "---:|" * 8)
    for at, name in enumerate(WAYS):
        m = all_rounds[:, at].mean(axis=0)
        better = [100 * np.mean(all_rounds[:, at, j] < all_rounds[:, 0, j]) for j in (2, 4, 5)]
        better = ", ".join(f"{b:.0f}" for b in better) + " %" if at else "-"
        print(f"| {name} | " + " | ".join(f"{v:.4f}" for v in m[:4]) + f" | {m[4]:.5f} | {m[5]:.4f} | {m[6]:.4f} | {better} |")


main(*sys.argv[1:])
