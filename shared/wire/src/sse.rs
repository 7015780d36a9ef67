//! Server-sent events, read from bytes that arrive in any split.
//!
//! Follows the parsing rules of the HTML standard (section 9.2.6, "Interpreting an event
//! stream") for the one field that chat streams use, `data`; comments and other fields are
//! skipped.

use thiserror::Error;

/// The longest event that [`SseDecoder::default`] accepts, in bytes.
pub const DEFAULT_EVENT_LIMIT: usize = 1 << 20;

/// What an event stream brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The data of one event.
    Data(String),
    /// `[DONE]`: the answer is complete. A stream that ends without it was cut off.
    Done,
}

/// Why a stream could not be read. The decoder must not be used after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SseError {
    /// One event is longer than the decoder buffers.
    #[error(
        "reading the event stream: one event is longer than {limit} bytes; \
         the server is not sending chat chunks"
    )]
    TooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The data of an event is not UTF-8.
    #[error(
        "reading the event stream: an event is not UTF-8 text; \
         the server or a proxy has damaged it"
    )]
    NotUtf8,
}

/// An incremental decoder. Holds at most the given number of bytes.
#[derive(Clone, Debug)]
pub struct SseDecoder {
    limit: usize,
    /// The line being read, without its end.
    line: Vec<u8>,
    /// The data lines of the event being read, joined by line feeds.
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was a carriage return, so a line feed now ends no second line.
    after_cr: bool,
    first_line: bool,
    done: bool,
}

impl Default for SseDecoder {
    fn default() -> Self {
        Self::new(DEFAULT_EVENT_LIMIT)
    }
}

impl SseDecoder {
    /// A decoder that refuses events longer than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            after_cr: false,
            first_line: true,
            done: false,
        }
    }

    /// Takes the next bytes and returns the events they complete.
    ///
    /// # Errors
    /// [`SseError`] when an event is too long or not UTF-8.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, SseError> {
        let mut events = Vec::new();
        for &byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => events.extend(self.end_line()?),
                _ if self.line.len() + self.data.len() >= self.limit => {
                    return Err(SseError::TooLong { limit: self.limit });
                }
                _ => self.line.push(byte),
            }
        }
        Ok(events)
    }

    /// Ends the stream. An event without its closing blank line is dropped, as the standard
    /// says, because it may be cut short; only `[DONE]` counts, which cannot be.
    pub fn finish(mut self) -> Option<Event> {
        let told = self.done;
        // A failure here can only concern the event that is dropped anyway. Where the last line had its end and no blank
        // line behind it, this is that blank line.
        let last = self.end_line();
        let done = self.data == b"[DONE]" || matches!(last, Ok(Some(Event::Done)));
        (!told && done).then_some(Event::Done)
    }

    /// Whether `[DONE]` was seen.
    pub fn is_done(&self) -> bool {
        self.done
    }

    fn end_line(&mut self) -> Result<Option<Event>, SseError> {
        let line = std::mem::take(&mut self.line);
        let mut line = line.as_slice();
        if std::mem::take(&mut self.first_line) {
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        }
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = match line.iter().position(|&byte| byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        // A comment has an empty field name, so it falls out here as other fields do.
        if field == b"data" {
            if self.has_data {
                self.data.push(b'\n');
            }
            self.data
                .extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
            self.has_data = true;
        }
        Ok(None)
    }

    fn dispatch(&mut self) -> Result<Option<Event>, SseError> {
        if !std::mem::take(&mut self.has_data) {
            return Ok(None);
        }
        let data = String::from_utf8(std::mem::take(&mut self.data));
        let data = data.map_err(|_| SseError::NotUtf8)?;
        if data == "[DONE]" {
            self.done = true;
            return Ok(Some(Event::Done));
        }
        Ok(Some(Event::Data(data)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(bytes: &[u8]) -> Vec<Event> {
        SseDecoder::default().push(bytes).unwrap()
    }

    fn data(text: &str) -> Event {
        Event::Data(text.to_owned())
    }

    #[test]
    fn reads_the_standards_own_cases() {
        assert_eq!(all(b": comment\n\ndata: a\n\n"), [data("a")]);
        assert_eq!(all(b"data:a\ndata: b\n\n"), [data("a\nb")]);
        assert_eq!(all(b"data\n\ndata\ndata\n\n"), [data(""), data("\n")]);
        assert_eq!(all(b"data:  a\n\n"), [data(" a")]);
        assert_eq!(all(b"event: x\nid: 1\nretry: 5\n\n"), []);
        assert_eq!(all(b"\xEF\xBB\xBFdata: a\r\n\r\ndata: b\r\rdata: c\n\n"), {
            [data("a"), data("b"), data("c")]
        });
        assert_eq!(all(b"data: cut off\n"), []);
        assert_eq!(
            all(b"data: a\n\ndata: [DONE]\n\n"),
            [data("a"), Event::Done]
        );
    }

    #[test]
    fn an_unfinished_event_is_dropped_unless_it_is_done() {
        let mut decoder = SseDecoder::default();
        assert_eq!(decoder.push(b"data: {\"half\":").unwrap(), []);
        assert_eq!(decoder.finish(), None);

        let mut decoder = SseDecoder::default();
        assert_eq!(decoder.push(b"data: [DONE]").unwrap(), []);
        assert!(!decoder.is_done());
        assert_eq!(decoder.finish(), Some(Event::Done));

        for line in ["data: [DONE]\n", "data: [DONE]\r\n", "data: [DONE]\r"] {
            let mut decoder = SseDecoder::default();
            assert_eq!(decoder.push(line.as_bytes()).unwrap(), []);
            assert_eq!(decoder.finish(), Some(Event::Done), "{line:?}");
        }
        let mut decoder = SseDecoder::default();
        assert_eq!(decoder.push(b"data: cut off\n").unwrap(), []);
        assert_eq!(decoder.finish(), None);
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut decoder = SseDecoder::new(16);
        assert_eq!(decoder.push(b"data: 0123456789"), Ok(vec![]));
        assert_eq!(decoder.push(b"x"), Err(SseError::TooLong { limit: 16 }));

        let mut decoder = SseDecoder::new(16);
        let many_lines = b"data: 01234\n".repeat(4);
        assert_eq!(
            decoder.push(&many_lines),
            Err(SseError::TooLong { limit: 16 })
        );
    }

    #[test]
    fn bytes_that_are_not_text_are_refused() {
        assert_eq!(
            SseDecoder::default().push(b"data: \xFF\n\n"),
            Err(SseError::NotUtf8)
        );
    }

    proptest! {
        #[test]
        fn the_split_does_not_matter(
            stream in "(data: ?[a-zäß€🐟]{0,6}|: ping|\\[DONE\\]|data: \\[DONE\\]|event: e|\r|\n|\r\n|\n\n){0,30}",
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
        ) {
            let bytes = stream.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            let mut decoder = SseDecoder::default();
            let mut events = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([bytes.len()]) {
                events.extend(decoder.push(&bytes[from..cut]).unwrap());
                from = cut;
            }
            prop_assert_eq!(events, all(bytes));
        }

        #[test]
        fn any_bytes_give_events_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = SseDecoder::new(64);
            let _ = decoder.push(&bytes);
            let _ = decoder.finish();
        }
    }
}
