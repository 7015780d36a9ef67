//! Expressions: their value and how they are shown.

use core::fmt;

use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Pow, Signed, ToPrimitive, Zero};

use super::lex::{Number, small, whole};

/// Numbers that take more bits, above or below the fraction's bar, are no plain arithmetic; so no
/// question takes long.
const LARGEST_BITS: u64 = 3400;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr {
    Number(Number),
    /// As typed in parentheses.
    Group(Box<Expr>),
    Negative(Box<Expr>),
    /// `12.5%` alone: only to be multiplied.
    Percent(Box<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    /// The n-th root.
    Root(u32, Box<Expr>),
    Factorial(Box<Expr>),
    Call(Function, Vec<Expr>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
    /// 12.5% of 80
    PercentOf,
    /// 20% off 50
    PercentOff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Absolute,
    Difference,
    Average,
    GreatestCommonDivisor,
    LeastCommonMultiple,
}

/// A value that is known exactly, or an irrational one to fifty digits.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Exact(BigRational),
    Rounded(BigRational),
}

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// There is none, and this sentence says why.
    Undefined(&'static str),
    /// Too large, or with more than one meaning.
    Unsure,
}

const BY_ZERO: Fault = Fault::Undefined("Division by zero is undefined.");
const NEGATIVE_ROOT: Fault =
    Fault::Undefined("The square root of a negative number is not a real number.");

impl Expr {
    pub(super) fn binary(operator: Operator, left: Expr, right: Expr) -> Self {
        Self::Binary(operator, left.into(), right.into())
    }

    /// Whether something is computed at all.
    pub(super) fn computes(&self) -> bool {
        match self {
            Self::Number(_) => false,
            Self::Group(inner) | Self::Negative(inner) | Self::Percent(inner) => inner.computes(),
            Self::Binary(..) | Self::Root(..) | Self::Factorial(_) | Self::Call(..) => true,
        }
    }

    /// The value.
    pub(super) fn value(&self) -> Result<Value, Fault> {
        match self {
            Self::Root(degree, inner) => root(*degree, &inner.exact()?),
            Self::Group(inner) => inner.value(),
            Self::Negative(inner) => Ok(match inner.value()? {
                Value::Exact(value) => Value::Exact(-value),
                Value::Rounded(value) => Value::Rounded(-value),
            }),
            _ => self.exact().map(Value::Exact),
        }
    }

    /// The value, where a rounded one would spoil what is computed from it.
    fn exact(&self) -> Result<BigRational, Fault> {
        let value = match self {
            Self::Number(number) => number.value.clone(),
            Self::Group(inner) => inner.exact()?,
            Self::Negative(inner) => -inner.exact()?,
            Self::Percent(inner) => inner.exact()? / hundred(),
            Self::Binary(operator, left, right) => {
                operate(*operator, left.exact()?, right.exact()?)?
            }
            Self::Root(..) => match self.value()? {
                Value::Exact(value) => value,
                Value::Rounded(_) => return Err(Fault::Unsure),
            },
            Self::Factorial(inner) => factorial(&inner.exact()?)?,
            Self::Call(function, items) => {
                let items: Result<Vec<_>, _> = items.iter().map(Self::exact).collect();
                call(*function, items?)?
            }
        };
        let bits = value.numer().bits().max(value.denom().bits());
        if bits <= LARGEST_BITS {
            Ok(value)
        } else {
            Err(Fault::Unsure)
        }
    }

    /// How tightly it holds together, for parentheses.
    fn precedence(&self) -> u8 {
        match self {
            Self::Binary(Operator::Add | Operator::Subtract, ..) => 1,
            Self::Binary(Operator::Power, ..) => 4,
            Self::Binary(..) => 2,
            Self::Negative(_) => 3,
            _ => 5,
        }
    }

    /// Writes it, in parentheses where it holds less tightly than `least`.
    fn write(&self, f: &mut fmt::Formatter<'_>, least: u8) -> fmt::Result {
        if self.precedence() < least {
            write!(f, "({self})")
        } else {
            write!(f, "{self}")
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => f.write_str(&number.text),
            Self::Group(inner) => write!(f, "({inner})"),
            Self::Negative(inner) => {
                f.write_str("-")?;
                inner.write(f, 4)
            }
            Self::Percent(inner) => {
                inner.write(f, 5)?;
                f.write_str("%")
            }
            Self::Binary(operator, left, right) => {
                let own = self.precedence();
                // Powers group to the right, everything else to the left.
                let power = *operator == Operator::Power;
                left.write(f, if power { own + 1 } else { own })?;
                f.write_str(operator.sign())?;
                right.write(f, if power { own } else { own + 1 })
            }
            Self::Root(degree, inner) => {
                f.write_str(if *degree == 2 { "√" } else { "∛" })?;
                inner.write(f, 5)
            }
            Self::Factorial(inner) => {
                inner.write(f, 5)?;
                f.write_str("!")
            }
            Self::Call(function, items) => {
                write!(f, "{}(", function.name())?;
                for (index, item) in items.iter().enumerate() {
                    let comma = if index > 0 { ", " } else { "" };
                    write!(f, "{comma}{item}")?;
                }
                f.write_str(")")
            }
        }
    }
}

impl Operator {
    fn sign(self) -> &'static str {
        match self {
            Self::Add => " + ",
            Self::Subtract => " - ",
            Self::Multiply => " × ",
            Self::Divide => " ÷ ",
            Self::Remainder => " mod ",
            Self::Power => "^",
            Self::PercentOf => "% of ",
            Self::PercentOff => "% off ",
        }
    }
}

