//! Grammars: what a constrained answer may be, byte by byte, and by that token by token.

mod calls;
mod constraint;
mod schema;
mod vocabulary;

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::toktrie::InferenceCapabilities;
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};
use sprat_model::Model;

use crate::engine::{STRUCTURED, TOOLS};
use crate::{CallFormat, Constraint, EngineError};
use constraint::Grammatical;

/// What makes grammars for one model's tokens.
pub(crate) struct Grammar {
    factory: ParserFactory,
}

impl Grammar {
    /// Reads the model's tokens, which takes a while: one is enough for all answers.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] if its tokens are not made of bytes or of plain text.
    pub(crate) fn new(model: &Model) -> Result<Self, EngineError> {
        let environment = vocabulary::environment(model);
        // Nothing of its own: tokens that must come are drawn like the others.
        let capabilities = InferenceCapabilities::default();
        let slices = llguidance::earley::SlicedBiasComputer::general_slices();
        let factory = environment.map(|all| ParserFactory::new(&all, capabilities, &slices));
        let Some(Ok(mut factory)) = factory else {
            return Err(EngineError::Unsupported { what: STRUCTURED });
        };
        // It would write to stderr, and what was said into its errors.
        factory.quiet();
        *factory.limits_mut() = ParserLimits {
            verbose_errors: false,
            ..ParserLimits::default()
        };
        Ok(Self { factory })
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
    ) -> Result<Box<dyn sprat_model::Constraint>, EngineError> {
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
                let grammar = calls::grammar(tools, format, *several);
                self.matcher("tools", TopLevelGrammar::from_lark(grammar))
            }
        };
        Ok(Box::new(Grammatical::new(matcher?)))
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
