//! What candidates are asked, and what their answers are worth.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};
use sprat_model::Model;

use super::job::{Job, Metric};
use crate::eval::{answer, prompt};
use crate::generate::{Example, generate};
use crate::skills::Skill;
use crate::split::Side;
use crate::{Error, Result};

/// One skill with its questions.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) skill: Skill,
    pub(super) weight: f64,
    pub(super) metric: Metric,
    pub(super) questions: Vec<Example>,
}

/// What questions are for, which decides what they are drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// The search sees them.
    Fitness,
    /// They choose among the finalists.
    Selection,
    /// They measure the winner, and nothing was ever trained or chosen by them.
    Test,
}

/// The tasks of a job with questions for one use. No question is in two uses.
pub(super) fn tasks(job: &Job, purpose: Use) -> Result<Vec<Task>> {
    let task = |spec: &super::job::TaskSpec| {
        let skill = spec.skill()?;
        let fitness = spec.questions.unwrap_or(job.fitness.questions);
        let questions = match purpose {
            Use::Fitness => seen(skill, fitness, job.seed),
            Use::Selection => {
                let mut both = seen(skill, fitness + job.last.selection, job.seed);
                both.split_off(fitness.min(both.len()))
            }
            Use::Test => generate(skill, job.last.test, job.seed, Side::HeldOut),
        };
        Ok(Task {
            skill,
            weight: spec.weight,
            metric: match purpose {
                Use::Fitness => spec.metric,
                Use::Selection | Use::Test => Metric::Accuracy,
            },
            questions,
        })
    };
    job.fitness.tasks.iter().map(task).collect()
}

/// Questions that were not trained on as far as there are, and then such that may have been: small skills
/// have few. None of them is held out.
fn seen(skill: Skill, n: usize, seed: u64) -> Vec<Example> {
    let mut questions = generate(skill, n, seed, Side::Validation);
    let missing = n - questions.len();
    questions.extend(generate(skill, missing, seed, Side::Train));
    questions
}

/// Questions read at once.
const BATCH: usize = 16;

/// The scores of a model's answers, 0 to 1, in the order of the questions.
pub(super) fn scores(
    model: &Model,
    metric: Metric,
    questions: &[Example],
    max_tokens: usize,
) -> Result<Vec<f32>> {
    match metric {
        Metric::Accuracy => {
            let score = |question| {
                let right = answer(model, question, max_tokens)?.right;
                Ok(f32::from(u8::from(right)))
            };
            questions.iter().map(score).collect()
        }
        Metric::Likelihood => {
            let mut scores = Vec::with_capacity(questions.len());
            for batch in questions.chunks(BATCH) {
                scores.extend(likelihoods(model, batch)?);
            }
            Ok(scores)
        }
    }
}

/// For each question the geometric mean of the probabilities of its first answer's tokens, the end among them.
fn likelihoods(model: &Model, questions: &[Example]) -> Result<Vec<f32>> {
    let end = model.tokenizer().id(&model.manifest().eos_token);
    let text = |question| {
        let prompt = prompt(model, question)?;
        let answer = question.answers.first().map_or("", |answer| answer);
        let answer = model.tokenizer().encode(answer);
        let answer = answer.map_err(Error::model("encode an answer"))?;
        Ok((
            prompt.len(),
            [prompt, answer, end.into_iter().collect()].concat(),
        ))
    };
    let texts: Vec<(usize, Vec<u32>)> = questions.iter().map(text).collect::<Result<_>>()?;
    let time = texts.iter().map(|(_, ids)| ids.len()).max().unwrap_or(0);
    // What stands after a text changes nothing before it.
    let padded = |ids: &Vec<u32>| {
        let padding = std::iter::repeat_n(0, time - ids.len());
        ids.iter()
            .map(|id| *id as i32)
            .chain(padding)
            .collect::<Vec<i32>>()
    };
    let ids: Vec<i32> = texts.iter().flat_map(|(_, ids)| padded(ids)).collect();
    let ids = TensorData::new(ids, [texts.len(), time]);
    let ids = Tensor::<2, Int>::from_data(ids, model.device());
    let next = ids
        .clone()
        .slice([0..texts.len(), 1..time])
        .unsqueeze_dim::<3>(2);
    let hidden = model.decoder().hidden(ids);
    let [batch, _, width] = hidden.dims();
    let hidden = hidden.slice([0..batch, 0..time - 1, 0..width]);
    let logprobs = log_softmax(model.decoder().logits(hidden), 2).gather(2, next);
    let logprobs = logprobs.into_data().convert::<f32>().try_to_vec::<f32>();
    let logprobs = logprobs.map_err(|e| sprat_model::Error::Device(e.to_string()));
    let logprobs = logprobs.map_err(Error::model("read an answer"))?;
    let score = |((prompt, ids), row): (&(usize, Vec<u32>), &[f32])| {
        let of_answer = &row[prompt - 1..ids.len() - 1];
        (of_answer.iter().sum::<f32>() / of_answer.len() as f32).exp()
    };
    let rows = logprobs.chunks_exact(time - 1);
    Ok(texts.iter().zip(rows).map(score).collect())
}
