//! Another server's stream as our events.

use std::collections::BTreeMap;

use serde::Deserialize;
use sprat_wire::{
    Chunk, ErrorBody, Event as SseItem, FinishReason, Logprobs, SseDecoder, StreamLine, Usage,
};

use super::error::identifier;
use super::request::Api;
use crate::{Alternative, Counts, Finish, Token, UpstreamError};

/// Reads one answer, in whatever pieces it comes.
pub(super) struct Reader {
    api: Api,
    decoder: SseDecoder,
    begun: bool,
    finish: Option<Finish>,
    counts: Option<Counts>,
}

impl Reader {
    pub(super) fn new(api: Api) -> Self {
        Self {
            api,
            decoder: SseDecoder::default(),
            begun: false,
            finish: None,
            counts: None,
        }
    }

    /// Takes the next bytes. The tokens that they complete are added to `tokens`, also those before an error.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        tokens: &mut Vec<Token>,
    ) -> Result<(), UpstreamError> {
        let items = self.decoder.push(bytes);
        for item in items.map_err(|_| UpstreamError::NotAStream)? {
            match item {
                SseItem::Data(data) => tokens.extend(self.line(&data)?),
                // Some servers give no reason, but say that they are done.
                SseItem::Done => self.finish = self.finish.or(Some(Finish::Stop)),
            }
        }
        Ok(())
    }

    /// Whether a part of the answer has come.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether nothing more will come.
    pub(super) fn is_done(&self) -> bool {
        self.decoder.is_done()
    }

    /// Whether the answer is complete; its token counts may still come.
    pub(super) fn is_complete(&self) -> bool {
        self.finish.is_some()
    }

    /// The tokens as the server counts them, once it has.
    pub(super) fn counts(&self) -> Option<Counts> {
        self.counts
    }

    /// Why the answer ended.
    ///
    /// # Errors
    /// [`UpstreamError::Broken`] if it did not, or [`UpstreamError::NotAStream`] if there was none at all.
    pub(super) fn end(self) -> Result<Finish, UpstreamError> {
        let missing = if self.begun {
            UpstreamError::Broken
        } else {
            UpstreamError::NotAStream
        };
        let done = self.decoder.finish().map(|_| Finish::Stop);
        self.finish.or(done).ok_or(missing)
    }

    /// Reads an event's data.
    fn line(&mut self, data: &str) -> Result<Vec<Token>, UpstreamError> {
        let part = match self.api {
            Api::Chat => chat(data)?,
            Api::Text => text(data)?,
        };
        self.begun = true;
        // Some servers send an empty one with every chunk.
        if let Some(usage) = part.usage.filter(|usage| usage.prompt_tokens > 0) {
            self.counts = Some(counts(&usage));
        }
        if let Some(reason) = part.finish {
            self.finish = Some(finish(reason));
        }
        Ok(tokens(part.text, part.logprobs))
    }
}

/// What one event adds, in either API.
#[derive(Default)]
struct Part {
    text: String,
    /// Of each token of the text: itself, and what could stand in its place.
    logprobs: Vec<(Alternative, Vec<Alternative>)>,
    finish: Option<FinishReason>,
    usage: Option<Usage>,
}

fn chat(data: &str) -> Result<Part, UpstreamError> {
    let chunk: Chunk = match serde_json::from_str(data) {
        Ok(StreamLine::Chunk(chunk)) => chunk,
        Ok(StreamLine::Error(body)) => return Err(reported(&body)),
        Err(_) => return Err(UpstreamError::NotAStream),
    };
    let usage = chunk.usage.flatten();
    let Some(choice) = chunk.choices.into_iter().find(|choice| choice.index == 0) else {
        return Ok(Part {
            usage,
            ..Part::default()
        });
    };
    Ok(Part {
        text: choice.delta.content.unwrap_or_default(),
        logprobs: choice.logprobs.map(chat_logprobs).unwrap_or_default(),
        finish: choice.finish_reason,
        usage,
    })
}

fn chat_logprobs(logprobs: Logprobs) -> Vec<(Alternative, Vec<Alternative>)> {
    let one = |text, logprob| Alternative { text, logprob };
    let tokens = logprobs.content.into_iter().map(|token| {
        let top = token.top_logprobs.into_iter();
        let top = top.map(|top| one(top.token, top.logprob)).collect();
        (one(token.token, token.logprob), top)
    });
    tokens.collect()
}

