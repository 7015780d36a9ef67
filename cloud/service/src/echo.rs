//! An engine without a model: it repeats what was said last, word by word, at a set speed and with set failures. For
//! trying clients, limits and dashboards on a machine that has neither weights nor a card.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::sleep;

use crate::engine::STRUCTURED;
use crate::{
    Alternative, Engine, EngineError, EngineInfo, EngineState, Event, Finish, Job, JobHandle,
    JobSink, Prompt, Token, channel,
};

/// How an [`Echo`] behaves. A prompt has a token per word, and so has an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EchoOptions {
    /// The model's id in the API.
    pub id: String,
    /// Tokens of context.
    pub context: usize,
    /// How long a prompt takes.
    pub first: Duration,
    /// How long a token takes.
    pub pause: Duration,
    /// Tokens of an answer: the words are repeated, or cut off. Without it they are said once.
    pub tokens: Option<usize>,
    /// Every so many jobs one fails: the third, the sixth and so on for 3. None fails for 0.
    pub fail_every: usize,
    /// Tokens that a job that fails gives out before.
    pub fail_after: usize,
}

impl Default for EchoOptions {
    fn default() -> Self {
        Self {
            id: "echo".to_owned(),
            context: 4096,
            first: Duration::ZERO,
            pause: Duration::ZERO,
            tokens: None,
            fail_every: 0,
            fail_after: 0,
        }
    }
}

/// Repeats what was said last. Answers to one job depend on nothing else, but for which ones fail.
pub struct Echo {
    options: Arc<EchoOptions>,
    created: u64,
    jobs: AtomicUsize,
}

impl Echo {
    /// An engine that is ready at once.
    pub fn new(options: EchoOptions) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            options: Arc::new(options),
            created: now.unwrap_or_default().as_secs(),
            jobs: AtomicUsize::new(0),
        }
    }
}

impl Engine for Echo {
    fn info(&self) -> EngineInfo {
        EngineInfo {
            text_id: None,
            id: self.options.id.clone(),
            device: "echo".to_owned(),
            context: Some(self.options.context),
            created: self.created,
            fingerprint: Some("fp_echo".to_owned()),
            state: EngineState::Ready,
        }
    }

    fn start(&self, job: Job) -> Result<JobHandle, EngineError> {
        let (sink, handle) = channel();
        let number = self.jobs.fetch_add(1, Ordering::Relaxed) + 1;
        let every = self.options.fail_every;
        let fails = every > 0 && number.is_multiple_of(every);
        let options = Arc::clone(&self.options);
        tokio::spawn(async move {
            let answered = tokio::select! {
                answered = answer(&options, &job, fails, &sink) => answered,
                () = sink.closed() => return,
            };
            if let Err(error) = answered {
                sink.fail(error);
            }
        });
        Ok(handle)
    }
}

/// Writes the answer, or its beginning if the job fails.
async fn answer(
    options: &EchoOptions,
    job: &Job,
    fails: bool,
    sink: &JobSink,
) -> Result<(), EngineError> {
    if job.constraint.is_some() {
        let what = STRUCTURED;
        return Err(EngineError::Unsupported { what });
    }
    let words = |text: &str| text.split_whitespace().count();
    let (prompt, said) = match &job.prompt {
        Prompt::Chat(messages) => {
            let prompt = messages.iter().map(|m| words(&m.content)).sum();
            (
                prompt,
                messages.last().map_or("", |message| &*message.content),
            )
        }
        Prompt::Text(text) => (words(text), &**text),
        Prompt::Tokens(_) => {
            let what = "answers to tokens";
            return Err(EngineError::Unsupported { what });
        }
    };
    // The timer takes a millisecond for no time at all.
    if !options.first.is_zero() {
        sleep(options.first).await;
    }
    sink.send(Event::Started {
        prompt_tokens: prompt,
        cached_tokens: 0,
    });
    let room = options.context.saturating_sub(prompt);
    let (tokens, finish) = tokens(said, options.tokens, job, room);
    let most = if fails {
        options.fail_after
    } else {
        usize::MAX
    };
    for text in tokens.into_iter().take(most) {
        if !options.pause.is_zero() {
            sleep(options.pause).await;
        }
        sink.send(Event::Token(token(text, job.top_logprobs)));
    }
    if fails {
        return Err(EngineError::Generation);
    }
    sink.send(Event::Finished(finish));
    Ok(())
}

