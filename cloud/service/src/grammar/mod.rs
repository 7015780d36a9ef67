//! Grammars: what a constrained answer may be, byte by byte, and by that token by token.

mod calls;
mod constraint;
mod schema;
mod vocabulary;

use std::collections::HashMap;

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::toktrie::InferenceCapabilities;
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};

use crate::engine::{STRUCTURED, TOOLS};
use crate::{CallFormat, Constraint, EngineError};
pub(crate) use constraint::Grammatical;
pub(crate) use vocabulary::Vocabulary;

/// What makes grammars for one model's tokens.
pub(crate) struct Grammar {
    factory: ParserFactory,
    /// The special tokens.
    special: HashMap<String, u32>,
}

impl Grammar {
    /// Sorts a model's tokens, which takes a while: one is enough for all answers.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] if its tokens are not made of bytes or of plain text.
    pub(crate) fn new(
        vocabulary: Option<Vocabulary>,
        end_ids: &[u32],
    ) -> Result<Self, EngineError> {
        not_where_models_compute();
        let unsupported = EngineError::Unsupported { what: STRUCTURED };
        let vocabulary = vocabulary.filter(Vocabulary::has_json).ok_or(unsupported)?;
        let special = vocabulary.special();
        let environment = vocabulary.environment(end_ids);
        // Nothing of its own: tokens that must come are drawn like the others.
        let capabilities = InferenceCapabilities::default();
        let slices = llguidance::earley::SlicedBiasComputer::general_slices();
        let factory = ParserFactory::new(&environment, capabilities, &slices);
        let Ok(mut factory) = factory else {
            return Err(EngineError::Unsupported { what: STRUCTURED });
        };
        // It would write to stderr, and what was said into its errors.
        factory.quiet();
        *factory.limits_mut() = ParserLimits {
            verbose_errors: false,
            ..ParserLimits::default()
        };
        Ok(Self { factory, special })
    }

    /// A constraint for one answer.
    ///
    /// # Errors
    /// [`EngineError::Schema`] if a schema asks for what a grammar cannot say, [`EngineError::Unsupported`] if calls are
    /// asked for and the model has no format for them.
    pub(crate) fn bind(
        &self,
        constraint: &Constraint,
        format: Option<CallFormat>,
    ) -> Result<Grammatical, EngineError> {
        not_where_models_compute();
        let matcher = match constraint {
            Constraint::JsonObject => self.json("response_format", &json!({"type": "object"})),
            Constraint::JsonSchema(schema) => {
                self.json("response_format.json_schema.schema", schema)
            }
            Constraint::Calls { tools, several } => {
                let format = format.ok_or(EngineError::Unsupported { what: TOOLS })?;
                for (i, tool) in tools.iter().enumerate() {
                    // Each by itself first, so that the error can say which one it is.
                    let at = format!("tools[{i}].function.parameters");
                    self.json(&at, &calls::parameters(tool))?;
                }
                let grammar = calls::grammar(tools, format, *several, &self.special);
                self.matcher("tools", TopLevelGrammar::from_lark(grammar))
            }
        };
        Ok(Grammatical::new(matcher?))
    }

    fn json(&self, at: &str, schema: &Value) -> Result<Matcher, EngineError> {
        let schema = schema::with_our_options(schema);
        self.matcher(at, TopLevelGrammar::from_json_schema(schema))
    }

    fn matcher(&self, at: &str, grammar: TopLevelGrammar) -> Result<Matcher, EngineError> {
        let parser = self.factory.create_parser(grammar);
        let parser = parser.map_err(|error| EngineError::Schema {
            at: at.to_owned(),
            problem: schema::problem(&format!("{error:#}")),
        })?;
        Ok(Matcher::new(Ok(parser)))
    }
}

