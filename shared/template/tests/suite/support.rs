//! What the tests share: values from JSON, and both ways to render.

use sprat_template::{Error, Now, Template, Value};

/// A value in the order in which JSON has it: `serde_json`'s own maps are sorted.
pub(crate) struct Json(pub(crate) minijinja::Value);

impl<'de> serde::Deserialize<'de> for Json {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        minijinja::Value::deserialize(from).map(Json)
    }
}

/// The value as ours.
pub(crate) fn ours(value: &minijinja::Value) -> Value {
    use minijinja::value::ValueKind;
    match value.kind() {
        ValueKind::Undefined => Value::Undefined,
        ValueKind::None => Value::None,
        ValueKind::Bool => Value::Bool(value.is_true()),
        ValueKind::Number => match i64::try_from(value.clone()) {
            Ok(int) if value.is_integer() => Value::Int(int),
            _ => Value::Float(f64::try_from(value.clone()).unwrap()),
        },
        ValueKind::Map => {
            let keys = value.try_iter().unwrap();
            let entries = keys.map(|key| (ours(&key), ours(&value.get_item(&key).unwrap())));
            Value::map(entries.collect())
        }
        ValueKind::Seq | ValueKind::Iterable => {
            Value::list(value.try_iter().unwrap().map(|item| ours(&item)).collect())
        }
        _ => Value::from(value.as_str().unwrap()),
    }
}

/// The ninth of March 2024, a Saturday evening.
pub(crate) fn now() -> Now {
    Now {
        year: 2024,
        month: 3,
        day: 9,
        hour: 21,
        minute: 5,
        second: 7,
    }
}

/// Renders once.
pub(crate) fn render(source: &str, variables: Vec<(&str, Value)>) -> Result<String, Error> {
    Template::new(source)?.render(variables, &now)
}
