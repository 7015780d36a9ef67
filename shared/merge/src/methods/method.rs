//! Which methods there are, what models they want and what parameters they have.

use crate::recipe::Parameter;

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident = $key:literal;)*) => {
        /// A merge method, by its name in a recipe.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Method {
            $($(#[$doc])* $name,)*
        }

        impl Method {
            /// All methods, in the order that help texts list them.
            pub const ALL: &[Method] = &[$(Method::$name,)*];

            /// Its name in a recipe.
            pub fn name(self) -> &'static str {
                match self {
                    $(Method::$name => $key,)*
                }
            }
        }
    };
}

methods! {
    /// Weighted average: [`linear`](super::linear).
    Linear = "linear";
    /// Interpolation on the arc between two models: [`slerp`](super::slerp).
    Slerp = "slerp";
    /// The same by weights, with or without a base: [`nuslerp`](super::nuslerp).
    Nuslerp = "nuslerp";
    /// Mean direction of several models: [`multislerp`](super::multislerp).
    Multislerp = "multislerp";
    /// Karcher mean of directions: [`karcher`](super::karcher).
    Karcher = "karcher";
    /// Sum of task vectors: [`task_arithmetic`](super::task_arithmetic).
    TaskArithmetic = "task_arithmetic";
    /// Trimmed task vectors with an elected sign: [`ties`](super::ties).
    Ties = "ties";
    /// Randomly thinned task vectors with an elected sign: [`dare`](super::dare).
    DareTies = "dare_ties";
    /// Randomly thinned task vectors: [`dare`](super::dare).
    DareLinear = "dare_linear";
    /// Thinned at random by magnitude, with an elected sign: [`della`](super::della).
    Della = "della";
    /// Thinned at random by magnitude: [`della`](super::della).
    DellaLinear = "della_linear";
    /// Without the largest and the smallest elements: [`breadcrumbs`](super::breadcrumbs).
    Breadcrumbs = "breadcrumbs";
    /// The same with an elected sign: [`breadcrumbs`](super::breadcrumbs).
    BreadcrumbsTies = "breadcrumbs_ties";
    /// As near to the mean as the models are to each other: [`model_stock`](super::model_stock).
    ModelStock = "model_stock";
    /// Another model's important changes: [`arcee_fusion`](super::arcee_fusion).
    ArceeFusion = "arcee_fusion";
    /// Near elements swapped: [`nearswap`](super::nearswap).
    Nearswap = "nearswap";
    /// Select, calculate, erase: [`sce`](super::sce).
    Sce = "sce";
    /// Own changes whole, shared ones averaged: [`ram`](super::ram).
    Ram = "ram";
    /// The same, own changes scaled: [`ram`](super::ram).
    RamplusTl = "ramplus_tl";
    /// One model as it is: [`passthrough`](super::passthrough).
    Passthrough = "passthrough";
}

/// Which models a method takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inputs {
    /// Any, of which a base is one like the others.
    Any,
    /// One, and no base.
    One,
    /// A base and one other.
    BaseAndOne,
    /// A base and so many others at least.
    Base(usize),
    /// So many, or any if 0, with or without a base.
    PerhapsBase(usize),
}

impl Inputs {
    /// Whether a method has these models: a base perhaps, and so many others.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(self, base: bool, others: usize) -> Result<(), String> {
        let wants_base = matches!(self, Self::BaseAndOne | Self::Base(_));
        if wants_base && !base {
            return Err("`base_model` is missing".into());
        }
        let found = others + usize::from(base);
        match self {
            Self::One if found != 1 => {
                Err(format!("needs one model and no base, not {found} models"))
            }
            Self::BaseAndOne if others != 1 => Err(format!(
                "needs the base and one other model, not {found} models"
            )),
            Self::Base(least) if others < least => Err(format!(
                "needs {least} models beside the base, not {others}"
            )),
            Self::PerhapsBase(count) if count > 0 && others != count => Err(format!(
                "needs {count} models beside the base, not {others}"
            )),
            Self::Any if found > 0 => Ok(()),
            _ if others == 0 => Err("no model beside the base is listed".into()),
            _ => Ok(()),
        }
    }
}

/// What values a parameter may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// Every number.
    Any,
    /// Above 0 and at most 1.
    Part,
    /// At least 0 and below 1.
    PartOrNone,
    /// 0 and above.
    Positive,
    /// `true` or `false`.
    Switch,
    /// A choice by name.
    Word,
}

/// A parameter of a method.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spec {
    /// Which.
    pub parameter: Parameter,
    /// Its value where a recipe has none; without one it has to.
    pub default: Option<f64>,
    /// What it may be.
    pub range: Range,
}

const fn spec(parameter: Parameter, default: f64, range: Range) -> Spec {
    Spec {
        parameter,
        default: Some(default),
        range,
    }
}

const fn required(parameter: Parameter) -> Spec {
    Spec {
        parameter,
        default: None,
        range: Range::Any,
    }
}

