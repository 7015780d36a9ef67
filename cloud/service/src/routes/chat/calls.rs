//! Calls of tools in answers: found in what the model writes, numbered and named.

use sprat_wire::{CalledFunction, ToolCall, ToolCallDelta, ToolType};

use crate::calls::{Piece, Splitter};
use crate::{AppState, CallFormat};

/// Finds the calls in all answers to a request.
pub(super) struct Calls {
    state: AppState,
    format: CallFormat,
    /// The functions that there are.
    names: Vec<String>,
    /// Whether an answer may have more calls than one.
    several: bool,
    readers: Vec<Reader>,
}

/// One answer.
struct Reader {
    splitter: Splitter,
    calls: u32,
}

/// What came of a part of an answer.
#[derive(Default)]
pub(super) struct Written {
    pub(super) text: String,
    pub(super) calls: Vec<ToolCallDelta>,
}

impl Calls {
    pub(super) fn new(
        state: AppState,
        format: CallFormat,
        names: Vec<String>,
        several: bool,
    ) -> Self {
        Self {
            state,
            format,
            names,
            several,
            readers: Vec::new(),
        }
    }

    /// What is certain with `text` of answer number `index`.
    pub(super) fn more(&mut self, index: usize, text: &str) -> Written {
        self.read(index, |splitter| splitter.push(text))
    }

    /// What is left at its end.
    pub(super) fn rest(&mut self, index: usize) -> Written {
        self.read(index, Splitter::finish)
    }

    /// Whether it has called anything so far.
    pub(super) fn has_called(&self, index: usize) -> bool {
        self.readers
            .get(index)
            .is_some_and(|reader| reader.calls > 0)
    }

    fn read(&mut self, index: usize, pieces: impl FnOnce(&mut Splitter) -> Vec<Piece>) -> Written {
        while self.readers.len() <= index {
            let splitter = Splitter::new(self.format, self.names.clone());
            self.readers.push(Reader { splitter, calls: 0 });
        }
        let reader = &mut self.readers[index];
        let mut written = Written::default();
        for piece in pieces(&mut reader.splitter) {
            // As if it had been stopped behind its one call, which not every form allows.
            if reader.calls > 0 && !self.several {
                break;
            }
            match piece {
                Piece::Text(text) => written.text += &text,
                Piece::Call { name, arguments } => {
                    written.calls.push(ToolCallDelta {
                        index: reader.calls,
                        id: Some(self.state.inner.new_id("call_")),
                        kind: Some(ToolType::Function),
                        function: CalledFunction { name, arguments },
                    });
                    reader.calls += 1;
                }
            }
        }
        written
    }
}

/// A call that came at once.
pub(super) fn whole(call: ToolCallDelta) -> ToolCall {
    ToolCall {
        id: call.id.unwrap_or_default(),
        kind: call.kind.unwrap_or_default(),
        function: call.function,
    }
}

/// As clients expect calls in a stream: first the name, then the arguments.
pub(super) fn in_stream(calls: Vec<ToolCallDelta>) -> Vec<ToolCallDelta> {
    let parts = calls.into_iter().flat_map(|mut call| {
        let arguments = std::mem::take(&mut call.function.arguments);
        let more = ToolCallDelta {
            index: call.index,
            function: CalledFunction {
                name: String::new(),
                arguments,
            },
            ..ToolCallDelta::default()
        };
        [call, more]
    });
    parts.collect()
}
