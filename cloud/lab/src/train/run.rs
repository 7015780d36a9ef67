//! The training loop.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;
use sprat_model::{Decoder, ModelConfig};

use super::checkpoint::{self, State};
use super::clock::Clock;
use super::curve;
use super::gradient::Workers;
use super::log::{Event, Log};
use super::optim::{Optimizer, global_norm};
use super::progress::{Progress, Show, Status};
use super::recipe::Recipe;
use super::schedule::{OPEN, Plan, Schedule};
use super::setup::{comparable, find_tokenizer, fresh_model};
use crate::dataset::{self, Batches, Dataset, write_whole};
use crate::{Error, Result, tokenizer};

/// What to train, where, and for how long.
pub struct TrainOptions {
    /// The recipe, checked.
    pub recipe: Recipe,
    /// The run folder.
    pub out: PathBuf,
    /// Where corpora are; None trains on generators alone.
    pub data_root: Option<PathBuf>,
    /// Go on from the newest checkpoint in `out`.
    pub resume: bool,
    /// Overrides `train.max_minutes`.
    pub minutes: Option<f64>,
    /// Overrides `train.init`.
    pub init: Option<PathBuf>,
    /// Stop with a checkpoint after this many steps, as if asked to.
    pub pause_at: Option<usize>,
    /// When it becomes true (Ctrl-C), the run stops with a checkpoint after the current step.
    pub stop: Arc<AtomicBool>,
    /// A plain device; the loop adds autodiff.
    pub device: Device,
    /// How to report progress.
    pub show: Show,
}

impl TrainOptions {
    /// A new run without data folder, budget or overrides.
    pub fn new(recipe: Recipe, out: PathBuf, device: Device) -> Self {
        Self {
            recipe,
            out,
            data_root: None,
            resume: false,
            minutes: None,
            init: None,
            pause_at: None,
            stop: Arc::default(),
            device,
            show: Show::Auto,
        }
    }
}

/// What a run did.
#[derive(Clone, Debug)]
pub struct Report {
    /// The newest checkpoint: a model folder.
    pub checkpoint: PathBuf,
    /// Optimizer steps done, over all resumes.
    pub steps: usize,
    /// Whether the schedule was run to its end (false: paused or stopped).
    pub finished: bool,
    /// Loss of every step, nats per token.
    pub losses: Vec<f32>,
    /// Validation loss by step, nats per token.
    pub validations: Vec<(usize, f32)>,
    /// Tokens read, padding included.
    pub tokens: u64,
    /// Seconds of training, over all resumes.
    pub seconds: f64,
    /// Weights in the model.
    pub parameters: u64,
    /// Corpora that the recipe names and that were not there, each with the reason.
    pub skipped: Vec<String>,
}

/// Trains by `options.recipe`, or resumes.
///
/// # Errors
/// [`Error::RunExists`] when the folder holds a run and `resume` is off, [`Error::Resume`] when it
/// is on and does not fit, [`Error::NotFinite`] when the loss or a gradient is no number any more,
/// [`Error::Recipe`], [`Error::Mixture`], [`Error::Model`], [`Error::Io`].
pub fn run(options: TrainOptions) -> Result<Report> {
    let mut recipe = options.recipe.clone();
    recipe.train.max_minutes = options.minutes.or(recipe.train.max_minutes);
    recipe.train.init = options.init.clone().or(recipe.train.init);
    // The copy in the run folder must mean the same from there.
    for path in [&mut recipe.train.init, &mut recipe.tokenizer]
        .into_iter()
        .flatten()
    {
        *path = std::path::absolute(&*path).map_err(Error::io("find", path))?;
    }
    recipe.check()?;
    let progress = Progress::new(options.show);
    let newest = checkpoint::latest(&options.out)?;
    let mut run = match (newest, options.resume) {
        (Some(folder), true) => Run::resume(recipe, &options, &folder, progress)?,
        (None, true) => {
            let problem = "there is no checkpoint in it; start the run without --resume".to_owned();
            return Err(Error::Resume {
                path: options.out,
                problem,
            });
        }
        (None, false) if !options.out.join("log.jsonl").exists() => {
            Run::start(recipe, &options, progress)?
        }
        (_, false) => return Err(Error::RunExists { path: options.out }),
    };
    run.train(&options)
}

/// A run in progress.
struct Run {
    folder: PathBuf,
    recipe: Recipe,
    config: ModelConfig,
    dataset: Dataset,
    decoder: Decoder,
    optimizer: Optimizer,
    schedule: Schedule,
    state: State,
    device: Device,
    log: Log,
    progress: Progress,
    newest: Option<PathBuf>,
}

