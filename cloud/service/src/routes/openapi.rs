//! `GET /openapi.json`: the API as OpenAPI 3.1, made from the types that are read and written.

use axum::Json;
use axum::extract::State;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};
use sprat_wire::{
    ChatRequest, Chunk, Completion, DetokenizeRequest, Detokenized, EmbeddingList,
    EmbeddingsRequest, ErrorBody, ModelCard, ModelList, TextCompletion, TextRequest,
    TokenizeRequest, Tokens,
};

use crate::AppState;

pub(super) async fn document(State(state): State<AppState>) -> Json<Value> {
    let models = state.inner.engines.iter().map(|engine| engine.info().id);
    Json(write(models.collect(), state.inner.keys.is_open()))
}

/// The document of a server with these models, which anybody may ask or who has a key.
fn write(models: Vec<String>, open: bool) -> Value {
    let mut schemas = Schemas::new();
    let model = json!({"name": "id", "in": "path", "required": true, "schema": {"type": "string"}});
    let paths = json!({
        "/v1/chat/completions": {"post": schemas.operation::<ChatRequest>(
            "Continue a conversation", "createChatCompletion",
            &[("application/json", Schemas::of::<Completion>), ("text/event-stream", Schemas::events::<Chunk>)],
        )},
        "/v1/completions": {"post": schemas.operation::<TextRequest>(
            "Continue texts", "createCompletion",
            &[("application/json", Schemas::of::<TextCompletion>), ("text/event-stream", Schemas::events::<TextCompletion>)],
        )},
        "/v1/embeddings": {"post": schemas.operation::<EmbeddingsRequest>(
            "Texts as numbers: the mean of the last layer's states", "createEmbedding",
            &[("application/json", Schemas::of::<EmbeddingList>)],
        )},
        "/tokenize": {"post": schemas.operation::<TokenizeRequest>(
            "The tokens of a text or a conversation", "tokenize",
            &[("application/json", Schemas::of::<Tokens>)],
        )},
        "/detokenize": {"post": schemas.operation::<DetokenizeRequest>(
            "The text of tokens", "detokenize",
            &[("application/json", Schemas::of::<Detokenized>)],
        )},
        "/v1/models": {"get": schemas.look::<ModelList>("The models", "listModels", &[401])},
        "/v1/models/{id}": {
            "parameters": [model],
            "get": schemas.look::<ModelCard>("One model", "retrieveModel", &[401, 404]),
        },
        "/v1/models/{id}/load": {
            "parameters": [model],
            "post": schemas.look::<ModelCard>("Load a model, and wait for it", "loadModel", &REFUSED_LOAD),
        },
        "/v1/models/{id}/unload": {
            "parameters": [model],
            "post": schemas.look::<ModelCard>("Unload a model that nobody uses", "unloadModel", &REFUSED_LOAD),
        },
        "/healthz": {"get": schemas.look::<Status>("Whether the process lives", "healthz", &[])},
        "/readyz": {"get": schemas.look::<Status>("Whether every model can answer, if it must be loaded for it", "readyz", &[503])},
    });
    let mut components = schemas.generator.take_definitions(true);
    name_models(&mut components, &models);
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Sprat",
            "description": "Small language models behind OpenAI's API.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    });
    if !open {
        document["security"] = json!([{"key": []}]);
    }
    document
}

/// Requests name one of the models that there are.
fn name_models(components: &mut Map<String, Value>, models: &[String]) {
    for request in [
        "ChatRequest",
        "TextRequest",
        "EmbeddingsRequest",
        "TokenizeRequest",
        "DetokenizeRequest",
    ] {
        if let Some(model) = components
            .get_mut(request)
            .and_then(|request| request.pointer_mut("/properties/model"))
        {
            model["enum"] = json!(models);
        }
    }
}

/// Statuses with which loading and unloading are refused.
const REFUSED_LOAD: [u16; 8] = [400, 401, 404, 409, 429, 500, 503, 504];

/// What `/healthz` and `/readyz` say.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is wanted")]
struct Status {
    /// `ok` or `ready`.
    status: String,
}

/// Writes the schema of one kind of answer.
type Answer = fn(&mut Schemas) -> Value;

/// The schemas of the document's types.
struct Schemas {
    generator: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        Self {
            generator: settings.into_generator(),
        }
    }

    fn of<T: JsonSchema>(&mut self) -> Value {
        self.generator.subschema_for::<T>().to_value()
    }

    /// A server-sent event whose data is one of these, or `[DONE]`.
    fn events<T: JsonSchema>(&mut self) -> Value {
        json!({
            "type": "object",
            "properties": {"data": {
                "type": "string",
                "description": "JSON of the schema named beside, or [DONE].",
                "x-json-schema": self.of::<T>(),
            }},
            "required": ["data"],
        })
    }

    /// A POST of a JSON body.
    fn operation<T: JsonSchema>(
        &mut self,
        summary: &str,
        id: &str,
        answers: &[(&str, Answer)],
    ) -> Value {
        let content: Map<String, Value> = answers
            .iter()
            .map(|(kind, schema)| ((*kind).to_owned(), json!({"schema": schema(self)})))
            .collect();
        let refusals = [400, 401, 404, 408, 413, 415, 429, 500, 502, 503, 504];
        json!({
            "summary": summary,
            "operationId": id,
            "requestBody": {
                "required": true,
                "content": {"application/json": {"schema": self.of::<T>()}},
            },
            "responses": self.responses(json!(content), &refusals),
        })
    }

    /// What takes no body.
    fn look<T: JsonSchema>(&mut self, summary: &str, id: &str, refusals: &[u16]) -> Value {
        let content = json!({"application/json": {"schema": self.of::<T>()}});
        json!({
            "summary": summary,
            "operationId": id,
            "responses": self.responses(content, refusals),
        })
    }

    fn responses(&mut self, content: Value, refusals: &[u16]) -> Value {
        let error = self.of::<ErrorBody>();
        let mut responses = Map::new();
        responses.insert(
            "200".to_owned(),
            json!({"description": "Done.", "content": content}),
        );
        for status in refusals {
            let reason = axum::http::StatusCode::from_u16(*status)
                .ok()
                .and_then(|status| status.canonical_reason())
                .unwrap_or("Refused");
            let content = json!({"application/json": {"schema": error}});
            responses.insert(
                status.to_string(),
                json!({"description": reason, "content": content}),
            );
        }
        Value::Object(responses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` of a document.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value.as_str() {
                        Some(to) if name == "$ref" => found.push(to.to_owned()),
                        _ => references(value, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn references_lead_somewhere_and_models_are_named() {
        let document = write(vec!["a".into(), "b".into()], false);
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 20);
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        let request = &document["components"]["schemas"]["ChatRequest"];
        assert_eq!(request["properties"]["model"]["enum"], json!(["a", "b"]));
        assert_eq!(request["additionalProperties"], json!(false));
        assert_eq!(document["security"], json!([{"key": []}]));
        assert!(write(vec![], true).get("security").is_none());
    }
}
