//! Who answered, where several engines could.

use sprat_wire::{RouteRecord, Votes};

pub use sprat_wire::Weighed;

/// Who answered, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Id of the engine whose answer it is.
    pub target: String,
    /// By which rule.
    pub rule: Rule,
    /// How sure the engine was whose answer was judged: by its gate, the probability that it is right; else the geometric mean
    /// of its tokens' probabilities.
    pub confidence: Option<f32>,
    /// What asking another engine was expected to bring, where that decided.
    pub weighed: Option<Weighed>,
    /// How the vote ended, if there was one.
    pub votes: Option<Votes>,
    /// What other servers charge in US dollars, as far as that is known: of an answer that was broken off it is not.
    pub cost_usd: Option<f64>,
    /// How often an engine or another server was asked.
    pub tries: u32,
}

/// Why an answer is that engine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// It is another server's.
    Upstream,
    /// A cascade judged the whole answer, and it stands.
    CascadeKept,
    /// A cascade judged the answer's beginning, and it stands.
    CascadeEarly,
    /// An earlier engine's answer did not stand, or it gave none.
    CascadeNext,
    /// It did not stand, but no later engine gave one.
    CascadeFallback,
    /// Most members said so.
    Vote,
    /// There was no vote: the answer is too long for one.
    VoteOff,
}

impl Rule {
    /// The word in metrics and in `x_route`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::CascadeKept => "cascade_kept",
            Self::CascadeEarly => "cascade_early",
            Self::CascadeNext => "cascade_next",
            Self::CascadeFallback => "cascade_fallback",
            Self::Vote => "vote",
            Self::VoteOff => "vote_off",
        }
    }
}

impl From<Route> for RouteRecord {
    fn from(route: Route) -> Self {
        Self {
            target: route.target,
            rule: route.rule.as_str().to_owned(),
            confidence: route.confidence.filter(|p| p.is_finite()),
            weighed: route.weighed.map(Box::new),
            votes: route.votes,
            cost_usd: route.cost_usd.filter(|cost| cost.is_finite()),
            tries: route.tries,
        }
    }
}
