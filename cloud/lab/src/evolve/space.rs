//! From genes to recipes.

use std::collections::BTreeMap;

use sprat_merge::{Dtype, Method, Parameter, Parameters, Recipe, Rule, Setting, Source};

use super::job::Job;
use crate::Result;

/// All recipes of a job: each is a point of the unit cube.
#[derive(Clone, Debug)]
pub(super) struct Genes {
    method: Method,
    base: Option<String>,
    parents: Vec<String>,
    groups: usize,
    filters: Vec<String>,
    open: Vec<(Parameter, [f64; 2])>,
    fixed: Parameters,
    seed: u64,
    /// Whose value each gene is, in the order of a point.
    list: Vec<Gene>,
}

/// One number that is searched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gene {
    /// Index into the open parameters.
    open: usize,
    /// The parent that it is of, if it is one's own.
    pub(super) parent: Option<usize>,
    /// Index of the filter that its tensors' names have; as many as there are filters for all others.
    pub(super) filter: usize,
    /// Place from the first layer to the last.
    pub(super) group: usize,
}

impl Genes {
    pub(super) fn new(job: &Job) -> Result<Self> {
        let name = |path: &std::path::PathBuf| path.display().to_string();
        let open = job.space.open();
        let parents: Vec<String> = job.models.parents.iter().map(name).collect();
        let mut list = Vec::new();
        for (index, (parameter, _)) in open.iter().enumerate() {
            let owners = match parameter.per_model() {
                true => (0..parents.len()).map(Some).collect(),
                false => vec![None],
            };
            for parent in owners {
                for filter in 0..=job.space.filters.len() {
                    list.extend((0..job.space.layer_groups).map(|group| Gene {
                        open: index,
                        parent,
                        filter,
                        group,
                    }));
                }
            }
        }
        let find = |name: &String| Parameter::ALL.iter().copied().find(|p| p.name() == name);
        let fixed = job.space.fixed.iter();
        let fixed = fixed.filter_map(|(name, value)| Some((find(name)?, Setting::Number(*value))));
        Ok(Self {
            method: job.space.method()?,
            base: job.models.base.as_ref().map(name),
            parents,
            groups: job.space.layer_groups,
            filters: job.space.filters.clone(),
            fixed: fixed.collect(),
            open,
            seed: job.seed,
            list,
        })
    }

    /// How many genes there are.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Each gene's place.
    pub(super) fn list(&self) -> &[Gene] {
        &self.list
    }

    /// A gene's parameter and value, for its number between 0 and 1.
    pub(super) fn value(&self, gene: &Gene, part: f64) -> (Parameter, f64) {
        let (parameter, [low, high]) = self.open[gene.open];
        (parameter, low + (high - low) * part)
    }

    /// The filters' texts, and the word for what has none of them.
    pub(super) fn filter_name(&self, filter: usize) -> &str {
        let rest = if self.filters.is_empty() {
            "all"
        } else {
            "rest"
        };
        self.filters.get(filter).map_or(rest, |text| text)
    }

    /// The recipe at a point of the unit cube.
    pub(super) fn recipe(&self, point: &[f64]) -> Recipe {
        // Parameter and owner to the values of each filter.
        let mut values: BTreeMap<(Parameter, Option<usize>), Vec<Vec<f64>>> = BTreeMap::new();
        for (gene, part) in self.list.iter().zip(point) {
            let (parameter, value) = self.value(gene, *part);
            let of_filters = values.entry((parameter, gene.parent)).or_default();
            of_filters.resize(self.filters.len() + 1, Vec::new());
            of_filters[gene.filter].push(value);
        }
        let mut recipe = self.plain(self.method);
        for ((parameter, owner), of_filters) in values {
            let setting = self.setting(of_filters);
            let parameters = match owner {
                Some(parent) => &mut recipe.models[parent].parameters,
                None => &mut recipe.parameters,
            };
            parameters.insert(parameter, setting);
        }
        let fixed = self.fixed.iter().map(|(p, setting)| (*p, setting.clone()));
        recipe.parameters.extend(fixed);
        recipe
    }

    fn setting(&self, of_filters: Vec<Vec<f64>>) -> Setting {
        let value = |values: Vec<f64>| match self.groups {
            1 => Setting::Number(values[0]),
            _ => Setting::Gradient(values),
        };
        let texts = self.filters.iter().cloned().map(Some).chain([None]);
        let mut rules = texts.zip(of_filters);
        if self.filters.is_empty() {
            let only = rules.next().map(|(_, values)| values);
            return value(only.unwrap_or_default());
        }
        let rule = |(filter, values)| Rule {
            filter,
            value: value(values),
        };
        Setting::Rules(rules.map(rule).collect())
    }

    /// All parents by a method, without parameters.
    pub(super) fn plain(&self, method: Method) -> Recipe {
        let source = |model: &String| Source {
            model: model.clone(),
            parameters: Parameters::new(),
        };
        Recipe {
            models: self.parents.iter().map(source).collect(),
            slices: Vec::new(),
            method,
            base_model: self.base.clone(),
            parameters: Parameters::new(),
            dtype: Some(Dtype::Float32),
            out_dtype: None,
            tokenizer: None,
            chat_template: None,
            seed: self.seed,
            mergekit_faults: false,
        }
    }

    /// Merges that nobody tuned: what the winner must beat.
    pub(super) fn untuned(&self) -> Vec<(&'static str, Recipe)> {
        let even = 1.0 / self.parents.len() as f64;
        let with = |method, weight, density: Option<f64>| {
            let mut recipe = self.plain(method);
            if method == Method::Linear {
                recipe.base_model = None;
            }
            for source in &mut recipe.models {
                source
                    .parameters
                    .insert(Parameter::Weight, Setting::Number(weight));
                if let Some(density) = density {
                    source
                        .parameters
                        .insert(Parameter::Density, Setting::Number(density));
                }
            }
            recipe
        };
        let mut all = vec![("linear, even weights", with(Method::Linear, even, None))];
        if self.base.is_some() {
            all.extend([
                (
                    "task arithmetic, weight 1",
                    with(Method::TaskArithmetic, 1.0, None),
                ),
                (
                    "TIES, weight 1, density 0.5",
                    with(Method::Ties, 1.0, Some(0.5)),
                ),
                (
                    "DARE-TIES, weight 1, density 0.5",
                    with(Method::DareTies, 1.0, Some(0.5)),
                ),
            ]);
        }
        all
    }
}