/// A text completion's chunk as servers send it: they differ in what they leave out.
#[derive(Deserialize)]
struct TextChunk {
    #[serde(default)]
    choices: Option<Vec<TextPart>>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct TextPart {
    #[serde(default)]
    index: u32,
    #[serde(default)]
    text: Option<String>,
    /// Its shape is not the same everywhere; one that we don't know is as good as none.
    #[serde(default)]
    logprobs: Option<serde_json::Value>,
    #[serde(default)]
    finish_reason: Option<FinishReason>,
}

#[derive(Deserialize)]
struct TextLogprobs {
    tokens: Vec<String>,
    token_logprobs: Vec<Option<f32>>,
    #[serde(default)]
    top_logprobs: Option<Vec<Option<BTreeMap<String, f32>>>>,
}

fn text(data: &str) -> Result<Part, UpstreamError> {
    let chunk: TextChunk = serde_json::from_str(data).map_err(|_| UpstreamError::NotAStream)?;
    if chunk.error.is_some() {
        let body = serde_json::from_str(data);
        let none = UpstreamError::Reported { code: None };
        return Err(body.as_ref().map_or(none, reported));
    }
    let usage = chunk.usage;
    let choices = chunk.choices.ok_or(()).or(match usage {
        Some(_) => Ok(Vec::new()),
        None => Err(UpstreamError::NotAStream),
    })?;
    let Some(choice) = choices.into_iter().find(|choice| choice.index == 0) else {
        return Ok(Part {
            usage,
            ..Part::default()
        });
    };
    let logprobs = choice
        .logprobs
        .and_then(|logprobs| serde_json::from_value(logprobs).ok());
    Ok(Part {
        text: choice.text.unwrap_or_default(),
        logprobs: logprobs.map(text_logprobs).unwrap_or_default(),
        finish: choice.finish_reason,
        usage,
    })
}

fn text_logprobs(logprobs: TextLogprobs) -> Vec<(Alternative, Vec<Alternative>)> {
    let one = |(text, logprob)| Alternative { text, logprob };
    let mut tops = logprobs.top_logprobs.unwrap_or_default().into_iter();
    let tokens = logprobs.tokens.into_iter().zip(logprobs.token_logprobs);
    let tokens = tokens.map(|(text, logprob)| {
        let top = tops.next().flatten().unwrap_or_default();
        let mut top: Vec<Alternative> = top.into_iter().map(one).collect();
        top.sort_by(|a, b| b.logprob.total_cmp(&a.logprob));
        (one((text, logprob.unwrap_or(f32::NAN))), top)
    });
    tokens.collect()
}

/// The tokens of a piece of text: one for each log-probability, or one for all without them.
fn tokens(text: String, logprobs: Vec<(Alternative, Vec<Alternative>)>) -> Vec<Token> {
    if logprobs.is_empty() {
        let token = Token {
            text,
            logprob: f32::NAN,
            ..Token::default()
        };
        return std::iter::once(token)
            .filter(|token| !token.text.is_empty())
            .collect();
    }
    let fits = logprobs.iter().map(|(token, _)| &*token.text);
    let fits = fits.collect::<String>() == text;
    let last = logprobs.len() - 1;
    let mut text = Some(text);
    let tokens = logprobs.into_iter().enumerate().map(|(i, (token, top))| {
        // Characters that are split over tokens are whole only in the text.
        let text = match fits {
            true => token.text,
            false if i == last => text.take().unwrap_or_default(),
            false => String::new(),
        };
        Token {
            text,
            logprob: token.logprob,
            end: false,
            top,
        }
    });
    tokens.collect()
}

fn counts(usage: &Usage) -> Counts {
    let cached = usage.prompt_tokens_details.as_ref();
    Counts {
        prompt: usage.prompt_tokens as usize,
        cached: cached.map_or(0, |details| details.cached_tokens) as usize,
        completion: usage.completion_tokens as usize,
    }
}

fn finish(reason: FinishReason) -> Finish {
    match reason {
        FinishReason::Length => Finish::Length,
        FinishReason::ContentFilter => Finish::ContentFilter,
        // No tools are ever offered: whatever it calls, its text is complete.
        FinishReason::Stop | FinishReason::ToolCalls | FinishReason::Other => Finish::Stop,
    }
}

fn reported(body: &ErrorBody) -> UpstreamError {
    UpstreamError::Reported { code: code(body) }
}

/// What an error says for programs.
pub(super) fn code(body: &ErrorBody) -> Option<String> {
    let code = body.error.code.as_deref().and_then(identifier);
    code.or_else(|| identifier(&body.error.kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(api: Api, stream: &str) -> (String, Vec<Token>, Result<Finish, UpstreamError>) {
        let mut reader = Reader::new(api);
        let mut tokens = vec![];
        for byte in stream.as_bytes().chunks(3) {
            if let Err(error) = reader.push(byte, &mut tokens) {
                return (said(&tokens), tokens, Err(error));
            }
        }
        (said(&tokens), tokens, reader.end())
    }

    fn said(tokens: &[Token]) -> String {
        tokens.iter().map(|token| &*token.text).collect()
    }

    fn events(lines: &[&str]) -> String {
        lines
            .iter()
            .map(|line| format!("data: {line}\n\n"))
            .collect()
    }

    #[test]
    fn reasons_to_end() {
        let said = r#"{"choices":[{"delta":{"content":"a"}}]}"#;
        let ends = |reason: &str| {
            let last = format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"{reason}"}}]}}"#);
            read(Api::Chat, &events(&[said, &last])).2
        };
        assert_eq!(ends("stop"), Ok(Finish::Stop));
        assert_eq!(ends("length"), Ok(Finish::Length));
        assert_eq!(ends("tool_calls"), Ok(Finish::Stop));
        assert_eq!(ends("content_filter"), Ok(Finish::ContentFilter));
        assert_eq!(ends("eos"), Ok(Finish::Stop));
        let done = read(Api::Chat, &events(&[said, "[DONE]"]));
        assert_eq!(done.2, Ok(Finish::Stop));
        let cut = read(Api::Chat, &events(&[said]));
        assert_eq!(cut.2, Err(UpstreamError::Broken));
        assert_eq!(cut.0, "a");
        for nothing in ["", "<html>", r#"{"choices":[]}"#] {
            let none = read(Api::Chat, nothing);
            assert_eq!(none.2, Err(UpstreamError::NotAStream), "{nothing}");
        }
    }

    #[test]
    fn errors_in_a_stream() {
        for api in [Api::Chat, Api::Text] {
            for (line, code) in [
                (
                    r#"{"error":{"message":"Ann","code":"overloaded"}}"#,
                    Some("overloaded"),
                ),
                (
                    r#"{"error":{"message":"Ann","type":"server_error","code":"Ann B"}}"#,
                    Some("server_error"),
                ),
                (r#"{"error":{"message":"Ann","code":"Ann B"}}"#, None),
                (r#"{"error":"Ann"}"#, None),
            ] {
                let code = code.map(str::to_owned);
                let ended = read(api, &events(&[line])).2;
                assert_eq!(ended, Err(UpstreamError::Reported { code }), "{line}");
            }
            let ended = read(api, &events(&["{}"])).2;
            assert_eq!(ended, Err(UpstreamError::NotAStream));
        }
    }

    #[test]
    fn log_probabilities_of_both_apis() {
        let chat = r#"{"choices":[{"delta":{"content":"ab"},"logprobs":{"content":[
            {"token":"a","logprob":-1,"top_logprobs":[{"token":"x","logprob":-0.5}]},
            {"token":"b","logprob":-2}]}}]}"#
            .replace('\n', "");
        let text = r#"{"choices":[{"text":"ab","logprobs":{"tokens":["a","b"],
            "token_logprobs":[-1,-2],"top_logprobs":[{"x":-0.5},null]}}]}"#
            .replace('\n', "");
        for (api, line) in [(Api::Chat, chat), (Api::Text, text)] {
            let (said, tokens, _) = read(api, &events(&[&line]));
            assert_eq!(said, "ab");
            let read: Vec<_> = tokens
                .iter()
                .map(|t| (&*t.text, t.logprob, t.top.len()))
                .collect();
            assert_eq!(read, [("a", -1.0, 1), ("b", -2.0, 0)]);
        }
        let none = r#"{"choices":[{"text":"ab","logprobs":{"content":[]}}],"usage":null}"#;
        let (said, tokens, _) = read(Api::Text, &events(&[none]));
        assert_eq!(said, "ab");
        assert!(tokens[0].logprob.is_nan());
    }

    #[test]
    fn a_character_split_over_tokens_stays_whole() {
        let line = r#"{"choices":[{"delta":{"content":"ä"},"logprobs":{"content":[
            {"token":"\ufffd","logprob":-1},{"token":"\ufffd","logprob":-2}]}}]}"#
            .replace('\n', "");
        let (said, tokens, _) = read(Api::Chat, &events(&[&line]));
        assert_eq!((&*said, tokens.len()), ("ä", 2));
    }
}
