//! Asking the cloud: an OpenAI-compatible server, streaming.
//!
//! The one way in is [`Outgoing::new`], and it takes a [`Releasable`]: a conversation that the
//! policy has released. A private conversation cannot be turned into one, so nothing here can
//! send it.

use sprat_route::privacy::{Offer, Releasable};
use sprat_wire::{
    Completion, Continuation, ErrorBody, Event, FinishReason, Message, SseDecoder, StreamLine,
    Usage,
};

use crate::error::Error;
use crate::request::Choice;

/// Longest answer read when a server does not stream, and longest error page, in bytes.
pub(crate) const MAX_BODY: usize = 4 << 20;

/// A request body that may leave the device.
pub(crate) struct Outgoing(String);

impl Outgoing {
    /// The request for `model` to answer the released conversation, or to go on with the answer that was begun.
    pub(crate) fn new(
        released: Releasable<(Vec<Message>, Option<Continuation>)>,
        model: &str,
        choice: &Choice,
    ) -> Result<Self, Error> {
        let (messages, begun) = released.into_inner();
        let mut request = choice.for_cloud(model, messages);
        if let (Some(most), Some(begun)) = (&mut request.max_tokens, &begun) {
            // Both parts together are the answer that was asked for.
            *most = (*most - begun.tokens.len() as i64).max(1);
        }
        request.x_continue = begun;
        serde_json::to_string(&request)
            .map(Self)
            .map_err(|_| Error::Internal("the request cannot be written as JSON".into()))
    }

    /// Bytes that will leave the device.
    pub(crate) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// The JSON text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What an answer brings, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Bit {
    /// The model that answers, in the server's words.
    Model(String),
    /// It goes on behind so many tokens of what this device has begun; none if it begins anew.
    Continued(u32),
    /// More of the answer.
    Text(String),
    /// Why it ended.
    Finished(FinishReason),
    /// What it took.
    Usage(Usage),
}

/// A cloud that can be asked.
pub(crate) trait Cloud {
    /// The answer as it comes. Dropping it ends the request.
    type Reply: Reply;
    /// Model to ask for.
    fn model(&self) -> &str;
    /// Its address, for a person to see.
    fn address(&self) -> &str;
    /// Shows the person what would be sent, the texts that end an answer among it, and waits for their yes or no.
    async fn agrees(&self, offer: &Offer<Message>, stop: &[String]) -> bool;
    /// US dollars per million prompt and completion tokens.
    fn price(&self) -> (f64, f64);
    /// Whether the browser is sure that it cannot be reached.
    fn is_offline(&self) -> bool;
    /// Waits a little before the cloud is asked once more.
    async fn pause(&self);
    /// Sends the request and waits for the head of the answer.
    async fn send(&self, request: &Outgoing) -> Result<Self::Reply, Error>;
}

/// An answer of a [`Cloud`].
pub(crate) trait Reply {
    /// What comes next; `None` when the answer is complete.
    async fn next(&mut self) -> Option<Result<Bit, Error>>;
}

/// Reads an event stream into [`Bit`]s.
#[derive(Default)]
pub(crate) struct StreamReader {
    decoder: SseDecoder,
    /// A reason to finish was given, so the text is complete even without `[DONE]`.
    finished: bool,
    model_told: bool,
    /// Some text came.
    started: bool,
}

impl StreamReader {
    /// Takes the next bytes, adding what they complete to `bits`.
    pub(crate) fn push(&mut self, bytes: &[u8], bits: &mut Vec<Bit>) -> Result<(), Error> {
        let events = self
            .decoder
            .push(bytes)
            .map_err(|e| Error::CloudInterrupted(e.to_string()))?;
        events
            .into_iter()
            .try_for_each(|event| self.event(event, bits))
    }

    /// The stream has ended: checks that the answer has.
    pub(crate) fn finish(&mut self, bits: &mut Vec<Bit>) -> Result<(), Error> {
        let mut complete = self.decoder.is_done();
        if let Some(event) = std::mem::take(&mut self.decoder).finish() {
            complete |= event == Event::Done;
            self.event(event, bits)?;
        }
        if complete || self.finished {
            return Ok(());
        }
        Err(Error::CloudInterrupted(
            "the stream ended before the answer did".into(),
        ))
    }

    /// Whether the server has said that this was all.
    pub(crate) fn is_done(&self) -> bool {
        self.decoder.is_done()
    }

