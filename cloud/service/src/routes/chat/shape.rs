//! What a request says that its answers must be: `response_format`, `tools` and what goes with them.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;
use sprat_wire::{
    ChatRequest, Message, ResponseFormat, ResponseFormatType, Role, Tool, ToolChoice,
    ToolChoiceMode,
};

use crate::{ApiError, CallFormat, Constraint, Job};

const MAX_SCHEMA_BYTES: usize = 64 << 10;
const MAX_SCHEMA_DEPTH: usize = 32;
const MAX_TOOLS: usize = 128;
const MAX_NAME: usize = 64;
const NO_TOOLS: &str =
    "this model's template has no tools, or calls them in a way that is not known";

/// What answers must be.
#[derive(Debug, Default)]
pub(super) struct Shape {
    constraint: Option<Constraint>,
    /// Those that the model is told of; none if it may not call.
    pub(super) tools: Arc<[Tool]>,
    /// Whether there may be more calls than one.
    pub(super) several: bool,
    /// Behind this text a model that decides by itself has made its one call.
    stop: Option<&'static str>,
}

impl Shape {
    /// Checks everything that can be checked without the model. `format` is how it calls tools.
    pub(super) fn of(request: &ChatRequest, format: Option<CallFormat>) -> Result<Self, ApiError> {
        let speaks_of_calls = check_messages(&request.messages)?;
        let constraint = request.response_format.as_ref().map(of_format);
        let constraint = constraint.transpose()?.flatten();
        check_tools(&request.tools)?;
        if request.tools.is_empty() {
            for (param, given) in [
                ("tool_choice", request.tool_choice.is_some()),
                ("parallel_tool_calls", request.parallel_tool_calls.is_some()),
            ] {
                if given {
                    return Err(ApiError::invalid(param, "needs tools"));
                }
            }
        }
        let auto = ToolChoice::Mode(ToolChoiceMode::Auto);
        let choice = request.tool_choice.as_ref().unwrap_or(&auto);
        let calls = !request.tools.is_empty() && *choice != ToolChoice::Mode(ToolChoiceMode::None);
        if format.is_none() && (calls || speaks_of_calls) {
            let param = if calls { "tools" } else { "messages" };
            return Err(ApiError::invalid(param, NO_TOOLS));
        }
        if !calls {
            return Ok(Self {
                constraint,
                ..Self::default()
            });
        }
        if constraint.is_some() {
            let problem = "cannot be combined with tools; set tool_choice to none";
            return Err(ApiError::invalid("response_format", problem));
        }
        let several = request.parallel_tool_calls == Some(true);
        let forced = forced(&request.tools, choice)?;
        Ok(Self {
            several,
            stop: format
                .and_then(|format| format.form().stop)
                .filter(|_| !several && forced.is_none()),
            constraint: forced.map(|tools| Constraint::Calls {
                several: several && tools.len() == request.tools.len(),
                tools,
            }),
            tools: request.tools.clone().into(),
        })
    }

    /// Tells the engine.
    pub(super) fn put_into(&self, job: &mut Job) {
        job.constraint = self.constraint.clone();
        job.tools = Arc::clone(&self.tools);
        job.stop.extend(self.stop.map(str::to_owned));
    }
}

/// The tools of which one must be called, if the model has no choice.
fn forced(tools: &[Tool], choice: &ToolChoice) -> Result<Option<Arc<[Tool]>>, ApiError> {
    match choice {
        ToolChoice::Mode(ToolChoiceMode::Required) => Ok(Some(tools.into())),
        ToolChoice::Mode(ToolChoiceMode::None | ToolChoiceMode::Auto) => Ok(None),
        ToolChoice::Named(named) => {
            let name = &named.function.name;
            let tool = tools.iter().find(|tool| tool.function.name == *name);
            let problem = "is none of the tools";
            let tool = tool.ok_or(ApiError::invalid("tool_choice.function.name", problem))?;
            Ok(Some([tool.clone()].into()))
        }
    }
}

