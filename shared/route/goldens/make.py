"""Writes metrics.json, gate.json and dates.json: what scikit-learn, scipy and datetime say.

    pip install numpy scipy scikit-learn && python shared/route/goldens/make.py

The tests read the committed files; they need no Python.
"""

import datetime
import json
import pathlib
import random

import numpy as np
import scipy
import sklearn
from scipy import stats
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

HERE = pathlib.Path(__file__).parent
MADE_WITH = f"numpy {np.__version__}, scipy {scipy.__version__}, scikit-learn {sklearn.__version__}"


def equal_mass_ece(p, y, bins=15):
    """ECE over equal-mass bins whose edges never part equal confidences."""
    order = np.argsort(p, kind="stable")
    p, y = p[order], y[order].astype(float)
    n, start, total = len(p), 0, 0.0
    for b in range(1, bins + 1):
        end = -(-b * n // bins)
        while start < end < n and p[end] == p[end - 1]:
            end += 1
        if end > start:
            total += (end - start) * abs(p[start:end].mean() - y[start:end].mean())
            start = end
    return total / n


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
    score = np.round(rng.uniform(size=80), 2)
    hit = rng.uniform(size=80) < score**2
    isotonic = IsotonicRegression(out_of_bounds="clip").fit(score, hit)
    at = np.linspace(0, 1, 41)
    return {"made_with": MADE_WITH, "x": x.tolist(), "y": y.tolist(), "mean": mean.tolist(),
            "scale": scale.tolist(), "logistic": cases,
            "isotonic": {"score": score.tolist(), "hit": hit.tolist(), "at": at.tolist(),
                         "value": isotonic.predict(at).tolist()}}


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