    fn event(&mut self, event: Event, bits: &mut Vec<Bit>) -> Result<(), Error> {
        let Event::Data(json) = event else {
            return Ok(());
        };
        // serde's message may quote the answer; it is not repeated.
        let line: StreamLine = serde_json::from_str(&json)
            .map_err(|_| Error::CloudInterrupted("an event is not a chat chunk".into()))?;
        match line {
            StreamLine::Error(body) if self.started => {
                Err(Error::CloudInterrupted(body.error.message))
            }
            StreamLine::Error(body) => Err(Error::CloudRefused {
                status: 200,
                message: body.error.message,
            }),
            StreamLine::Chunk(chunk) => {
                if !self.model_told && !chunk.model.is_empty() {
                    self.model_told = true;
                    bits.push(Bit::Model(chunk.model.clone()));
                }
                bits.extend(
                    chunk
                        .x_continue
                        .as_ref()
                        .map(|of| Bit::Continued(of.tokens)),
                );
                if !chunk.text().is_empty() {
                    self.started = true;
                    bits.push(Bit::Text(chunk.text().to_owned()));
                }
                if let Some(reason) = chunk.finish_reason() {
                    self.finished = true;
                    bits.push(Bit::Finished(reason));
                }
                bits.extend(chunk.usage().cloned().map(Bit::Usage));
                Ok(())
            }
        }
    }
}

/// The bits of an answer that came whole, from a server that does not stream.
pub(crate) fn read_whole(body: &[u8]) -> Result<Vec<Bit>, Error> {
    let completion: Completion = serde_json::from_slice(body).map_err(|_| refusal(200, body))?;
    let mut bits = vec![Bit::Model(completion.model.clone())];
    bits.extend(completion.x_continue.map(|of| Bit::Continued(of.tokens)));
    let choice = completion.choices.into_iter().next();
    let reason = choice.as_ref().and_then(|choice| choice.finish_reason);
    let answer = choice.and_then(|choice| choice.message.content);
    bits.push(Bit::Text(answer.unwrap_or_default()));
    bits.extend(reason.map(Bit::Finished));
    bits.extend(completion.usage.map(Bit::Usage));
    Ok(bits)
}

/// The error that an answer with a bad status means.
pub(crate) fn refusal(status: u16, body: &[u8]) -> Error {
    let message = match serde_json::from_slice::<ErrorBody>(body) {
        Ok(body) => body.error.message,
        Err(_) => "the server gave no reason that could be read".to_owned(),
    };
    Error::CloudRefused { status, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(stream: &[u8], piece: usize) -> (Vec<Bit>, Result<(), Error>) {
        let mut reader = StreamReader::default();
        let mut bits = Vec::new();
        for bytes in stream.chunks(piece) {
            if let Err(error) = reader.push(bytes, &mut bits) {
                return (bits, Err(error));
            }
        }
        let end = reader.finish(&mut bits);
        (bits, end)
    }

    const HELLO: &str = "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"Hé\"}}]}\n\n\
        data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"llo\"}}]}\n\n";
    const USAGE: &str =
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n";

    #[test]
    fn an_answer_is_the_same_however_it_is_cut() {
        let stream = format!("{HELLO}{USAGE}data: [DONE]\n\n");
        for piece in 1..stream.len() {
            let (bits, end) = read(stream.as_bytes(), piece);
            end.unwrap();
            assert_eq!(
                bits[..3],
                [
                    Bit::Model("m".into()),
                    Bit::Text("Hé".into()),
                    Bit::Text("llo".into())
                ]
            );
            assert!(matches!(&bits[3], Bit::Usage(usage) if usage.prompt_tokens == 3));
        }
    }

    #[test]
    fn a_stream_without_its_end_was_interrupted_and_keeps_its_text() {
        let (bits, end) = read(HELLO.as_bytes(), 9);
        assert_eq!(end.unwrap_err().code(), "cloud_interrupted");
        assert_eq!(bits.len(), 3);
    }

    #[test]
    fn an_error_in_the_stream_is_a_refusal_before_the_text_and_a_break_after() {
        let error = "data: {\"error\":{\"message\":\"no room\",\"type\":\"server_error\"}}\n\n";
        let (_, end) = read(error.as_bytes(), 9);
        assert_eq!(
            end,
            Err(Error::CloudRefused {
                status: 200,
                message: "no room".into()
            })
        );
        let (_, end) = read(format!("{HELLO}{error}").as_bytes(), 9);
        assert_eq!(end, Err(Error::CloudInterrupted("no room".into())));
    }

    #[test]
    fn refusals_tell_the_servers_reason() {
        let body = br#"{"error":{"message":"queue is full","type":"rate_limit"}}"#;
        assert!(refusal(429, body).to_string().contains("queue is full"));
        assert_eq!(refusal(502, b"<html>").code(), "cloud_refused");
    }

    #[test]
    fn a_server_that_does_not_stream_is_understood() {
        let body = br#"{"model":"m","choices":[{"message":{"role":"assistant","content":"Hi"}}]}"#;
        assert_eq!(
            read_whole(body).unwrap(),
            [Bit::Model("m".into()), Bit::Text("Hi".into())]
        );
        assert_eq!(read_whole(b"<html>").unwrap_err().code(), "cloud_refused");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), piece in 1usize..50) {
            let _ = read(&bytes, piece);
            let _ = read_whole(&bytes);
        }
    }
}
