//! How models write that they call a tool, and how such calls are found in what they write.

mod forms;
mod python;
mod read;
mod split;
#[cfg(test)]
mod tests;

pub(crate) use forms::Form;
pub(crate) use split::{Piece, Splitter};

/// How a model writes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallFormat {
    /// DeepSeek V3 and R1: a list of calls between tags, the arguments fenced as in Markdown.
    DeepSeek,
    /// DeepSeek V3.1: the same without fences.
    DeepSeekPlain,
    /// `<|tool_call_start|>[name(argument=…)]<|tool_call_end|>`: LFM2, which also writes a list of JSON there.
    Lfm2,
    /// `<|tool_call|>[{"name": …, "arguments": {…}}]<|/tool_call|>`: Phi-4-mini.
    Phi,
    /// `<|tool_call|>[{"name": …, "arguments": {…}}]`: Granite 3.
    Granite,
    /// `[TOOL_CALLS]name[ARGS]{…}`: Mistral's later models.
    MistralArgs,
    /// `[TOOL_CALLS][{"name": …, "arguments": {…}}]`: Mistral's earlier ones.
    Mistral,
    /// `<tool_call>`, a line with `{"name": …, "arguments": {…}}`, `</tool_call>`: Qwen, Hermes, SmolLM3, Granite 4. There
    /// may be text before it, and several calls.
    Tagged,
    /// `{"name": …, "parameters": {…}}` and nothing else, as in Llama 3.
    Bare,
    /// The same with `arguments`.
    BareArguments,
}

impl CallFormat {
    /// What a model's chat template tells it; none if that has no tools, or another way to call them.
    pub fn of_template(source: &str) -> Option<Self> {
        Form::of_template(source).map(|form| form.format)
    }

    pub(crate) fn form(self) -> &'static Form {
        Form::of(self)
    }
}

/// A call of a function: its name, and its arguments as they are written.
pub(crate) type Call = (String, String);