impl Run {
    fn start(recipe: Recipe, options: &TrainOptions, progress: Progress) -> Result<Self> {
        let device = options.device.clone().autodiff();
        let folder = options.out.clone();
        let train = &recipe.train;
        if train.steps == 0 && train.max_minutes.is_none() && train.plan.is_empty() {
            return Err(Error::recipe(
                "train.steps",
                "is missing, and no minutes were given",
            ));
        }
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let data_root = options.data_root.as_deref();
        let tokenizer = find_tokenizer(&recipe, data_root)?;
        tokenizer::save(&tokenizer, &folder.join("tokenizer.json"))?;
        let (config, decoder) = fresh_model(&recipe, &tokenizer, &device)?;
        progress.say("preparing the data");
        let dataset = dataset::prepare(&recipe.data, data_root, &tokenizer, train.seed)?;
        dataset.save(&folder.join("dataset.bin"))?;
        for part in dataset.statistics() {
            progress.say(&part.to_string());
        }
        let first = Plan {
            step: 0,
            total: if train.steps == 0 { OPEN } else { train.steps },
        };
        let plans = if train.plan.is_empty() {
            vec![first]
        } else {
            train.plan.clone()
        };
        let state = State {
            data: dataset.hash(),
            plans,
            ..State::default()
        };
        Self::assemble(
            folder, recipe, config, dataset, decoder, state, device, progress,
        )
    }

    fn resume(
        recipe: Recipe,
        options: &TrainOptions,
        newest: &Path,
        progress: Progress,
    ) -> Result<Self> {
        let folder = options.out.clone();
        let device = options.device.clone().autodiff();
        let refuse = |problem: String| Error::Resume {
            path: folder.clone(),
            problem,
        };
        let before = Recipe::read(&folder.join("recipe.toml"))?;
        if comparable(&before)? != comparable(&recipe)? {
            let problem = "its recipe differs from the one given in more than steps and minutes";
            return Err(refuse(problem.to_owned()));
        }
        let dataset = Dataset::load(&folder.join("dataset.bin"))?;
        let mut state = checkpoint::read_state(newest)?;
        if state.data != dataset.hash() {
            return Err(refuse(
                "dataset.bin is not the data it was trained on".to_owned(),
            ));
        }
        let (config, decoder) = checkpoint::load_model(newest, &device)?;
        let (steps, timed) = (recipe.train.steps, recipe.train.max_minutes.is_some());
        let planned = state.plans.last().map_or(0, |plan| plan.total);
        if !timed && recipe.train.plan.is_empty() && steps > 0 && steps != planned {
            state.plans.push(Plan {
                step: state.step,
                total: steps,
            });
        }
        let mut run = Self::assemble(
            folder, recipe, config, dataset, decoder, state, device, progress,
        )?;
        let moments = checkpoint::read_moments(newest)?;
        if run.state.step > 0 {
            let restored = run.optimizer.restore(moments, &run.device.clone().inner());
            restored.map_err(|path| Error::Resume {
                path: newest.to_path_buf(),
                problem: format!("the optimizer's state and the model disagree about {path}"),
            })?;
        }
        run.newest = Some(newest.to_path_buf());
        Ok(run)
    }

    #[allow(clippy::too_many_arguments)]
    fn assemble(
        folder: PathBuf,
        recipe: Recipe,
        config: ModelConfig,
        dataset: Dataset,
        decoder: Decoder,
        state: State,
        device: Device,
        progress: Progress,
    ) -> Result<Self> {
        let train = &recipe.train;
        if train.time > config.max_position_embeddings {
            let most = config.max_position_embeddings;
            return Err(Error::recipe(
                "train.time",
                format!("is above the model's {most} positions"),
            ));
        }
        let optimizer = Optimizer::new(train, &decoder);
        let schedule = Schedule::new(
            train.learning_rate,
            train.final_ratio,
            train.warmup_steps,
            state.plans.clone(),
        );
        let log = Log::open(&folder)?;
        write_whole(&folder.join("recipe.toml"), recipe.to_toml()?.as_bytes())?;
        Ok(Self {
            folder,
            recipe,
            config,
            dataset,
            decoder,
            optimizer,
            schedule,
            state,
            device,
            log,
            progress,
            newest: None,
        })
    }

    fn train(&mut self, options: &TrainOptions) -> Result<Report> {
        let train = self.recipe.train.clone();
        let micro_rows = if train.micro_batch == 0 {
            train.batch
        } else {
            train.micro_batch
        };
        let workers = Workers::new(&self.device, micro_rows.min(train.batch), train.time)?;
        let dataset = self.dataset.clone();
        let batches = dataset.train_batches(train.batch, train.time, train.seed)?;
        let held_out = dataset
            .validation_batches(train.batch, train.time, train.seed)
            .ok();
        self.log.write(&Event::Start {
            step: self.state.step,
            parameters: self.config.parameters(),
            device: &format!("{:?}", options.device),
            data: &self.state.data,
            rows: batches.rows(),
        })?;
        let mut clock = Clock::new(&self.state, &train);
        let mut stopped = false;
        while self.state.step < self.schedule.total() {
            stopped = options.stop.load(Ordering::Relaxed)
                || options.pause_at.is_some_and(|at| self.state.step >= at);
            if stopped {
                break;
            }
            self.step(&workers, &batches, &mut clock)?;
            if let Some(total) = clock.plan(&self.state, train.steps) {
                self.replan(total)?;
            }
            let last = self.state.step >= self.schedule.total();
            if last || self.state.step.is_multiple_of(train.validate_every) {
                self.validate(&workers, held_out.as_ref())?;
            }
            if last || self.state.step.is_multiple_of(train.checkpoint_every) {
                self.save(&clock)?;
            }
        }
        let saved = self
            .newest
            .as_deref()
            .and_then(|path| path.file_name())
            .map(|n| n.to_owned());
        let due = format!("checkpoint-{:07}", self.state.step);
        if saved.is_none_or(|name| name.to_string_lossy() != due) {
            self.save(&clock)?;
        }
        self.end(!stopped, &clock)
    }

