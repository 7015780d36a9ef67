//! What JavaScript calls. Failures are thrown as `{code, message}`, as those of the engine are.

use js_sys::{Array, Function, JSON, Uint8Array};
use serde::Serialize;
use sprat_merge::Error;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::Mixer;

/// Models to mix; a recipe may be run as often as its numbers change.
#[wasm_bindgen]
#[derive(Default)]
pub struct WebMixer {
    mixer: Mixer,
}

#[wasm_bindgen]
impl WebMixer {
    /// One without models.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a model under the name that recipes give it, from all its safetensors.
    pub fn add(&mut self, name: &str, shards: Vec<Uint8Array>) {
        let shards = shards.iter().map(Uint8Array::to_vec).collect();
        self.mixer.add(name, shards);
    }

    /// Whether a model of that name was added.
    pub fn has(&self, name: &str) -> bool {
        self.mixer.has(name)
    }

    /// Drops all models but these.
    pub fn keep(&mut self, names: Vec<String>) {
        self.mixer
            .retain(|name| names.iter().any(|other| other == name));
    }

    /// Runs a recipe, in JSON or YAML. Returns the safetensors; `tell` hears of weights done, weights in all and, after
    /// all of them, of what in the recipe had no effect, as JSON: `{done, total}` or `{warning}`.
    pub fn mix(&self, recipe: &str, tell: &Function) -> Result<Array, JsValue> {
        let mixed = self.mixer.mix(recipe, |progress| {
            let (done, total) = (progress.elements, progress.total_elements);
            post(tell, &Told::Progress { done, total });
        });
        let mixed = mixed.map_err(|error| thrown(&error))?;
        for warning in &mixed.warnings {
            post(tell, &Told::Warning { warning });
        }
        let shards = mixed.shards.iter();
        Ok(shards.map(|bytes| Uint8Array::from(&**bytes)).collect())
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Told<'a> {
    Progress { done: u64, total: u64 },
    Warning { warning: &'a str },
}

fn post(to: &Function, value: &impl Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        // Our own script is on the other side; if it throws there is nobody to tell.
        let _ = to.call1(&JsValue::NULL, &JsValue::from_str(&text));
    }
}

#[derive(Serialize)]
struct Failure {
    code: &'static str,
    message: String,
    hint: &'static str,
}

/// What to throw.
fn thrown(error: &Error) -> JsValue {
    let (code, hint) = match error {
        Error::Format { .. } | Error::NotFinite { .. } | Error::Stream { .. } => {
            ("model_corrupt", "Use another pack, or make this one again.")
        }
        _ => ("bad_request", "Change the recipe."),
    };
    let message = error.to_string();
    let failure = Failure {
        code,
        message,
        hint,
    };
    let json = serde_json::to_string(&failure).unwrap_or_default();
    JSON::parse(&json).unwrap_or_else(|_| JsValue::from_str(code))
}
