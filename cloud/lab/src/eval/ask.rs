//! Asking a model, as a device would.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use sprat_model::{Device, Finish, Message, Model, Options, Storage};
use sprat_route::signals::{Signals, TokenSignal};

use super::{EvalOptions, load};
use crate::generate::{Example, Role};
use crate::skills::{self, Skill};
use crate::train::Show;
use crate::{Error, Result, threads};

/// What a model said to one question.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What the question was about.
    pub skill: Skill,
    /// The answer's text.
    pub reply: String,
    /// Whether it is right.
    pub right: bool,
    /// The model's confidence in every token, the end token included.
    pub signals: Signals,
    /// Whether it ended by itself (false: cut off at the token limit).
    pub ended: bool,
}

/// What a model wrote, before anyone judged it.
pub(crate) struct Reply {
    pub(crate) text: String,
    /// The model's confidence in every token, the end token included.
    pub(crate) signals: Signals,
    /// Whether it ended by itself (false: cut off at the token limit).
    pub(crate) ended: bool,
    /// From the prompt's tokens to the last token.
    pub(crate) seconds: f64,
}

/// Every question once, greedily; answers in the order of the questions. On a CPU the questions
/// are shared out among the cores, each with its own copy of the model.
pub(super) fn ask(
    folder: &Path,
    questions: &[Example],
    options: &EvalOptions,
) -> Result<Vec<Answer>> {
    let ask = |model: &Model, i: usize| answer(model, &questions[i], options.max_tokens);
    ask_each(folder, questions.len(), &options.device, options.show, ask)
}

/// What `ask` has from the model of each number below `count`, in their order, under a bar.
pub(crate) fn ask_each<T: Send>(
    folder: &Path,
    count: usize,
    device: &Device,
    show: Show,
    ask: impl Fn(&Model, usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let bar = bar(show, count);
    let pools = threads::pools(device)?;
    let begin = || load::model(folder, Storage::F32, device);
    let ask = |model: &mut Model, i: usize| {
        let answer = ask(model, i)?;
        bar.inc(1);
        Ok(Some(answer))
    };
    let answers = threads::share_out(&pools, count, begin, ask);
    bar.finish_and_clear();
    Ok(answers?.unwrap_or_default())
}

/// A bar of questions, shown on a terminal.
pub fn bar(show: Show, count: usize) -> ProgressBar {
    let bar = match show {
        Show::Auto => ProgressBar::new(count as u64),
        Show::Nothing => ProgressBar::hidden(),
    };
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} questions, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// Asks one question, greedily.
pub(crate) fn answer(model: &Model, question: &Example, max_tokens: usize) -> Result<Answer> {
    let prompt = prompt(model, question)?;
    let reply = reply(model, &prompt, max_tokens)?;
    Ok(Answer {
        skill: question.skill,
        right: reply.ended && skills::is_right(question, &reply.text),
        reply: reply.text,
        signals: reply.signals,
        ended: reply.ended,
    })
}

/// Answers a prompt, greedily.
pub(crate) fn reply(model: &Model, prompt: &[u32], max_tokens: usize) -> Result<Reply> {
    let failed = || Error::model("answer a question");
    let began = Instant::now();
    let options = Options {
        max_tokens,
        ..greedy()
    };
    let mut session = model.session();
    let mut generation = session.generate(model, prompt, options).map_err(failed())?;
    let (mut text, mut signals) = (String::new(), Signals::new());
    while let Some(token) = pollster::block_on(generation.next()) {
        let token = token.map_err(failed())?;
        text.push_str(&token.text);
        signals.push(TokenSignal {
            logprob: token.logprob,
            margin: token.margin,
            entropy: token.entropy,
        });
    }
    Ok(Reply {
        text,
        signals,
        ended: generation.finish() == Some(Finish::Stop),
        seconds: began.elapsed().as_secs_f64(),
    })
}

/// The tokens of a question, up to where its answer begins.
pub(crate) fn prompt(model: &Model, question: &Example) -> Result<Vec<u32>> {
    model
        .prompt(&messages(question))
        .map_err(Error::model("answer a question"))
}

/// A question as the chat template takes it.
pub(crate) fn messages(question: &Example) -> Vec<Message> {
    let message = |(role, content): &(Role, String)| Message {
        role: name(*role).to_owned(),
        content: content.clone(),
    };
    question.messages.iter().map(message).collect()
}

fn greedy() -> Options {
    let mut options = Options::default();
    options.sampling.temperature = 0.0;
    options
}

fn name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

/// The file with every question and answer.
pub(super) struct Details {
    file: BufWriter<File>,
    path: PathBuf,
}

impl Details {
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(Error::io("create", path))?;
        Ok(Self {
            file: BufWriter::new(file),
            path: path.to_path_buf(),
        })
    }

    pub(super) fn write(
        &mut self,
        model: &str,
        questions: &[Example],
        answers: &[Answer],
    ) -> Result<()> {
        for (question, answer) in questions.iter().zip(answers) {
            let line = serde_json::json!({
                "model": model,
                "skill": question.skill.name(),
                "difficulty": question.difficulty,
                "question": question.messages.last().map(|(_, text)| text),
                "answers": question.answers,
                "reply": answer.reply,
                "right": answer.right,
                "ended": answer.ended,
                "features": answer.signals.features().values(),
                "signals": answer.signals.tokens(),
            });
            writeln!(self.file, "{line}").map_err(Error::io("write", &self.path))?;
        }
        self.file.flush().map_err(Error::io("write", &self.path))
    }
}
