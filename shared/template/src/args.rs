//! Arguments of functions, methods, filters and tests.

use crate::error::{Fail, invalid};
use crate::meter::Meter;
use crate::value::{Scope, Value};

/// Values by position, then by name.
#[derive(Clone, Default)]
pub(crate) struct Args {
    pub(crate) positional: Vec<Value>,
    pub(crate) named: Scope,
}

impl Args {
    /// The arguments for these parameters, of which there are four at most; undefined where none is given.
    pub(crate) fn bind(self, parameters: &str) -> Result<Bound, Fail> {
        let mut values = [const { Value::Undefined }; 4];
        let count = parameters.split_ascii_whitespace().count();
        if self.positional.len() > count {
            return Err(invalid(&["there are more arguments than it takes"]));
        }
        for (place, value) in values.iter_mut().zip(self.positional) {
            *place = value;
        }
        for (name, value) in self.named {
            let mut places = values.iter_mut().zip(parameters.split_ascii_whitespace());
            match places.find(|(_, other)| *other == &*name) {
                Some((place, _)) => *place = value,
                None => return Err(invalid(&["it takes no argument `", &name, "`"])),
            }
        }
        Ok(values)
    }

    /// Takes the steps that it costs to hand them on, and to look through the texts.
    pub(crate) fn weigh(&self, meter: &Meter) -> Result<(), Fail> {
        meter.spend(self.positional.len() + self.named.len())?;
        let named = self.named.iter().map(|(_, value)| value);
        let mut values = self.positional.iter().chain(named);
        values.try_for_each(|value| meter.weigh_text(value))
    }

    /// The first argument, taken from the rest.
    pub(crate) fn first(&mut self) -> Option<Value> {
        (!self.positional.is_empty()).then(|| self.positional.remove(0))
    }

    /// An argument that has a name, taken from the rest.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        let place = self.named.iter().position(|(other, _)| **other == *name)?;
        Some(self.named.remove(place).1)
    }
}

/// Values of parameters.
pub(crate) type Bound = [Value; 4];

/// Names of filters, tests or methods, with the names of their parameters.
pub(crate) type Signatures = &'static [(&'static str, &'static str)];

/// The parameters of a name, if the table has it.
pub(crate) fn parameters(table: Signatures, name: &str) -> Option<&'static str> {
    let found = table.iter().find(|(other, _)| *other == name);
    found.map(|(_, parameters)| *parameters)
}

/// How many times an integer says: none if it is negative.
pub(crate) fn times(value: i64) -> usize {
    usize::try_from(value.max(0)).unwrap_or(usize::MAX)
}

/// An argument, or what stands for it where it is not given.
pub(crate) fn or_int(value: &Value, default: i64) -> Result<i64, Fail> {
    match value {
        Value::Undefined | Value::None => Ok(default),
        value => value.int(),
    }
}