fn of_format(format: &ResponseFormat) -> Result<Option<Constraint>, ApiError> {
    let at = "response_format.json_schema";
    match (format.kind, &format.json_schema) {
        (ResponseFormatType::Text, None) => Ok(None),
        (ResponseFormatType::JsonObject, None) => Ok(Some(Constraint::JsonObject)),
        (ResponseFormatType::JsonSchema, Some(named)) => {
            check_name(&format!("{at}.name"), &named.name)?;
            let at = format!("{at}.schema");
            let schema = named.schema.as_ref();
            let schema = schema.ok_or_else(|| ApiError::invalid(&*at, "is required"))?;
            check_schema(&at, schema)?;
            Ok(Some(Constraint::JsonSchema(Arc::new(schema.clone()))))
        }
        (ResponseFormatType::JsonSchema, None) => Err(ApiError::invalid(at, "is required")),
        (_, Some(_)) => Err(ApiError::invalid(at, "goes with the type json_schema only")),
    }
}

/// Whether there are calls or their results among them.
fn check_messages(messages: &[Message]) -> Result<bool, ApiError> {
    let mut found = false;
    for (i, message) in messages.iter().enumerate() {
        let is_result = message.role == Role::Tool;
        if is_result != message.tool_call_id.is_some() {
            let problem = "is required in messages of the role tool, and only there";
            let param = format!("messages[{i}].tool_call_id");
            return Err(ApiError::invalid(param, problem));
        }
        if !message.tool_calls.is_empty() && message.role != Role::Assistant {
            let param = format!("messages[{i}].tool_calls");
            return Err(ApiError::invalid(param, "is for the assistant's messages"));
        }
        found |= is_result || !message.tool_calls.is_empty();
    }
    Ok(found)
}

fn check_tools(tools: &[Tool]) -> Result<(), ApiError> {
    if tools.len() > MAX_TOOLS {
        let problem = format!("must hold at most {MAX_TOOLS} tools");
        return Err(ApiError::invalid("tools", problem));
    }
    let mut names = HashSet::new();
    for (i, tool) in tools.iter().enumerate() {
        let name = format!("tools[{i}].function.name");
        check_name(&name, &tool.function.name)?;
        if !names.insert(&tool.function.name) {
            return Err(ApiError::invalid(name, "must not be another tool's too"));
        }
        if let Some(parameters) = &tool.function.parameters {
            check_schema(&format!("tools[{i}].function.parameters"), parameters)?;
        }
    }
    Ok(())
}

fn check_name(param: &str, name: &str) -> Result<(), ApiError> {
    let known = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match (1..=MAX_NAME).contains(&name.len()) && name.chars().all(known) {
        true => Ok(()),
        false => {
            let problem = format!("must be 1 to {MAX_NAME} letters, digits, _ or -");
            Err(ApiError::invalid(param, problem))
        }
    }
}

fn check_schema(param: &str, schema: &Value) -> Result<(), ApiError> {
    let problem = if !schema.is_object() {
        "must be a JSON schema: an object".to_owned()
    } else if schema.to_string().len() > MAX_SCHEMA_BYTES {
        format!("must have at most {MAX_SCHEMA_BYTES} bytes")
    } else if depth(schema) > MAX_SCHEMA_DEPTH {
        format!("must have at most {MAX_SCHEMA_DEPTH} objects and lists in each other")
    } else {
        return Ok(());
    };
    Err(ApiError::invalid(param, problem))
}

