//! Sorting values. The library's sort may panic when an order is none, and values from strangers can do that; this one only
//! gives some order then.

use std::cmp::Ordering;

use crate::error::Fail;
use crate::meter::Meter;
use crate::operate::compare;
use crate::value::Value;

/// How values are put in order.
#[derive(Default)]
pub(crate) struct Order {
    pub(crate) ignore_case: bool,
    pub(crate) reverse: bool,
}

impl Order {
    /// Compares by the key that `of` makes.
    pub(crate) fn compare(&self, a: &Value, b: &Value, meter: &Meter) -> Result<Ordering, Fail> {
        meter.weigh_text(a)?;
        meter.weigh_text(b)?;
        // Not a number is as large as any.
        let order = compare(&self.key(a), &self.key(b), meter)?.unwrap_or(Ordering::Equal);
        Ok(if self.reverse { order.reverse() } else { order })
    }

    /// What is compared of a value.
    pub(crate) fn key(&self, value: &Value) -> Value {
        match value {
            Value::Text(text) if self.ignore_case => Value::from(crate::text::lower(text)),
            other => other.clone(),
        }
    }
}

/// The places of values in their order; equal ones stay as they are to each other. A merge sort from the bottom up.
pub(crate) fn sort(values: &[Value], order: &Order, meter: &Meter) -> Result<Vec<usize>, Fail> {
    let mut places: Vec<usize> = (0..values.len()).collect();
    let mut width = 1;
    while width < places.len() {
        let mut merged = Vec::with_capacity(places.len());
        for run in places.chunks(2 * width) {
            let (mut left, mut right) = run.split_at(width.min(run.len()));
            while let ([l, ..], [r, ..]) = (left, right) {
                meter.spend(1)?;
                if order.compare(&values[*r], &values[*l], meter)? == Ordering::Less {
                    merged.push(*r);
                    right = &right[1..];
                } else {
                    merged.push(*l);
                    left = &left[1..];
                }
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        places = merged;
        width *= 2;
    }
    Ok(places)
}
