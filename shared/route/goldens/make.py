"""Writes metrics.json, gate.json and dates.json: what scikit-learn, scipy and datetime say.

    pip install numpy scipy scikit-learn cir-model uncertainty-calibration
    python shared/route/goldens/make.py

The tests read the committed files; they need no Python.
"""

import datetime
import json
import pathlib
import random
from importlib.metadata import version

import calibration
import numpy as np
import scipy
import sklearn
from cir_model import CenteredIsotonicRegression
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

HERE = pathlib.Path(__file__).parent
MADE_WITH = (f"numpy {np.__version__}, scipy {scipy.__version__}, scikit-learn {sklearn.__version__}, "
             f"cir-model {version('cir-model')}, uncertainty-calibration {version('uncertainty-calibration')}")


def equal_mass(p, bins=15):
    """Places of bins of equal mass, whose edges never part equal confidences."""
    order = np.argsort(p, kind="stable")
    n, start = len(p), 0
    for b in range(1, bins + 1):
        end = -(-b * n // bins)
        while start < end < n and p[order[end]] == p[order[end - 1]]:
            end += 1
        if end > start:
            yield order[start:end]
            start = end


def equal_mass_ece(p, y):
    return sum(len(bin) * abs(p[bin].mean() - y[bin].mean()) for bin in equal_mass(p)) / len(p)


def debiased_squared_ce(p, y):
    return calibration.utils.unbiased_square_ce([list(zip(p[bin], y[bin])) for bin in equal_mass(p)])


def aurc(p, y):
    """Mean over answers of the error rate among all answers at least as confident."""
    return float(np.mean([1.0 - y[p >= own].mean() for own in p]))


def scores():
    rng = np.random.default_rng(1)
    cases = []
    for n, ties in [(20, False), (200, False), (200, True)]:
        p = rng.uniform(size=n)
        if ties:
            p = np.round(p, 1)
        y = rng.uniform(size=n) < 0.2 + 0.6 * p
        cases.append({
            "confidence": p.tolist(), "correct": y.tolist(),
            "auroc": roc_auc_score(y, p), "brier": brier_score_loss(y, p),
            "nll": log_loss(y, p), "ece": equal_mass_ece(p, y), "aurc": aurc(p, y),
            "debiased_squared_ce": debiased_squared_ce(p, y),
        })
    return cases


def intervals():
    cases = []
    for k, n in [(0, 1), (1, 1), (0, 59), (3, 40), (17, 100), (250, 500), (999, 1000), (5000, 100000)]:
        for level in [0.9, 0.95, 0.99]:
            test = stats.binomtest(k, n)
            exact = test.proportion_ci(level, "exact")
            score = test.proportion_ci(level, "wilson")
            upper = 1.0 if k == n else stats.beta.ppf(level, k + 1, n - k)
            cases.append({
                "k": k, "n": n, "level": level, "upper": upper,
                "clopper_pearson": [exact.low, exact.high], "wilson": [score.low, score.high],
            })
    return cases


def beta():
    cases = []
    for a, b in [(0.5, 0.5), (1, 1), (1, 59), (3, 7.5), (120, 3000), (40000, 2)]:
        for p in [1e-6, 0.05, 0.5, 0.95, 0.9999]:
            x = float(stats.beta.ppf(p, a, b))
            cases.append({"a": a, "b": b, "p": p, "quantile": x, "x": x,
                          "cdf": float(stats.beta.cdf(x, a, b))})
    return cases


def gate():
    rng = np.random.default_rng(2)
    n, width = 300, 4
    x = rng.normal(size=(n, width)) * np.array([1.0, 5.0, 0.1, 2.0]) + np.array([0, 3, -1, 0])
    y = rng.uniform(size=n) < 1 / (1 + np.exp(-(x[:, 0] + 0.2 * x[:, 1] - 0.6)))
    mean, scale = x.mean(axis=0), x.std(axis=0)
    z = (x - mean) / scale
    cases = []
    for ridge in [0.1, 1.0, 10.0]:
        model = LogisticRegression(C=1 / ridge, tol=1e-12, max_iter=10000).fit(z, y)
        cases.append({"ridge": ridge, "weights": model.coef_[0].tolist(),
                      "bias": float(model.intercept_[0])})
    return {"made_with": MADE_WITH, "x": x.tolist(), "y": y.tolist(), "mean": mean.tolist(),
            "scale": scale.tolist(), "logistic": cases, "isotonic": [isotonic(rng, 80), isotonic(rng, 1000)]}


def isotonic(rng, n):
    """Ten bins, an answer more at each end, centred isotonic regression of the bins."""
    score = np.round(rng.uniform(size=n), 2)
    correct = rng.uniform(size=n) < 0.5 * score + 0.5 * score**6
    bins = [[score[bin].tolist(), correct[bin].tolist()] for bin in equal_mass(score, 10)]
    bins[0] = [bins[0][0] + [0.0], bins[0][1] + [True]]
    bins[-1] = [bins[-1][0] + [1.0], bins[-1][1] + [False]]
    x, y = ([np.mean(bin[i]) for bin in bins] for i in (0, 1))
    model = CenteredIsotonicRegression(non_centered_points=[]).fit(x, y, [len(bin[0]) for bin in bins])
    # Before the first and behind the last centre the original is flat.
    centres = model.X_thresholds_[1 if model.y_thresholds_[1] == model.y_thresholds_[0] else 0:]
    centres = centres[:-1 if model.y_thresholds_[-1] == model.y_thresholds_[-2] else None]
    at = np.linspace(centres[0], centres[-1], 41)
    return {"score": score.tolist(), "correct": correct.tolist(), "at": at.tolist(), "value": model.predict(at).tolist()}


def dates():
    draw = random.Random(3)
    first, last = datetime.date(1583, 1, 1).toordinal(), datetime.date(9999, 12, 31).toordinal()
    cases = []
    for _ in range(200):
        a, b = (datetime.date.fromordinal(draw.randint(first, last)) for _ in range(2))
        cases.append({"a": a.isoformat(), "b": b.isoformat(), "days": abs((b - a).days),
                      "weekday": a.strftime("%A")})
    return {"made_with": "datetime of Python's standard library", "cases": cases}


def write(name, value):
    (HERE / name).write_text(json.dumps(value, indent=None, separators=(",", ":")) + "\n")


write("metrics.json", {"made_with": MADE_WITH, "scores": scores(), "intervals": intervals(), "beta": beta()})
write("gate.json", gate())
write("dates.json", dates())