/// Reading JSON has bounded it already.
fn depth(value: &Value) -> usize {
    let inside = match value {
        Value::Array(all) => all.iter().map(depth).max(),
        Value::Object(fields) => fields.values().map(depth).max(),
        _ => return 0,
    };
    1 + inside.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shape(fields: Value, format: Option<CallFormat>) -> Result<Shape, String> {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
        let all = body.as_object_mut().unwrap();
        all.extend(fields.as_object().unwrap().clone());
        let request: ChatRequest = serde_json::from_value(body).unwrap();
        Shape::of(&request, format).map_err(|error| match error {
            ApiError::Invalid { param, .. } => param,
            other => panic!("{other:?}"),
        })
    }

    fn format(schema: Value) -> Value {
        json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}})
    }

    fn tool(name: &str) -> Value {
        json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}})
    }

    #[test]
    fn the_wrong_field_is_named() {
        let deep = (0..40).fold(json!({}), |inside, _| json!({"items": inside}));
        let f = tool("f");
        for (fields, param) in [
            (
                json!({"response_format": {"type": "json_schema"}}),
                "response_format.json_schema",
            ),
            (
                json!({"response_format": {"type": "text", "json_schema": {"name": "n"}}}),
                "response_format.json_schema",
            ),
            (
                json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a b"}}}),
                "response_format.json_schema.name",
            ),
            (
                json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}}),
                "response_format.json_schema.schema",
            ),
            (format(json!(true)), "response_format.json_schema.schema"),
            (
                format(json!({"title": "x".repeat(65536)})),
                "response_format.json_schema.schema",
            ),
            (format(deep.clone()), "response_format.json_schema.schema"),
            (json!({"tools": [tool("a b")]}), "tools[0].function.name"),
            (json!({"tools": [f, f]}), "tools[1].function.name"),
            (
                json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": deep}}]}),
                "tools[0].function.parameters",
            ),
            (json!({"tools": vec![f.clone(); 129]}), "tools"),
            (json!({"tool_choice": "auto"}), "tool_choice"),
            (json!({"parallel_tool_calls": true}), "parallel_tool_calls"),
            (
                json!({"tools": [f], "tool_choice": {"type": "function", "function": {"name": "g"}}}),
                "tool_choice.function.name",
            ),
            (
                json!({"tools": [f], "response_format": {"type": "json_object"}}),
                "response_format",
            ),
            (
                json!({"messages": [{"role": "tool", "content": "x"}]}),
                "messages[0].tool_call_id",
            ),
            (
                json!({"messages": [{"role": "user", "content": "x", "tool_call_id": "c"}]}),
                "messages[0].tool_call_id",
            ),
            (
                json!({"messages": [{"role": "user", "content": "x", "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}]}),
                "messages[0].tool_calls",
            ),
        ] {
            let shape = shape(fields.clone(), Some(CallFormat::Tagged));
            assert_eq!(shape.unwrap_err(), param, "{fields}");
        }
    }

    #[test]
    fn a_model_without_tools_has_none() {
        let tools = json!({"tools": [tool("f")]});
        assert_eq!(shape(tools, None).unwrap_err(), "tools");
        let result = json!({"messages": [{"role": "tool", "content": "x", "tool_call_id": "c"}]});
        assert_eq!(shape(result, None).unwrap_err(), "messages");
        let none = shape(json!({"tools": [tool("f")], "tool_choice": "none"}), None).unwrap();
        assert!(none.tools.is_empty() && none.constraint.is_none());
    }

    #[test]
    fn choices_become_constraints() {
        let made = |fields: Value| {
            let mut all = json!({"tools": [tool("f"), tool("g")]});
            let fields = fields.as_object().unwrap().clone();
            all.as_object_mut().unwrap().extend(fields);
            let shape = shape(all, Some(CallFormat::Tagged)).unwrap();
            assert_eq!(shape.tools.len(), 2);
            let calls = shape.constraint.map(|constraint| match constraint {
                Constraint::Calls { tools, several } => (tools.len(), several),
                other => panic!("{other:?}"),
            });
            (calls, shape.stop.is_some())
        };
        assert_eq!(made(json!({})), (None, true));
        assert_eq!(made(json!({"parallel_tool_calls": true})), (None, false));
        let required = json!({"tool_choice": "required"});
        assert_eq!(made(required), (Some((2, false)), false));
        let several = json!({"tool_choice": "required", "parallel_tool_calls": true});
        assert_eq!(made(several), (Some((2, true)), false));
        let named = json!({"tool_choice": {"type": "function", "function": {"name": "g"}},
            "parallel_tool_calls": true});
        assert_eq!(made(named), (Some((1, false)), false));
        let free = shape(json!({"response_format": {"type": "text"}}), None).unwrap();
        assert!(free.constraint.is_none());
    }
}
