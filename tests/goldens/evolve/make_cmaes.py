"""What pycma does with given normal numbers: the mean, step size and best cost of 50 generations.

    pip install cma==4.5.0
    python make_cmaes.py        # writes cmaes.json beside this file

pycma multiplies normal numbers with eigenvectors, whose signs and order depend on the solver. The numbers
that it is given here are turned so that it draws with the symmetric root of the covariance instead, which
is the same everywhere. Its first covariance is the identity: pycma's own is that but for a trifle which keeps
eigenvalues apart. Its diagonal sampler measures bad points, unlike the full one, by a covariance that has
begun to change; here by that which they were drawn from.
"""

import json
import pathlib
import warnings

import cma
import numpy as np

GENERATIONS = 50


class Numbers:
    """Sums of 12 even numbers: close enough to normal ones, and exact in any language."""

    def __init__(self, seed):
        self.state = seed

    def even(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 11) / 2**53

    def normal(self):
        return sum(self.even() for _ in range(12)) - 6.0


def sphere(x):
    return float(sum(x**2))


def rosenbrock(x):
    return float(sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2))


def ellipsoid(x):
    n = len(x)
    return float(sum(10.0 ** (6.0 * i / (n - 1)) * x[i] ** 2 for i in range(n)))


class Diagonal(cma.sampler.GaussDiagonalSampler):
    def sample(self, *args, **kwargs):
        self.drawn_from = self.C.copy()
        return super().sample(*args, **kwargs)

    def norm(self, x):
        return sum(np.asarray(x) ** 2 / self.drawn_from) ** 0.5


def run(function, n, diagonal, population):
    numbers = Numbers(7)
    options = {"verbose": -9, "seed": 1, "CMA_diagonal": 0}
    if population:
        options["popsize"] = population

    def randn(rows, columns):
        z = np.array([[numbers.normal() for _ in range(columns)] for _ in range(rows)])
        return z if diagonal else z @ search.sm.B

    if diagonal:
        options["CMA_sampler"] = Diagonal
        options["CMA_sampler_options"] = {"randn": randn}
    else:
        options["randn"] = randn
    search = cma.CMAEvolutionStrategy(n * [0.5], 1 / 6, options)
    if not diagonal:
        search.sm.C, search.sm.B, search.sm.D = np.eye(n), np.eye(n), np.ones(n)
    generations = []
    for _ in range(GENERATIONS):
        points = search.ask()
        costs = [function(np.asarray(x)) for x in points]
        search.tell(points, costs)
        generations.append([*map(float, search.mean), float(search.sigma), min(costs)])
    return {
        "function": function.__name__,
        "dimension": n,
        "diagonal": diagonal,
        "population": search.popsize,
        "generations": generations,
    }


def bounds():
    """Points and where pycma's transformation takes them, for a few boxes."""
    rows = []
    for low, high in [(0.0, 1.0), (-2.0, 0.01), (5.0, 5.1), (-100.0, 30.0)]:
        transform = cma.transformations.BoxConstraintsLinQuadTransformation([[low, high]])
        width = high - low
        for part in np.linspace(-3.1, 4.3, 60):
            x = low + float(part) * width
            rows.append([low, high, x, float(transform.transform(np.array([x]))[0])])
    return rows


def main():
    warnings.simplefilter("ignore")
    cases = [
        run(function, n, diagonal, population)
        for function, n, diagonal, population in [
            (sphere, 6, False, None),
            (rosenbrock, 6, False, None),
            (ellipsoid, 6, False, None),
            (ellipsoid, 12, False, 40),
            (sphere, 6, True, None),
            (rosenbrock, 6, True, None),
            (ellipsoid, 12, True, None),
        ]
    ]
    path = pathlib.Path(__file__).with_name("cmaes.json")
    lines = ",\n".join(json.dumps(case) for case in cases)
    path.write_text(f'{{"cases": [\n{lines}\n],\n"bounds": {json.dumps(bounds())}}}\n')


main()
