//! What the tests share: values from JSON, and both ways to render.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, ErrorKind, Value as Theirs};
use sprat_template::{Error, Now, Template, Value};

/// A value in the order in which JSON has it: `serde_json`'s own maps are sorted.
pub(crate) struct Json(pub(crate) Theirs);

impl<'de> serde::Deserialize<'de> for Json {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Theirs::deserialize(from).map(Json)
    }
}

/// The value as ours.
pub(crate) fn theirs_to_ours(value: &Theirs) -> Value {
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
            let entries = keys.map(|key| {
                (
                    theirs_to_ours(&key),
                    theirs_to_ours(&value.get_item(&key).unwrap()),
                )
            });
            Value::map(entries.collect())
        }
        ValueKind::Seq | ValueKind::Iterable => Value::list(
            value
                .try_iter()
                .unwrap()
                .map(|item| theirs_to_ours(&item))
                .collect(),
        ),
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

/// Renders by ours and by minijinja, set up as for the templates of packs.
pub(crate) fn both(
    source: &str,
    variables: &[(&str, Theirs)],
) -> (Result<String, Error>, Result<String, minijinja::Error>) {
    let converted = variables
        .iter()
        .map(|(name, value)| (*name, theirs_to_ours(value)));
    let ours = render(source, converted.collect());
    // Ours has a block that only transformers has, which prints what is in it.
    let source = source
        .replace("{% generation %}", "{% if true %}")
        .replace("{% endgeneration %}", "{% endif %}");
    let environment = environment();
    let context: Theirs = variables.iter().cloned().collect();
    (ours, environment.render_str(&source, context))
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_fuel(Some(2_000_000));
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> Result<String, _> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", |format: String| {
        let parts = format.replace("%d", "09").replace("%Y", "2024");
        parts.replace("%B", "March").replace("%b", "Mar")
    });
    environment.add_filter(
        "tojson",
        |value: Theirs, options: Kwargs| -> Result<_, minijinja::Error> {
            let indent: Option<usize> = options.get("indent")?;
            let mut out = String::new();
            to_json(&value, indent, 0, &mut out);
            Ok(Theirs::from_safe_string(out))
        },
    );
    environment
}

/// Python's `json.dumps` in a few lines.
fn to_json(value: &Theirs, indent: Option<usize>, depth: usize, out: &mut String) {
    let line = |depth: usize, out: &mut String| {
        if let Some(indent) = indent {
            out.push('\n');
            out.push_str(&" ".repeat(indent * depth));
        }
    };
    let comma = |index: usize, out: &mut String| {
        if index > 0 {
            out.push_str(if indent.is_some() { "," } else { ", " });
        }
        line(depth + 1, out);
    };
    let brackets = match value.kind() {
        ValueKind::Map => ["{", "}"],
        ValueKind::Seq | ValueKind::Iterable => ["[", "]"],
        _ => {
            out.push_str(&serde_json::to_string(value).unwrap());
            return;
        }
    };
    out.push_str(brackets[0]);
    for (index, item) in value.try_iter().unwrap().enumerate() {
        comma(index, out);
        if value.kind() == ValueKind::Map {
            out.push_str(&format!("{}: ", serde_json::to_string(&item).unwrap()));
            to_json(&value.get_item(&item).unwrap(), indent, depth + 1, out);
        } else {
            to_json(&item, indent, depth + 1, out);
        }
    }
    if value.len() != Some(0) {
        line(depth, out);
    }
    out.push_str(brackets[1]);
}