const WEIGHT: Spec = required(Parameter::Weight);
const DENSITY: Spec = spec(Parameter::Density, 1.0, Range::Part);
const LAMBDA: Spec = spec(Parameter::Lambda, 1.0, Range::Any);
const CONSENSUS: Spec = spec(Parameter::Consensus, 0.0, Range::Word);
const GAMMA: Spec = spec(Parameter::Gamma, 0.01, Range::PartOrNone);
const DELLA_EPSILON: Spec = spec(Parameter::Epsilon, 0.15, Range::PartOrNone);
const RAM_EPSILON: Spec = spec(Parameter::Epsilon, 1e-5, Range::Positive);

const fn normalize(default: bool) -> Spec {
    spec(Parameter::Normalize, default as u8 as f64, Range::Switch)
}

const fn rescale(default: bool) -> Spec {
    spec(Parameter::Rescale, default as u8 as f64, Range::Switch)
}

impl Method {
    /// The method of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|method| method.name() == name)
    }

    /// The models that it takes.
    pub fn inputs(self) -> Inputs {
        match self {
            Self::Linear | Self::Karcher => Inputs::Any,
            Self::Passthrough => Inputs::One,
            Self::Slerp | Self::ArceeFusion | Self::Nearswap => Inputs::BaseAndOne,
            Self::Nuslerp => Inputs::PerhapsBase(2),
            Self::Multislerp => Inputs::PerhapsBase(0),
            Self::ModelStock => Inputs::Base(2),
            _ => Inputs::Base(1),
        }
    }

    /// Whether it works on differences from a base model, if there is one.
    pub fn uses_task_vectors(self) -> bool {
        !matches!(
            self.inputs(),
            Inputs::Any | Inputs::One | Inputs::BaseAndOne
        )
    }

    /// Whether it elects a sign for each element.
    pub(crate) fn elects(self) -> bool {
        self.parameters().contains(&CONSENSUS)
    }

    /// The parameters that change its result.
    pub fn parameters(self) -> &'static [Spec] {
        const T: Spec = required(Parameter::T);
        match self {
            Self::Linear => const { &[WEIGHT, normalize(true)] },
            Self::Slerp | Self::Nearswap => &[T],
            Self::Nuslerp => {
                const {
                    &[
                        WEIGHT,
                        spec(Parameter::NuslerpFlatten, 1.0, Range::Switch),
                        spec(Parameter::NuslerpRowWise, 0.0, Range::Switch),
                    ]
                }
            }
            Self::Multislerp => {
                const {
                    &[
                        WEIGHT,
                        spec(Parameter::NormalizeWeights, 1.0, Range::Switch),
                        spec(Parameter::Eps, 1e-8, Range::Positive),
                    ]
                }
            }
            Self::Karcher => {
                const {
                    &[
                        spec(Parameter::MaxIter, 10.0, Range::Positive),
                        spec(Parameter::Tol, 1e-5, Range::Positive),
                    ]
                }
            }
            Self::TaskArithmetic => const { &[WEIGHT, normalize(false), LAMBDA] },
            Self::Ties => {
                const {
                    &[
                        WEIGHT,
                        DENSITY,
                        normalize(true),
                        rescale(false),
                        LAMBDA,
                        CONSENSUS,
                    ]
                }
            }
            Self::DareTies => {
                const {
                    &[
                        WEIGHT,
                        DENSITY,
                        normalize(false),
                        rescale(true),
                        LAMBDA,
                        CONSENSUS,
                    ]
                }
            }
            Self::DareLinear => {
                const { &[WEIGHT, DENSITY, normalize(false), rescale(true), LAMBDA] }
            }
            Self::Della => {
                const {
                    &[
                        WEIGHT,
                        DENSITY,
                        DELLA_EPSILON,
                        normalize(true),
                        rescale(true),
                        LAMBDA,
                        CONSENSUS,
                    ]
                }
            }
            Self::DellaLinear => {
                const {
                    &[
                        WEIGHT,
                        DENSITY,
                        DELLA_EPSILON,
                        normalize(false),
                        rescale(true),
                        LAMBDA,
                    ]
                }
            }
            Self::Breadcrumbs => const { &[WEIGHT, DENSITY, GAMMA, normalize(false), LAMBDA] },
            Self::BreadcrumbsTies => {
                const { &[WEIGHT, DENSITY, GAMMA, normalize(false), LAMBDA, CONSENSUS] }
            }
            Self::ModelStock => const { &[spec(Parameter::FilterWise, 0.0, Range::Switch)] },
            Self::ArceeFusion => &[],
            Self::Sce => const { &[spec(Parameter::SelectTopk, 1.0, Range::Part)] },
            Self::Ram => &[RAM_EPSILON],
            Self::RamplusTl => {
                const {
                    &[
                        RAM_EPSILON,
                        spec(Parameter::R, 0.1, Range::Any),
                        spec(Parameter::Alpha, 0.2, Range::Positive),
                    ]
                }
            }
            Self::Passthrough => const { &[spec(Parameter::Scale, 1.0, Range::Any)] },
        }
    }
}
