//! The shape of the normal distribution that CMA-ES draws from.

use nalgebra::{DMatrix, DVector, SymmetricEigen};

/// A covariance, and what is computed from it when it is drawn from.
#[derive(Debug, Clone)]
pub(super) enum Covariance {
    Full(Full),
    /// Variances of independent coordinates.
    Diagonal(Vec<f64>),
}

#[derive(Debug, Clone)]
pub(super) struct Full {
    matrix: DMatrix<f64>,
    /// Its symmetric root and the inverse of that.
    root: DMatrix<f64>,
    inverse_root: DMatrix<f64>,
    /// The largest variance in any direction by the smallest.
    condition: f64,
}

impl Covariance {
    pub(super) fn full(dimension: usize) -> Self {
        let one = DMatrix::identity(dimension, dimension);
        Self::Full(Full {
            root: one.clone(),
            inverse_root: one.clone(),
            matrix: one,
            condition: 1.0,
        })
    }

    pub(super) fn diagonal(dimension: usize) -> Self {
        Self::Diagonal(vec![1.0; dimension])
    }

    /// Normal numbers to a step of this distribution. The symmetric root, and not eigenvectors times
    /// lengths: both are right, but only the root is the same for every eigenvalue solver.
    pub(super) fn step(&self, z: &[f64]) -> Vec<f64> {
        match self {
            Self::Full(full) => times(&full.root, z),
            Self::Diagonal(c) => z.iter().zip(c).map(|(z, c)| z * c.sqrt()).collect(),
        }
    }

    /// A step to the normal numbers that make it.
    pub(super) fn whiten(&self, y: &[f64]) -> Vec<f64> {
        match self {
            Self::Full(full) => times(&full.inverse_root, y),
            Self::Diagonal(c) => y.iter().zip(c).map(|(y, c)| y / c.sqrt()).collect(),
        }
    }

    /// C ← keep · C + Σ weight · y yᵀ.
    pub(super) fn learn(&mut self, keep: f64, steps: &[(f64, &[f64])]) {
        match self {
            Self::Full(full) => {
                full.matrix *= keep;
                for (weight, y) in steps {
                    let y = DVector::from_column_slice(y);
                    full.matrix.ger(*weight, &y, &y, 1.0);
                }
            }
            Self::Diagonal(variances) => {
                for (i, c) in variances.iter_mut().enumerate() {
                    let learned = steps.iter().map(|(weight, y)| weight * y[i] * y[i]);
                    *c = *c * keep + learned.sum::<f64>();
                }
            }
        }
    }

    /// Computes what [`Covariance::step`] needs after [`Covariance::learn`].
    pub(super) fn decompose(&mut self) {
        let Self::Full(full) = self else { return };
        full.matrix = (&full.matrix + full.matrix.transpose()) * 0.5;
        let SymmetricEigen {
            eigenvalues,
            eigenvectors,
        } = SymmetricEigen::new(full.matrix.clone());
        let (low, high) = (eigenvalues.min(), eigenvalues.max());
        full.condition = high / low;
        if low > 0.0 {
            let lengths = eigenvalues.map(f64::sqrt);
            let of = |d: DVector<f64>| {
                &eigenvectors * DMatrix::from_diagonal(&d) * eigenvectors.transpose()
            };
            full.inverse_root = of(lengths.map(f64::recip));
            full.root = of(lengths);
        }
    }

    /// The largest variance of a coordinate.
    pub(super) fn largest(&self) -> f64 {
        match self {
            Self::Full(full) => full.matrix.diagonal().max(),
            Self::Diagonal(c) => c.iter().copied().fold(0.0, f64::max),
        }
    }

    /// The largest variance by the smallest; not a positive number where the matrix is none.
    pub(super) fn condition(&self) -> f64 {
        match self {
            Self::Full(full) => full.condition,
            Self::Diagonal(c) => self.largest() / c.iter().copied().fold(f64::INFINITY, f64::min),
        }
    }
}

fn times(matrix: &DMatrix<f64>, vector: &[f64]) -> Vec<f64> {
    let product = matrix * DVector::from_column_slice(vector);
    product.as_slice().to_vec()
}
