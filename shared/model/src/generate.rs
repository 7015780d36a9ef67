//! Generation: a stream of tokens with the model's confidence in each.

mod draw;

use std::collections::VecDeque;

use crate::lookup::{MOST, Pace, look_up};
use crate::options::{Finish, Options, Token, Top};
use crate::row::{Row, Rows};
use crate::sampler::{Confidence, Sampler};
use crate::session::{Held, Session};
use crate::stop_text::StopText;
use crate::tokenizer::Detokenizer;
use crate::{Error, Model, PASS_TOKENS};

/// Positions behind the next token that guesses, or a device that picks tokens by itself, may want at once.
const AHEAD: usize = 16;

/// A token and what is reported with it.
type Drawn = (u32, Confidence, Top);

impl<'a> Generation<'a> {
    /// Begins an answer in a session.
    pub(crate) fn begin(
        mut session: Held<'a>,
        model: &'a Model,
        prompt: &[u32],
        options: Options,
    ) -> Result<Self, Error> {
        let vocab = model.config().vocab_size;
        if prompt.is_empty() {
            return Err(Error::Prompt("it has no tokens".to_owned()));
        }
        if let Some(id) = prompt.iter().find(|id| **id as usize >= vocab) {
            return Err(Error::Prompt(format!(
                "token {id} is outside the vocabulary of {vocab}"
            )));
        }
        let context = session.cache.longest().min(model.context());
        if prompt.len() >= context {
            let prompt = prompt.len();
            return Err(Error::ContextTooLong { prompt, context });
        }
        let sampler = Sampler::new(options.sampling.clone())?;
        let longest = prompt.len().saturating_add(options.max_tokens);
        session.settle(model);
        session.cache.expect(longest.min(context));
        let known = session.tokens.len();
        session.cut_back(known);
        // At least one prompt token is run: its logits begin the answer.
        let shared = session.shared_with(prompt);
        session.cut_back(shared.min(prompt.len() - 1));
        let cached = session.adopt(&prompt[..prompt.len() - 1]);
        let mut detokenizer = Detokenizer::showing(&options.show);
        let mut stop = StopText::new(&options.stop);
        let mut finish = None;
        let question = prompt.len().saturating_sub(options.continued);
        for &id in &prompt[question..] {
            // Whoever wrote it has given out its text.
            let (_, stopped) = stop.push(&detokenizer.push(id, &model.tokenizer)?);
            if stopped || model.end_ids.contains(&id) {
                finish = Some(Finish::Stop);
                break;
            }
        }
        Ok(Self {
            model,
            context,
            seen: prompt.to_vec(),
            prompt: prompt.len(),
            question,
            cached,
            sampler,
            detokenizer,
            stop,
            #[cfg(feature = "gpu")]
            ahead: None,
            paces: (options.lookup && options.is_greedy() && session.cache.is_cut_freely())
                .then(Default::default),
            certain: VecDeque::new(),
            passes: 0,
            options,
            finish,
            #[cfg(not(target_arch = "wasm32"))]
            constraint: None,
            complete: false,
            session,
        })
    }

    /// Binds the answer, before its first token, to what `constraint` lets through. Probabilities are reported as the model
    /// has them, as if it were free.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn constrain(&mut self, constraint: Box<dyn crate::Constraint>) {
        // Guesses that do not come true could not be taken back.
        self.paces = None;
        self.constraint = Some(constraint);
    }

    /// Whether a device can pick the tokens by itself.
    #[cfg(feature = "gpu")]
    fn is_ahead_possible(&self) -> bool {
        #[cfg(not(target_arch = "wasm32"))]
        if self.constraint.is_some() {
            return false;
        }
        self.options.is_ahead_possible(&self.model.device)
    }

    /// The session, where the answer owns it.
    pub fn into_session(self) -> Option<Session> {
        match self.session {
            Held::Owned(session) => Some(*session),
            Held::Borrowed(_) => None,
        }
    }
}

/// An answer in the making. Dropping it between tokens cancels it; the session stays usable.
pub struct Generation<'a> {
    model: &'a Model,
    /// Tokens of the longest text: the model's, or the memory's.
    context: usize,
    pub(crate) session: Held<'a>,
    /// Prompt and answer.
    pub(crate) seen: Vec<u32>,
    prompt: usize,
    /// The prompt without the beginning of the answer.
    question: usize,
    cached: usize,
    sampler: Sampler,
    detokenizer: Detokenizer,
    stop: StopText,
    options: Options,
    finish: Option<Finish>,
    #[cfg(not(target_arch = "wasm32"))]
    constraint: Option<Box<dyn crate::Constraint>>,
    /// The constraint lets nothing more through.
    complete: bool,
    /// Where tokens may be guessed: how many from the text, and how many by the draft model.
    paces: Option<[Pace; 2]>,
    /// Tokens that are sure to come, and what is reported with each.
    certain: VecDeque<Drawn>,
    passes: usize,
    /// Where the device picks the tokens by itself.
    #[cfg(feature = "gpu")]
    ahead: Option<crate::gpu::Ahead>,
}

