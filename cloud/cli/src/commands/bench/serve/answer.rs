//! An answer that comes as a stream: when its parts came, or why it is not whole.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use sprat_wire::{Event, SseDecoder, StreamLine};

/// What a whole answer took, from the moment its request was due.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Until the first chunk with text; none in an answer without text.
    pub(super) first: Option<Duration>,
    /// Between one chunk with text and the next.
    pub(super) gaps: Vec<Duration>,
    /// Until `[DONE]`.
    pub(super) total: Duration,
    /// Tokens of the answer by the server's count, or its chunks with text where it counts none.
    pub(super) tokens: u64,
    /// Whether the server counted the tokens.
    pub(super) has_usage: bool,
    pub(super) prompt_tokens: u64,
    /// Tokens of the prompt that the server still had in its cache.
    pub(super) cached_tokens: u64,
}

/// Why a request brought no whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The server has too much to do and said so: HTTP 429.
    Refused(String),
    /// Any other status than 200, and what the server says about it.
    Status(u16, String),
    /// No answer began.
    Connection(String),
    /// The stream ended, or its connection broke, before `[DONE]`.
    CutOff,
    TimedOut,
    /// What came is no chat answer, or its stream not one of chat chunks.
    Malformed,
    /// The server put an error into its stream.
    InStream(String),
    /// This machine could not start another request.
    NotSent,
}

impl Failure {
    /// The name under which such failures are counted.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::Refused(_) => "HTTP 429".to_owned(),
            Self::Status(status, _) => format!("HTTP {status}"),
            Self::Connection(why) => why.clone(),
            Self::CutOff => "cut off".to_owned(),
            Self::TimedOut => "timed out".to_owned(),
            Self::Malformed => "no chat answer".to_owned(),
            Self::InStream(_) => "error in the stream".to_owned(),
            Self::NotSent => "not sent".to_owned(),
        }
    }

    pub(super) fn from_ureq(error: ureq::Error) -> Self {
        match error {
            ureq::Error::Timeout(_) => Self::TimedOut,
            ureq::Error::Io(e) if e.kind() == io::ErrorKind::TimedOut => Self::TimedOut,
            // The kind alone: other texts may repeat what was sent.
            ureq::Error::Io(e) => Self::Connection(e.kind().to_string()),
            ureq::Error::HostNotFound => Self::Connection("host not found".to_owned()),
            ureq::Error::Tls(_) => Self::Connection("TLS".to_owned()),
            _ => Self::Connection("no HTTP answer".to_owned()),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.kind())?;
        match self {
            Self::Refused(said) | Self::Status(_, said) | Self::InStream(said)
                if !said.is_empty() =>
            {
                write!(f, ": {said}")
            }
            _ => Ok(()),
        }
    }
}

/// What became of a request.
pub(super) type Outcome = Result<Answer, Failure>;

/// What a stream has brought so far.
#[derive(Default)]
struct Progress {
    answer: Answer,
    chunks: u64,
    latest: Duration,
    is_done: bool,
}

impl Progress {
    fn take(&mut self, event: Event, now: Duration) -> Result<(), Failure> {
        let json = match event {
            Event::Done => {
                self.answer.total = now;
                self.is_done = true;
                return Ok(());
            }
            Event::Data(json) => json,
        };
        let chunk = match serde_json::from_str(&json).map_err(|_| Failure::Malformed)? {
            StreamLine::Error(body) => return Err(Failure::InStream(body.error.message)),
            StreamLine::Chunk(chunk) => chunk,
        };
        if !chunk.text().is_empty() {
            self.chunks += 1;
            match self.answer.first {
                None => self.answer.first = Some(now),
                Some(_) => self.answer.gaps.push(now.saturating_sub(self.latest)),
            }
            self.latest = now;
        }
        if let Some(usage) = chunk.usage() {
            self.answer.has_usage = true;
            self.answer.tokens = usage.completion_tokens.into();
            self.answer.prompt_tokens = usage.prompt_tokens.into();
            let details = usage.prompt_tokens_details.as_ref();
            self.answer.cached_tokens = details.map_or(0, |d| d.cached_tokens.into());
        }
        Ok(())
    }
}

/// Reads the answer to a request that was due at `start`, to the end of its body.
pub(super) fn read_stream(mut reader: impl Read, start: Instant) -> Outcome {
    let mut decoder = SseDecoder::default();
    let mut progress = Progress::default();
    let mut buffer = [0; 16 << 10];
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            // The answer is there; what breaks now is only the connection.
            Err(_) if progress.is_done => break,
            Err(e) => {
                return Err(match Failure::from_ureq(e.into()) {
                    Failure::TimedOut => Failure::TimedOut,
                    _ => Failure::CutOff,
                });
            }
        };
        let now = start.elapsed();
        let events = decoder.push(&buffer[..read]);
        for event in events.map_err(|_| Failure::Malformed)? {
            // Read on to the end of the body: then its connection can be used again.
            if !progress.is_done {
                progress.take(event, now)?;
            }
        }
    }
    if !progress.is_done && decoder.finish() == Some(Event::Done) {
        progress.take(Event::Done, start.elapsed())?;
    }
    if !progress.is_done {
        return Err(Failure::CutOff);
    }
    if !progress.answer.has_usage {
        progress.answer.tokens = progress.chunks;
    }
    Ok(progress.answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Outcome {
        read_stream(text.as_bytes(), Instant::now())
    }

    fn chunk(text: &str) -> String {
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
    }

    #[test]
    fn chunks_with_text_are_timed_and_usage_counts_tokens() {
        let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":7,\
                     \"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\n";
        let text = [
            &chunk(""),
            &chunk("a"),
            &chunk("b"),
            &chunk("c"),
            usage,
            "data: [DONE]\n\n",
        ];
        let answer = read(&text.concat()).unwrap();
        assert!(answer.first.is_some() && answer.has_usage);
        assert_eq!(answer.gaps.len(), 2);
        let counts = (answer.tokens, answer.prompt_tokens, answer.cached_tokens);
        assert_eq!(counts, (7, 9, 4));
    }

    #[test]
    fn chunks_are_counted_where_the_server_counts_nothing() {
        let answer = read(&format!("{}{}data: [DONE]", chunk("a"), chunk("b"))).unwrap();
        assert_eq!((answer.tokens, answer.has_usage), (2, false));
    }

    #[test]
    fn an_answer_without_text_has_no_first_token() {
        let answer = read("data: [DONE]\n\n").unwrap();
        assert_eq!((answer.first, answer.tokens), (None, 0));
    }

    #[test]
    fn what_is_no_whole_answer_is_a_failure() {
        assert_eq!(read(&chunk("a")).unwrap_err(), Failure::CutOff);
        assert_eq!(read("data: hello\n\n").unwrap_err(), Failure::Malformed);
        assert_eq!(read("<html>").unwrap_err(), Failure::CutOff);
        let error = read(&(chunk("a") + "data: {\"error\":{\"message\":\"boom\"}}\n\n"));
        assert_eq!(error.unwrap_err(), Failure::InStream("boom".to_owned()));
    }
}