/// The answer's tokens, and why there are no more.
fn tokens(said: &str, wanted: Option<usize>, job: &Job, room: usize) -> (Vec<String>, Finish) {
    let words: Vec<&str> = said.split_whitespace().collect();
    let all = if words.is_empty() {
        0
    } else {
        wanted.unwrap_or(words.len())
    };
    let most = job.max_tokens.unwrap_or(usize::MAX).min(room);
    let mut tokens = Vec::new();
    let mut text = String::new();
    for index in 0..all.min(most) {
        let space = if index == 0 { "" } else { " " };
        let token = format!("{space}{}", words[index % words.len()]);
        text += &token;
        // A stop text may begin in an earlier word.
        let found = job.stop.iter().filter(|stop| !stop.is_empty());
        if let Some(at) = found.filter_map(|stop| text.find(&**stop)).min() {
            let begun = text.len() - token.len();
            if at > begun {
                tokens.push(token[..at - begun].to_owned());
            } else {
                cut(&mut tokens, at);
            }
            return (tokens, Finish::Stop);
        }
        tokens.push(token);
    }
    let finish = if all > most {
        Finish::Length
    } else {
        Finish::Stop
    };
    (tokens, finish)
}

/// Leaves the first `bytes` of a text that is in tokens.
fn cut(tokens: &mut Vec<String>, bytes: usize) {
    let mut left = bytes;
    tokens.retain_mut(|token| {
        token.truncate(left.min(token.len()));
        left -= token.len();
        !token.is_empty()
    });
}

fn token(text: String, top: usize) -> Token {
    // Nothing else was ever possible.
    let only = Alternative {
        text: text.clone(),
        logprob: 0.0,
    };
    Token {
        text,
        logprob: 0.0,
        end: false,
        top: std::iter::once(only).take(top).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprat_wire::{Message, Role};

    fn job(said: &str) -> Job {
        Job {
            prompt: Prompt::Chat(vec![Message::new(Role::User, said)]),
            ..Job::default()
        }
    }

    async fn written(echo: &Echo, job: Job) -> (String, Result<Finish, EngineError>) {
        let mut handle = echo.start(job).unwrap();
        let mut text = String::new();
        loop {
            match handle.next().await.map(|stamped| stamped.event) {
                Ok(
                    Event::Started { .. } | Event::Judged(_) | Event::Counted(_) | Event::Route(_),
                ) => {}
                Ok(Event::Token(token)) => text += &token.text,
                Ok(Event::Finished(finish)) => return (text, Ok(finish)),
                Err(error) => return (text, Err(error)),
            }
        }
    }

    #[tokio::test]
    async fn words_come_back_within_their_limits() {
        let echo = Echo::new(EchoOptions::default());
        let says = |text: &str, finish| (text.to_owned(), Ok(finish));
        assert_eq!(
            written(&echo, job("one  two three")).await,
            says("one two three", Finish::Stop)
        );
        let limited = Job {
            max_tokens: Some(2),
            ..job("one two three")
        };
        assert_eq!(
            written(&echo, limited).await,
            says("one two", Finish::Length)
        );
        for (stop, text) in [
            ("ne tw", "o"),
            ("two", "one "),
            ("o", ""),
            ("x", "one two three"),
            ("", "one two three"),
        ] {
            let stopped = Job {
                stop: vec![stop.to_owned()],
                ..job("one two three")
            };
            assert_eq!(
                written(&echo, stopped).await,
                says(text, Finish::Stop),
                "{stop:?}"
            );
        }
        assert_eq!(written(&echo, job(" ")).await, says("", Finish::Stop));
        let long = Echo::new(EchoOptions {
            tokens: Some(5),
            context: 6,
            ..EchoOptions::default()
        });
        assert_eq!(
            written(&long, job("a b")).await,
            says("a b a b", Finish::Length)
        );
    }

    #[tokio::test]
    async fn speed_and_failures_are_as_set() {
        let options = EchoOptions {
            first: Duration::from_millis(40),
            pause: Duration::from_millis(10),
            fail_every: 2,
            fail_after: 1,
            ..EchoOptions::default()
        };
        let echo = Echo::new(options);
        let began = std::time::Instant::now();
        let whole = ("a b c".to_owned(), Ok(Finish::Stop));
        assert_eq!(written(&echo, job("a b c")).await, whole);
        // Never sooner; how much later is the machine's affair.
        assert!(began.elapsed() >= Duration::from_millis(70));
        let part = ("a".to_owned(), Err(EngineError::Generation));
        assert_eq!(written(&echo, job("a b c")).await, part);
        assert_eq!(written(&echo, job("a b c")).await, whole);
    }
}
