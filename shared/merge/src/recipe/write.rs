//! [`Recipe`] to YAML.

use std::fmt::{self, Display, Formatter};
use std::ops::Range;

use super::{ChatTemplateSource, Parameters, Recipe, Rule, Setting};
use crate::methods::Range as Values;
use crate::{Method, Parameter};

/// The recipe as YAML that [`Recipe::parse`] and mergekit read.
impl Display for Recipe {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "merge_method: {}", self.method.name())?;
        if let Some(base) = &self.base_model {
            writeln!(f, "base_model: {}", text(base))?;
        }
        if !self.models.is_empty() {
            writeln!(f, "models:")?;
        }
        for source in &self.models {
            writeln!(f, "  - model: {}", text(&source.model))?;
            write_parameters(f, "    ", &source.parameters, self.method)?;
        }
        if !self.slices.is_empty() {
            writeln!(f, "slices:")?;
        }
        for slice in &self.slices {
            writeln!(f, "  - sources:")?;
            for source in &slice.sources {
                let Range { start, end } = source.layers;
                writeln!(f, "      - model: {}", text(&source.model))?;
                writeln!(f, "        layer_range: [{start}, {end}]")?;
                write_parameters(f, "        ", &source.parameters, self.method)?;
            }
            if let Some(base) = &slice.base_model {
                writeln!(f, "    base_model: {}", text(base))?;
            }
            write_parameters(f, "    ", &slice.parameters, self.method)?;
        }
        write_parameters(f, "", &self.parameters, self.method)?;
        let words = [
            ("dtype", self.dtype.map(|dtype| dtype.name().to_owned())),
            (
                "out_dtype",
                self.out_dtype.map(|dtype| dtype.name().to_owned()),
            ),
            (
                "tokenizer_source",
                self.tokenizer_source.as_deref().map(text),
            ),
            (
                "chat_template",
                self.chat_template.as_ref().map(|source| match source {
                    ChatTemplateSource::MostCommon => "auto".to_owned(),
                    ChatTemplateSource::Text(template) => text(template),
                }),
            ),
            ("seed", (self.seed != 0).then(|| self.seed.to_string())),
            (
                "compat",
                self.mergekit_faults.then(|| "mergekit".to_owned()),
            ),
        ];
        for (key, word) in words {
            if let Some(word) = word {
                writeln!(f, "{key}: {word}")?;
            }
        }
        Ok(())
    }
}

fn write_parameters(
    f: &mut Formatter<'_>,
    indent: &str,
    parameters: &Parameters,
    method: Method,
) -> fmt::Result {
    if parameters.is_empty() {
        return Ok(());
    }
    writeln!(f, "{indent}parameters:")?;
    for (parameter, setting) in parameters {
        let name = parameter.name();
        match setting {
            Setting::Rules(rules) => {
                writeln!(f, "{indent}  {name}:")?;
                for Rule { filter, value } in rules {
                    let value = plain(*parameter, value, method);
                    match filter {
                        Some(filter) => {
                            writeln!(f, "{indent}    - filter: {}", text(filter))?;
                            writeln!(f, "{indent}      value: {value}")?;
                        }
                        None => writeln!(f, "{indent}    - value: {value}")?,
                    }
                }
            }
            other => writeln!(f, "{indent}  {name}: {}", plain(*parameter, other, method))?,
        }
    }
    Ok(())
}

/// A setting that takes one line.
fn plain(parameter: Parameter, setting: &Setting, method: Method) -> String {
    let known = method
        .parameters()
        .iter()
        .find(|spec| spec.parameter == parameter);
    match setting {
        Setting::Number(value) => match known.map(|spec| spec.range) {
            Some(Values::Switch) if *value == 1.0 => "true".to_owned(),
            Some(Values::Switch) if *value == 0.0 => "false".to_owned(),
            _ => format!("{value:?}"),
        },
        Setting::Gradient(values) => format!("{values:?}"),
        Setting::Word(word) => text(word),
        // Rules have lines of their own and don't stand in each other.
        Setting::Rules(_) => String::new(),
    }
}

/// A text between quotes: JSON's are YAML's too.
fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use crate::{ChatTemplateSource, Dtype, Method, Parameter, Recipe, Rule, Setting, Source};
    use proptest::prelude::*;

    fn setting() -> impl Strategy<Value = Setting> {
        let number = || (-1e6..1e6f64).prop_map(Setting::Number);
        let gradient = || proptest::collection::vec(-9.0..9.0f64, 1..4).prop_map(Setting::Gradient);
        let value = || prop_oneof![number(), gradient()];
        let rule = (proptest::option::of("[a-z_.\\* :#\"]{1,8}"), value())
            .prop_map(|(filter, value)| Rule { filter, value });
        let rules = proptest::collection::vec(rule, 1..3).prop_map(Setting::Rules);
        prop_oneof![number(), gradient(), rules]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            names in proptest::collection::btree_set("[a-z:#'\" /.-]{0,12}[a-z]", 2..4),
            weight in setting(), lambda in setting(), normalize: bool, seed: u64, dtype: bool, faults: bool,
        ) {
            let models = names.iter().map(|name| Source {
                model: name.clone(),
                parameters: [(Parameter::Weight, weight.clone())].into(),
            });
            let recipe = Recipe {
                models: models.collect(),
                slices: Vec::new(),
                method: Method::Ties,
                base_model: names.first().cloned(),
                parameters: [
                    (Parameter::Lambda, lambda),
                    (Parameter::Normalize, Setting::Number(f64::from(u8::from(normalize)))),
                    (Parameter::Consensus, Setting::Word("count".into())),
                ].into(),
                dtype: dtype.then_some(Dtype::BFloat16),
                out_dtype: (!dtype).then_some(Dtype::Float16),
                tokenizer_source: dtype.then(|| "base".into()),
                chat_template: match (dtype, faults) {
                    (true, _) => None,
                    (_, true) => Some(ChatTemplateSource::MostCommon),
                    _ => Some(ChatTemplateSource::Text("{{ \"a\n\" }}: #".into())),
                },
                seed,
                mergekit_faults: faults,
            };
            let yaml = recipe.to_string();
            prop_assert_eq!(Recipe::parse(&yaml).map_err(|e| TestCaseError::fail(format!("{e}\n{yaml}")))?, recipe);
        }
    }
}