/// Grammars may take long: all answers would stand still.
fn not_where_models_compute() {
    debug_assert_ne!(std::thread::current().name(), Some(crate::local::THREAD));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use sprat_model::{Constraint as _, Tokenizer};
    use sprat_wire::{Function, Tool, ToolType};

    use super::*;

    const END: u32 = 2;

    fn grammar(path: &str) -> (Tokenizer, Grammar) {
        let path = format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"));
        let tokenizer = Tokenizer::from_json(&std::fs::read(path).unwrap()).unwrap();
        let size = tokenizer.vocab_size();
        let vocabulary = Vocabulary::new(&tokenizer, size).unwrap();
        let grammar = Grammar::new(Some(vocabulary), &[END]).unwrap();
        (tokenizer, grammar)
    }

    /// What somebody writes who takes any token that may come, the choices being `random`; none if they are too few.
    fn written(
        grammar: &Grammar,
        tokenizer: &Tokenizer,
        constraint: &Constraint,
        random: &[u32],
    ) -> Option<String> {
        let mut bound = grammar.bind(constraint, Some(CallFormat::Tagged)).unwrap();
        let mut ids = Vec::new();
        for choice in random {
            let mut logits = vec![0.0; tokenizer.vocab_size()];
            bound.forbid(&mut logits).unwrap();
            let may = (0u32..).zip(&logits).filter(|(_, logit)| **logit == 0.0);
            let may: Vec<u32> = may.map(|(id, _)| id).collect();
            let id = may[*choice as usize % may.len()];
            let forbidden = (0u32..).zip(&logits).find(|(_, logit)| **logit != 0.0);
            let complete = bound.accept(id).unwrap();
            if id != END {
                ids.push(id);
            }
            if complete {
                return Some(tokenizer.decode(&ids).unwrap());
            }
            assert!(id != END && forbidden.is_some());
        }
        None
    }

    #[test]
    fn a_token_that_may_not_come_is_an_error() {
        let (tokenizer, grammar) = grammar("web/models/sprat-tiny/tokenizer.json");
        let mut bound = grammar.bind(&Constraint::JsonObject, None).unwrap();
        assert!(bound.accept(tokenizer.id("a").unwrap()).is_err());
        assert!(bound.forbid(&mut [0.0; 9]).is_err());
        let mut bound = grammar.bind(&Constraint::JsonObject, None).unwrap();
        // A model whose few tokens have nothing that may come.
        assert!(bound.forbid(&mut [0.0; 5]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(50))]

        /// Of both kinds of tokens, whatever is chosen.
        #[test]
        fn whatever_comes_is_json(random in proptest::collection::vec(any::<u32>(), 80)) {
            let schema = json!({"type": "array", "maxItems": 3, "items": {"anyOf": [
                {"type": "integer", "minimum": 0, "maximum": 100}, {"type": "string", "maxLength": 5},
                {"type": "object", "properties": {"é": {"type": "null"}}, "required": ["é"], "additionalProperties": false}
            ]}});
            let number = json!({"type": "integer", "minimum": 10, "maximum": 20_000});
            for path in ["web/models/sprat-tiny", "tests/goldens/tokenizer/bpe-fallback"] {
                let (tokenizer, grammar) = grammar(&format!("{path}/tokenizer.json"));
                let described = Constraint::JsonSchema(Arc::new(schema.clone()));
                if let Some(text) = written(&grammar, &tokenizer, &described, &random) {
                    let read: Value = serde_json::from_str(&text).unwrap();
                    prop_assert!(read.as_array().unwrap().len() <= 3, "{}", text);
                }
                // It may end where it could also go on.
                let described = Constraint::JsonSchema(Arc::new(number.clone()));
                let text = written(&grammar, &tokenizer, &described, &random).unwrap();
                prop_assert!((10..=20_000).contains(&text.parse::<i32>().unwrap()), "{}", text);
                let function = Function { name: "f".into(), description: None, parameters: Some(number_of(&number)), strict: None };
                let tools = [Tool { kind: ToolType::Function, function }].into();
                let call = Constraint::Calls { tools, several: false };
                let text = written(&grammar, &tokenizer, &call, &random);
                if let Some(text) = text {
                    let call = text.strip_prefix("<tool_call>\n").unwrap().strip_suffix("\n</tool_call>").unwrap();
                    let call: Value = serde_json::from_str(call).unwrap();
                    prop_assert!(call["name"] == "f" && call["arguments"]["n"].is_u64(), "{}", text);
                }
            }
        }
    }

    /// A schema that refers to itself, without the type that arguments have anyway.
    fn number_of(number: &Value) -> Value {
        json!({"properties": {"n": {"$ref": "#/$defs/n"}}, "required": ["n"], "additionalProperties": false,
            "$defs": {"n": number}})
    }
}