    /// One optimizer step.
    fn step(&mut self, workers: &Workers, batches: &Batches<'_>, clock: &mut Clock) -> Result<()> {
        let train = &self.recipe.train;
        let rate = self.schedule.rate(self.state.step);
        let batch = batches.get(self.state.step);
        let (loss, gradients) = workers.gradient(&self.decoder, &batch);
        let step = self.state.step + 1;
        let fail = |what| Error::NotFinite {
            what,
            step,
            checkpoint: self.newest.clone(),
        };
        if !loss.is_finite() {
            return Err(fail("the loss"));
        }
        let norm = global_norm(&self.decoder, &gradients);
        if !norm.is_finite() {
            return Err(fail("the gradient"));
        }
        self.decoder = self
            .optimizer
            .step(rate, self.decoder.clone(), gradients, norm);
        self.state.step = step;
        self.state.losses.push(loss);
        self.state.tokens += (train.batch * train.time) as u64;
        let seconds = clock.tick();
        self.log.write(&Event::Step {
            step,
            loss,
            rate,
            norm,
            seconds,
        })?;
        let total = self.schedule.total();
        let recent = &self.state.losses[step.saturating_sub(20)..];
        self.progress.update(&Status {
            step,
            total,
            loss: recent.iter().sum::<f32>() / recent.len() as f32,
            tokens_per_second: (train.batch * train.time) as f64 / clock.seconds_per_step(),
            seconds_left: (total < OPEN).then(|| (total - step) as f64 * clock.seconds_per_step()),
        });
        Ok(())
    }

    fn replan(&mut self, total: usize) -> Result<()> {
        self.schedule.replan(self.state.step, total);
        self.state.plans = self.schedule.plans().to_vec();
        self.log.write(&Event::Plan(Plan {
            step: self.state.step,
            total,
        }))
    }

    fn validate(&mut self, workers: &Workers, batches: Option<&Batches<'_>>) -> Result<()> {
        let Some(batches) = batches else {
            return Ok(());
        };
        let step = self.state.step;
        let (mut sum, mut count) = (0.0, 0);
        for i in 0..self.recipe.train.validation_batches {
            let (loss, n) = workers.loss(&self.decoder, &batches.get(i));
            sum += loss;
            count += n;
        }
        if count == 0 {
            return Ok(());
        }
        let loss = (sum / count as f64) as f32;
        if !loss.is_finite() {
            let checkpoint = self.newest.clone();
            return Err(Error::NotFinite {
                what: "the validation loss",
                step,
                checkpoint,
            });
        }
        self.state.validations.push((step, loss));
        let perplexity = loss.exp();
        self.log.write(&Event::Validation {
            step,
            loss,
            perplexity,
        })?;
        self.progress.say(&format!(
            "step {step}: validation loss {loss:.4}, perplexity {perplexity:.2}"
        ));
        self.draw()
    }

    fn draw(&self) -> Result<()> {
        let svg = curve::draw(
            &self.recipe.name,
            &self.state.losses,
            &self.state.validations,
        );
        write_whole(&self.folder.join("curve.svg"), svg.as_bytes())
    }

    fn save(&mut self, clock: &Clock) -> Result<()> {
        self.state.seconds = clock.elapsed();
        let moments = self.optimizer.moments();
        let folder = checkpoint::save(
            &self.folder,
            &self.config,
            &self.decoder,
            &moments,
            &self.state,
        )?;
        self.log.write(&Event::Checkpoint {
            step: self.state.step,
            folder: &folder,
        })?;
        self.newest = Some(folder);
        Ok(())
    }

    fn end(&mut self, finished: bool, clock: &Clock) -> Result<Report> {
        let (step, tokens, seconds) = (self.state.step, self.state.tokens, clock.elapsed());
        self.log.write(&Event::End {
            step,
            finished,
            seconds,
            tokens,
        })?;
        self.draw()?;
        if finished {
            // From here on the recipe repeats the run by steps, whatever the clock says.
            self.recipe.train.plan = self.state.plans.clone();
            write_whole(
                &self.folder.join("recipe.toml"),
                self.recipe.to_toml()?.as_bytes(),
            )?;
        }
        std::mem::replace(&mut self.progress, Progress::new(Show::Nothing)).finish();
        Ok(Report {
            checkpoint: self.newest.clone().unwrap_or_else(|| self.folder.clone()),
            steps: step,
            finished,
            losses: self.state.losses.clone(),
            validations: self.state.validations.clone(),
            tokens,
            seconds,
            parameters: self.config.parameters(),
            skipped: self.dataset.skipped().to_vec(),
        })
    }
}
