//! [`Recipe`] to YAML.

use std::fmt::{self, Display, Formatter};
use std::ops::Range;

use super::{
    ChatTemplateSource, Parameters, Recipe, Rule, Setting, TokenRule, TokenSource,
    TokenizerSetting, TokenizerSource,
};
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
            ("tokenizer", self.tokenizer.as_ref().map(tokenizer)),
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

/// The tokenizer on one line.
fn tokenizer(setting: &TokenizerSetting) -> String {
    let source = match &setting.source {
        TokenizerSource::Base => text("base"),
        TokenizerSource::Union => text("union"),
        TokenizerSource::Model(model) => text(&format!("model:{model}")),
    };
    let rule = |(token, rule): (&String, &TokenRule)| {
        let source = match &rule.source {
            Some(TokenSource::Model(model)) => Some(text(&format!("model:{model}"))),
            Some(TokenSource::Zero) => Some("{kind: zero}".to_owned()),
            Some(TokenSource::Token(model, token)) => {
                let (model, token) = (text(model), text(token));
                Some(format!(
                    "{{kind: model_token, model: {model}, token: {token}}}"
                ))
            }
            Some(TokenSource::Id(model, id)) => {
                let model = text(model);
                Some(format!(
                    "{{kind: model_token, model: {model}, token_id: {id}}}"
                ))
            }
            None => None,
        };
        let source = source.map(|source| format!("source: {source}"));
        let force = rule.force.then(|| "force: true".to_owned());
        let both: Vec<String> = source.into_iter().chain(force).collect();
        format!("{}: {{{}}}", text(token), both.join(", "))
    };
    let mut parts = vec![format!("source: {source}")];
    if !setting.tokens.is_empty() {
        let rules: Vec<String> = setting.tokens.iter().map(rule).collect();
        parts.push(format!("tokens: {{{}}}", rules.join(", ")));
    }
    if let Some(rows) = setting.pad_to_multiple_of {
        parts.push(format!("pad_to_multiple_of: {rows}"));
    }
    format!("{{{}}}", parts.join(", "))
}

/// A text between quotes: JSON's are YAML's too, but for a few characters that YAML wants escaped.
fn text(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    let escaped = |c: char| match c {
        '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
            format!("\\u{:04x}", u32::from(c))
        }
        c => c.to_string(),
    };
    json.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use crate::{
        ChatTemplateSource, Dtype, Method, Parameter, Recipe, Rule, Setting, Source, TokenRule,
        TokenSource, TokenizerSetting, TokenizerSource,
    };
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn setting() -> impl Strategy<Value = Setting> {
        let number = || (-1e6..1e6f64).prop_map(Setting::Number);
        let gradient = || proptest::collection::vec(-9.0..9.0f64, 1..4).prop_map(Setting::Gradient);
        let value = || prop_oneof![number(), gradient()];
        let rule = (proptest::option::of("[a-z_.\\* :#\"]{1,8}"), value())
            .prop_map(|(filter, value)| Rule { filter, value });
        let rules = proptest::collection::vec(rule, 1..3).prop_map(Setting::Rules);
        prop_oneof![number(), gradient(), rules]
    }

    fn tokenizer(names: &BTreeSet<String>, whole: bool, seed: u64) -> TokenizerSetting {
        let name = names.first().unwrap().clone();
        let rule = |source, force| TokenRule { source, force };
        let rules = [
            rule(None, false),
            rule(Some(TokenSource::Zero), true),
            rule(Some(TokenSource::Model(name.clone())), false),
            rule(
                Some(TokenSource::Token(name.clone(), "{a: \"".into())),
                true,
            ),
            rule(Some(TokenSource::Id(name.clone(), 7)), false),
        ];
        let tokens = ["", "a", "\n\u{1}\u{fffe}", "null", ": #"].map(str::to_owned);
        TokenizerSetting {
            source: match seed % 3 {
                0 => TokenizerSource::Union,
                1 => TokenizerSource::Base,
                _ => TokenizerSource::Model(name),
            },
            tokens: if whole {
                BTreeMap::new()
            } else {
                tokens.into_iter().zip(rules).collect()
            },
            pad_to_multiple_of: whole.then_some(64),
        }
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
                tokenizer: dtype.then(|| tokenizer(&names, faults, seed)),
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
