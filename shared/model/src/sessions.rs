//! The conversations that a device remembers at once, where each has memory of its own.

use crate::{Error, Model, PAGE, Session};

/// Conversations that are remembered at most.
const MOST: usize = 4;
/// Tokens that a conversation may lose at its end: those that a prompt writes in another way than the model did.
const SPARE: usize = 4;
/// Bytes of keys and values that all of them may take, unless one alone takes more.
const MOST_BYTES: usize = 64 << 20;

/// A few conversations of one model. A prompt goes on with the one that begins like it; where that would make it forget
/// more than the end of an answer, with a fork of it. The one unused for longest makes room.
#[derive(Debug, Default)]
pub struct Sessions {
    /// The last used one is the last.
    kept: Vec<Session>,
}

impl Sessions {
    /// The conversation that `prompt` is to be answered in.
    pub fn pick(&mut self, model: &Model, prompt: &[u32]) -> &mut Session {
        let (best, common) = self.nearest(model, prompt);
        let session = match best {
            Some(at) if self.kept[at].len() - common <= SPARE => self.kept.remove(at),
            Some(at) if common > PAGE => {
                let mut origin = self.kept.remove(at);
                if origin.bytes() + origin.bytes_of(common) <= MOST_BYTES {
                    let mut fork = origin.fork(model);
                    fork.cut_back(common);
                    self.keep(origin);
                    fork
                } else {
                    origin
                }
            }
            _ => model.session(),
        };
        self.keep(session)
    }

    /// The keys and values of the conversation that has most in common with `prompt`, as far as that goes: their tokens'
    /// number, and bytes for [`Sessions::import`]. Nothing where that is next to nothing, or takes more than `most` bytes.
    ///
    /// # Errors
    /// As [`Session::export`].
    pub async fn export(
        &mut self,
        model: &Model,
        prompt: &[u32],
        most: usize,
    ) -> Result<Option<(usize, Vec<u8>)>, Error> {
        let (Some(at), common) = self.nearest(model, prompt) else {
            return Ok(None);
        };
        let origin = &mut self.kept[at];
        if common < PAGE || origin.bytes_of(common) > most {
            return Ok(None);
        }
        let mut fork;
        let session = if common < origin.len() {
            fork = origin.fork(model);
            fork.cut_back(common);
            &mut fork
        } else {
            origin
        };
        match session.len() {
            0 => Ok(None),
            tokens => Ok(Some((tokens, session.export(model).await?))),
        }
    }

    /// Remembers a conversation that [`Sessions::export`] gave; returns how many tokens it is.
    ///
    /// # Errors
    /// As [`Session::import`]; nothing has changed then.
    pub fn import(&mut self, model: &Model, bytes: &[u8]) -> Result<usize, Error> {
        let mut session = model.session();
        let tokens = session.import(model, bytes)?;
        self.keep(session);
        Ok(tokens)
    }

    /// The conversation that has most in common with `prompt`, of several the last used one, and how many tokens that are.
    /// Those of another adapter are forgotten.
    fn nearest(&mut self, model: &Model, prompt: &[u32]) -> (Option<usize>, usize) {
        self.kept.retain(|session| session.is_of(model));
        let common = self.kept.iter().map(|session| session.shared_with(prompt));
        let best = common.enumerate().max_by_key(|(_, common)| *common);
        best.map_or((None, 0), |(at, common)| (Some(at), common))
    }

    /// Adds one as the last used, and forgets the first ones if all are too many.
    fn keep(&mut self, session: Session) -> &mut Session {
        self.kept.push(session);
        while self.kept.len() > 1 && (self.kept.len() > MOST || self.bytes() > MOST_BYTES) {
            self.kept.remove(0);
        }
        let last = self.kept.len() - 1;
        &mut self.kept[last]
    }

    fn bytes(&self) -> usize {
        self.kept.iter().map(Session::bytes).sum()
    }
}
