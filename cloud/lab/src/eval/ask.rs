//! Asking a model, as a device would.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use sprat_model::{Finish, Message, Model, Options, Storage};
use sprat_route::signals::{Signals, TokenSignal};

use super::{EvalOptions, load};
use crate::generate::{Example, Role};
use crate::skills::{self, Skill};
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

/// Every question once, greedily; answers in the order of the questions. On a CPU the questions
/// are shared out among the cores, each with its own copy of the model.
pub(super) fn ask(
    folder: &Path,
    questions: &[Example],
    options: &EvalOptions,
) -> Result<Vec<Answer>> {
    let pools = threads::pools(&options.device)?;
    let begin = || load::model(folder, Storage::F32, &options.device);
    let ask =
        |model: &mut Model, i: usize| answer(model, &questions[i], options.max_tokens).map(Some);
    let answers = threads::share_out(&pools, questions.len(), begin, ask)?;
    Ok(answers.unwrap_or_default())
}

/// Asks one question, greedily.
pub(crate) fn answer(model: &Model, question: &Example, max_tokens: usize) -> Result<Answer> {
    let failed = || Error::model("answer a question");
    let prompt = prompt(model, question)?;
    let options = Options {
        max_tokens,
        ..greedy()
    };
    let mut session = model.session();
    let mut generation = session
        .generate(model, &prompt, options)
        .map_err(failed())?;
    let (mut reply, mut signals) = (String::new(), Signals::new());
    while let Some(token) = pollster::block_on(generation.next()) {
        let token = token.map_err(failed())?;
        reply.push_str(&token.text);
        signals.push(TokenSignal {
            logprob: token.logprob,
            margin: token.margin,
            entropy: token.entropy,
        });
    }
    let ended = generation.finish() == Some(Finish::Stop);
    let right = ended && skills::is_right(question, &reply);
    Ok(Answer {
        skill: question.skill,
        reply,
        right,
        signals,
        ended,
    })
}

/// The tokens of a question, up to where its answer begins.
pub(crate) fn prompt(model: &Model, question: &Example) -> Result<Vec<u32>> {
    let message = |(role, content): &(Role, String)| Message {
        role: name(*role).to_owned(),
        content: content.clone(),
    };
    let messages: Vec<Message> = question.messages.iter().map(message).collect();
    model
        .prompt(&messages)
        .map_err(Error::model("answer a question"))
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
            });
            writeln!(self.file, "{line}").map_err(Error::io("write", &self.path))?;
        }
        self.file.flush().map_err(Error::io("write", &self.path))
    }
}