impl Generation<'_> {
    /// The next token; `None` when the answer has ended.
    ///
    /// # Errors
    /// [`Error::LogitsNotFinite`], [`Error::Device`], [`Error::Tokenizer`]; the answer has then
    /// ended.
    pub async fn next(&mut self) -> Option<Result<Token, Error>> {
        if self.has_ended() {
            return None;
        }
        let token = self.step().await;
        Some(self.ended_by_error(|_| token))
    }

    /// Whether no token comes any more.
    pub(crate) fn has_ended(&mut self) -> bool {
        if self.finish.is_none() && self.options.max_tokens == 0 {
            self.finish = Some(Finish::Length);
        }
        self.finish.is_some()
    }

    /// A token that is known already, from guesses that came true.
    pub(crate) fn known(&mut self) -> Option<Result<Token, Error>> {
        let (id, stats, top) = self.certain.pop_front()?;
        Some(self.ended_by_error(|answer| answer.token(id, stats, top)))
    }

    /// Gets ready for a pass together with others, which picks no tokens on the device: how many tokens are in the cache.
    pub(crate) fn join(&mut self) -> usize {
        #[cfg(feature = "gpu")]
        {
            // What the device has picked ahead is forgotten, and its keys and values with it.
            self.ahead = None;
        }
        let known = self.session.tokens.len();
        self.session.cut_back(known)
    }

    /// Tokens that must be run before the next one is known: the prompt at first, then the last one; none after guesses
    /// that came true.
    pub fn pending(&self) -> usize {
        self.seen.len().saturating_sub(self.session.tokens.len())
    }

    /// Gets memory for the next step: for [`PASS_TOKENS`] of the prompt, or for a token and those that may be guessed.
    ///
    /// # Errors
    /// [`Error::CacheFull`] in a pool that has no more; the answer can go on later, when others have ended or were
    /// [set aside](Generation::set_aside).
    pub fn make_room(&mut self) -> Result<(), Error> {
        if !self.certain.is_empty() {
            return Ok(());
        }
        let known = self.session.adopt(&self.seen[..self.seen.len() - 1]);
        let wanted = match self.seen.len() - known {
            1 => known + 1 + AHEAD,
            pending => known + pending.min(PASS_TOKENS),
        };
        self.session.cache.reserve(wanted.min(self.context))
    }

    /// Gives its memory back to the pool. When it goes on, what was in it is computed again, or taken over if it is still
    /// there.
    pub fn set_aside(&mut self) {
        self.join();
        self.session.cut_back(0);
    }

    /// So many more of its tokens are in the cache.
    pub(crate) fn advance(&mut self, tokens: usize) {
        let known = self.session.tokens.len();
        self.session.learn(&self.seen[known..known + tokens]);
        self.passes += 1;
    }

    /// So many more of its tokens, the last ones, are in the cache, and the next token is certain by what is known of the
    /// logits behind them. False, and nothing has changed, if it takes all of them.
    ///
    /// # Errors
    /// [`Error::LogitsNotFinite`], and those of a constraint.
    pub(crate) fn conclude(&mut self, tokens: usize, row: Row<'_>) -> Result<bool, Error> {
        let Some(drawn) = self.draw(row, 0)? else {
            return Ok(false);
        };
        self.advance(tokens);
        self.certain.push_back(drawn);
        Ok(true)
    }

    /// Ends it with an error.
    pub(crate) fn fail(&mut self, error: Error) -> Result<Token, Error> {
        self.ended_by_error(|_| Err(error))
    }

    fn ended_by_error(
        &mut self,
        token: impl FnOnce(&mut Self) -> Result<Token, Error>,
    ) -> Result<Token, Error> {
        let token = token(self);
        if token.is_err() {
            self.finish = Some(Finish::Stop);
        }
        token
    }

    /// Why the answer ended; `None` while it goes on.
    pub fn finish(&self) -> Option<Finish> {
        self.finish
    }

    /// Tokens in the prompt.
    pub fn prompt_tokens(&self) -> usize {
        self.prompt
    }

    /// Prompt tokens that were taken from the last turn's cache.
    pub fn cached_tokens(&self) -> usize {
        self.cached
    }

    /// Tokens generated so far.
    pub fn generated_tokens(&self) -> usize {
        self.seen.len() - self.prompt
    }

    /// Passes of the model over what was pending, the prompt's last one among them: as many as tokens were
    /// generated, or fewer where guesses came true. None where a device picks tokens by itself.
    pub fn passes(&self) -> usize {
        self.passes
    }

    async fn step(&mut self) -> Result<Token, Error> {
        #[cfg(feature = "gpu")]
        if self.ahead.is_none() && self.certain.is_empty() && self.is_ahead_possible() {
            // It has been together with others, and is alone again.
            self.ahead = Some(crate::gpu::Ahead::default());
        }
        #[cfg(feature = "gpu")]
        if self.ahead.is_some() {
            let (id, stats) = self.picked().await?;
            return self.token(id, stats, vec![]);
        }
        if self.certain.is_empty() {
            self.run().await?;
        }
        let certain = self.certain.pop_front();
        let (id, stats, top) = certain.ok_or_else(|| Error::Prompt("it has no tokens".into()))?;
        self.token(id, stats, top)
    }

    fn token(&mut self, id: u32, stats: Confidence, top: Top) -> Result<Token, Error> {
        self.seen.push(id);
        let end = self.model.end_ids.contains(&id);
        let text = self.text_of(id, end)?;
        Ok(Token {
            id,
            text,
            end,
            logprob: stats.logprob,
            margin: stats.margin,
            entropy: stats.entropy,
            top,
        })
    }

    /// The token that the device has picked.
    #[cfg(feature = "gpu")]
    async fn picked(&mut self) -> Result<(u32, Confidence), Error> {
        let Some(ahead) = &mut self.ahead else {
            return Err(Error::Device("no token is under way".to_owned()));
        };
        let Session { cache, tokens, .. } = &mut *self.session;
        let pending = &self.seen[tokens.len()..];
        let room = self.context - self.prompt;
        let most = self.options.max_tokens.min(room);
        let decoder = &self.model.decoder;
        let pick = ahead.next(decoder, cache, pending, most).await?;
        if !pick.finite {
            return Err(Error::LogitsNotFinite {
                position: self.seen.len() - 1,
            });
        }
        // The cache may hold more, of tokens that are not given out yet.
        let known = tokens.len();
        self.session.learn(&self.seen[known..]);
        Ok((pick.id, pick.stats))
    }

    /// Runs what is pending, with guesses of what follows, and adds the tokens that are certain then: one,
    /// and one more for each right guess.
    async fn run(&mut self) -> Result<(), Error> {
        let session = &mut *self.session;
        // A future dropped in mid-step leaves the cache ahead of `tokens`.
        let known = session.cut_back(session.tokens.len());
        let (by, guess) = self.guess(known).await?;
        let session = &mut *self.session;
        let pending = &self.seen[known..];
        let decoder = &self.model.decoder;
        let logits = match &*guess {
            [] => decoder.run(pending, &mut session.cache)?,
            _ => {
                let tokens = [pending, &guess].concat();
                decoder.run_at_once(&tokens, tokens.len(), &mut session.cache)?
            }
        };
        let need = self.need();
        // Who drops this future while it waits asks for the same pass again: nothing is learned before.
        let rows = Rows::read(&logits, |_| need).await?;
        let (mut drawn, mut right) = (Vec::new(), 0);
        loop {
            let mut next = match rows.get(right) {
                Some(row) => self.draw(row, right)?,
                None => None,
            };
            if cfg!(feature = "gpu") && next.is_none() {
                next = self.draw_of_whole_row(&logits, right).await?;
            }
            let Some(next) = next else {
                return Err(Error::Device("it gave back less than was asked for".into()));
            };
            let id = next.0;
            drawn.push(next);
            if guess.get(right) != Some(&id) || self.model.end_ids.contains(&id) {
                break;
            }
            right += 1;
        }
        let known = self.session.tokens.len();
        self.session.learn(&self.seen[known..]);
        self.session.learn(&guess[..right]);
        self.passes += 1;
        self.certain.extend(drawn);
        if let Some(paces) = &mut self.paces {
            paces[by].learn(guess.len(), right, self.seen.len() + self.certain.len());
        }
        Ok(())
    }

    /// Tokens that may follow, when `known` of the tokens so far are in the cache: which pace they keep, and
    /// the tokens.
    async fn guess(&mut self, known: usize) -> Result<(usize, Vec<u32>), Error> {
        let room = self.context - self.seen.len();
        let room = room.min(self.options.max_tokens - (self.seen.len() - self.prompt));
        let most = MOST.min(room - 1);
        let Some([by_text, by_draft]) = &self.paces else {
            return Ok((0, vec![]));
        };
        if known + 1 != self.seen.len() {
            return Ok((0, vec![]));
        }
        let found = look_up(&self.seen, by_text, most);
        match (&self.model.draft, &mut self.session.draft) {
            (Some(draft), Some(session)) if found.is_empty() => {
                let guess = draft.guess(session, &self.seen, by_draft, most).await?;
                Ok((1, guess))
            }
            _ => Ok((0, found.to_vec())),
        }
    }

    /// The text that this token makes certain, and whether it ends the answer.
    fn text_of(&mut self, id: u32, end: bool) -> Result<String, Error> {
        let tokenizer = &self.model.tokenizer;
        let new = match end {
            true => self.detokenizer.finish(tokenizer)?,
            false => self.detokenizer.push(id, tokenizer)?,
        };
        let (mut text, stopped) = self.stop.push(&new);
        let full =
            self.generated_tokens() >= self.options.max_tokens || self.seen.len() >= self.context;
        if stopped {
            self.finish = Some(Finish::Stop);
        } else if end || full || self.complete {
            let done = end || self.complete;
            self.finish = Some(if done { Finish::Stop } else { Finish::Length });
            if !end {
                let rest = self.detokenizer.finish(tokenizer)?;
                let (more, stopped) = self.stop.push(&rest);
                text += &more;
                if stopped {
                    self.finish = Some(Finish::Stop);
                    return Ok(text);
                }
            }
            text += &self.stop.rest();
        }
        Ok(text)
    }
}
