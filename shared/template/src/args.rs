//! Arguments of functions, methods, filters and tests.

use crate::error::{Fail, invalid};
use crate::value::{Scope, Value};

/// Values by position, then by name.
#[derive(Clone, Default)]
pub(crate) struct Args {
    pub(crate) positional: Vec<Value>,
    pub(crate) named: Scope,
}

impl Args {
    /// The arguments for these parameters; undefined where none is given.
    pub(crate) fn bind<const N: usize>(self, names: [&str; N]) -> Result<[Value; N], Fail> {
        let mut values = [const { Value::Undefined }; N];
        self.fill(&names, &mut values)?;
        Ok(values)
    }

    fn fill(self, names: &[&str], values: &mut [Value]) -> Result<(), Fail> {
        if self.positional.len() > names.len() {
            return Err(invalid(&["there are more arguments than it takes"]));
        }
        for (place, value) in values.iter_mut().zip(self.positional) {
            *place = value;
        }
        for (name, value) in self.named {
            let mut places = values.iter_mut().zip(names);
            match places.find(|(_, other)| ***other == *name) {
                Some((place, _)) => *place = value,
                None => {
                    return Err(invalid(&["it takes no argument `", &name, "`"]));
                }
            }
        }
        Ok(())
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

/// An argument, or what stands for it where it is not given.
pub(crate) fn or_int(value: &Value, default: i64) -> Result<i64, Fail> {
    match value {
        Value::Undefined | Value::None => Ok(default),
        value => value.int(),
    }
}