impl Function {
    fn name(self) -> &'static str {
        match self {
            Self::Absolute => "abs",
            Self::Difference => "difference",
            Self::Average => "average",
            Self::GreatestCommonDivisor => "gcd",
            Self::LeastCommonMultiple => "lcm",
        }
    }
}

fn hundred() -> BigRational {
    BigInt::from(100).into()
}

fn operate(operator: Operator, a: BigRational, b: BigRational) -> Result<BigRational, Fault> {
    match operator {
        Operator::Add => Ok(a + b),
        Operator::Subtract => Ok(a - b),
        Operator::Multiply => Ok(a * b),
        Operator::Divide | Operator::Remainder if b.is_zero() => Err(BY_ZERO),
        Operator::Divide => Ok(a / b),
        // Conventions differ below zero, and for fractions it is rarely meant.
        Operator::Remainder => match (whole(&a), whole(&b)) {
            (Some(a), Some(b)) if !a.is_negative() && b.is_positive() => Ok(a.mod_floor(b).into()),
            _ => Err(Fault::Unsure),
        },
        Operator::Power => power(&a, &b),
        Operator::PercentOf => Ok(a / hundred() * b),
        Operator::PercentOff => Ok((hundred() - a) / hundred() * b),
    }
}

/// Whole exponents only, and no result too large. 0^0 has two meanings.
fn power(base: &BigRational, exponent: &BigRational) -> Result<BigRational, Fault> {
    let exponent = whole(exponent).ok_or(Fault::Unsure)?;
    if base.is_zero() {
        return match exponent.sign() {
            num_bigint::Sign::Plus => Ok(BigRational::zero()),
            num_bigint::Sign::Minus => Err(BY_ZERO),
            num_bigint::Sign::NoSign => Err(Fault::Unsure),
        };
    }
    if base.abs().is_one() {
        let positive = base.is_positive() || exponent.is_even();
        return Ok(if positive {
            BigRational::one()
        } else {
            -BigRational::one()
        });
    }
    let exponent = exponent.to_i32().ok_or(Fault::Unsure)?;
    let bits = base.numer().bits().max(base.denom().bits());
    // A number of b bits has at least (b - 1) · e in its e-th power.
    if (bits - 1).saturating_mul(u64::from(exponent.unsigned_abs())) > LARGEST_BITS {
        return Err(Fault::Unsure);
    }
    Ok(Pow::pow(base, exponent))
}

fn factorial(value: &BigRational) -> Result<BigRational, Fault> {
    const LARGEST: i64 = 400;
    let n = small(value)
        .filter(|n| (0..=LARGEST).contains(n))
        .ok_or(Fault::Unsure)?;
    Ok((1..=n).map(BigInt::from).product::<BigInt>().into())
}

/// The real root. Of a fraction it is that of numerator and denominator where both are powers.
fn root(degree: u32, value: &BigRational) -> Result<Value, Fault> {
    const DIGITS: u32 = 50;
    if value.is_negative() {
        return Err(if degree == 2 {
            NEGATIVE_ROOT
        } else {
            Fault::Unsure
        });
    }
    let (numerator, denominator) = (
        value.numer().nth_root(degree),
        value.denom().nth_root(degree),
    );
    let candidate = BigRational::new(numerator, denominator);
    if Pow::pow(&candidate, degree) == *value {
        return Ok(Value::Exact(candidate));
    }
    let scale = BigInt::from(10).pow(DIGITS);
    let scaled = (value * Pow::pow(&scale, degree))
        .to_integer()
        .nth_root(degree);
    Ok(Value::Rounded(BigRational::new(scaled, scale)))
}

fn call(function: Function, items: Vec<BigRational>) -> Result<BigRational, Fault> {
    let count = BigInt::from(items.len());
    let positive = |items: &[BigRational]| -> Result<Vec<BigInt>, Fault> {
        let whole = |item| {
            whole(item)
                .filter(|n| n.is_positive())
                .cloned()
                .ok_or(Fault::Unsure)
        };
        items.iter().map(whole).collect()
    };
    match function {
        Function::Absolute => items.first().map(BigRational::abs).ok_or(Fault::Unsure),
        Function::Difference => match items.as_slice() {
            [a, b] => Ok((a - b).abs()),
            _ => Err(Fault::Unsure),
        },
        Function::Average => Ok(items.into_iter().sum::<BigRational>() / count),
        Function::GreatestCommonDivisor => {
            let gcd = positive(&items)?.into_iter().reduce(|a, b| a.gcd(&b));
            gcd.map(BigRational::from).ok_or(Fault::Unsure)
        }
        Function::LeastCommonMultiple => {
            let lcm = positive(&items)?.into_iter().reduce(|a, b| a.lcm(&b));
            lcm.map(BigRational::from).ok_or(Fault::Unsure)
        }
    }
}
