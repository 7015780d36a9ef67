//! From options to engines that name each other.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Cascade, CascadeOptions, Vote, VoteOptions, wrong};
use crate::{Engine, ServiceError, Upstream, UpstreamOptions};

/// An engine that waits for those it names.
enum Waiting<'a> {
    Cascade(&'a CascadeOptions),
    Vote(&'a VoteOptions),
}

impl Waiting<'_> {
    fn id(&self) -> &str {
        match self {
            Self::Cascade(options) => &options.id,
            Self::Vote(options) => &options.id,
        }
    }

    fn engines(&self) -> &[String] {
        match self {
            Self::Cascade(options) => &options.engines,
            Self::Vote(options) => &options.engines,
        }
    }

    fn make(&self, engines: Vec<Arc<dyn Engine>>) -> Result<Arc<dyn Engine>, ServiceError> {
        Ok(match *self {
            Self::Cascade(options) => Arc::new(Cascade::new(options.clone(), engines)?),
            Self::Vote(options) => Arc::new(Vote::new(options.clone(), engines)?),
        })
    }
}

/// All engines: those given, then the others in an order in which each comes after those it names.
///
/// # Errors
/// [`ServiceError::DuplicateModel`], [`ServiceError::UnknownEngine`] or [`ServiceError::EngineCycle`] if an id is there twice,
/// not there, or names itself over others; [`ServiceError::Engine`] if an option is wrong.
pub(crate) fn compose(
    mut engines: Vec<Arc<dyn Engine>>,
    upstreams: &[UpstreamOptions],
    cascades: &[CascadeOptions],
    votes: &[VoteOptions],
) -> Result<Vec<Arc<dyn Engine>>, ServiceError> {
    for options in upstreams {
        engines.push(Arc::new(Upstream::new(options.clone())?));
    }
    let cascades = cascades.iter().map(Waiting::Cascade);
    let mut waiting: Vec<Waiting<'_>> = cascades.chain(votes.iter().map(Waiting::Vote)).collect();
    check(&engines, &waiting)?;
    while !waiting.is_empty() {
        let before = waiting.len();
        let mut left = Vec::new();
        for next in waiting {
            let find = |id: &String| engines.iter().find(|e| e.info().id == *id).cloned();
            match next.engines().iter().map(find).collect() {
                Some(members) => engines.push(next.make(members)?),
                None => left.push(next),
            }
        }
        if left.len() == before {
            let id = left[0].id().to_owned();
            return Err(ServiceError::EngineCycle { id });
        }
        waiting = left;
    }
    Ok(engines)
}

/// Checks that all names are there, and once.
fn check(engines: &[Arc<dyn Engine>], waiting: &[Waiting<'_>]) -> Result<(), ServiceError> {
    let ids = engines.iter().map(|engine| engine.info().id);
    let ids = ids.chain(waiting.iter().map(|next| next.id().to_owned()));
    let mut known = HashSet::new();
    for id in ids {
        if let Some(id) = known.replace(id) {
            return Err(ServiceError::DuplicateModel { id });
        }
    }
    for next in waiting {
        let mut named = HashSet::new();
        for engine in next.engines() {
            if !known.contains(engine) {
                return Err(ServiceError::UnknownEngine {
                    id: next.id().to_owned(),
                    engine: engine.clone(),
                });
            }
            if !named.insert(engine) {
                return Err(wrong(next.id(), format!("it names {engine:?} twice")));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Echo, EchoOptions};

    fn echo(id: &str) -> Arc<dyn Engine> {
        Arc::new(Echo::new(EchoOptions {
            id: id.to_owned(),
            ..EchoOptions::default()
        }))
    }

    fn cascade(id: &str, engines: &[&str]) -> CascadeOptions {
        CascadeOptions {
            id: id.to_owned(),
            engines: engines.iter().map(|&id| id.to_owned()).collect(),
            ..CascadeOptions::default()
        }
    }

    fn vote(id: &str, engines: &[&str]) -> VoteOptions {
        VoteOptions {
            id: id.to_owned(),
            engines: engines.iter().map(|&id| id.to_owned()).collect(),
            ..VoteOptions::default()
        }
    }

    fn composed(cascades: &[CascadeOptions], votes: &[VoteOptions]) -> Result<Vec<String>, String> {
        let engines = compose(vec![echo("a"), echo("b")], &[], cascades, votes);
        let engines = engines.map_err(|error| error.to_string())?;
        Ok(engines.iter().map(|engine| engine.info().id).collect())
    }

    #[test]
    fn engines_come_after_those_they_name() {
        let cascades = [cascade("c", &["a", "v"])];
        let votes = [vote("v", &["a", "b"])];
        assert_eq!(composed(&cascades, &votes).unwrap(), ["a", "b", "v", "c"]);
    }

    #[test]
    fn wrong_names_are_told() {
        let wrong = |cascades: &[CascadeOptions], votes: &[VoteOptions]| {
            composed(cascades, votes).unwrap_err()
        };
        let error = wrong(&[cascade("c", &["a", "x"])], &[]);
        assert!(
            error.contains("\"c\"") && error.contains("\"x\""),
            "{error}"
        );
        let error = wrong(&[cascade("c", &["a", "c"])], &[]);
        assert!(error.contains("circle"), "{error}");
        let error = wrong(&[cascade("c", &["a", "v"])], &[vote("v", &["c", "b"])]);
        assert!(error.contains("circle"), "{error}");
        let error = wrong(&[cascade("a", &["a", "b"])], &[]);
        assert!(error.contains("two"), "{error}");
        let error = wrong(&[cascade("c", &["a", "a"])], &[]);
        assert!(error.contains("twice"), "{error}");
        let error = wrong(&[cascade("c", &["a"])], &[]);
        assert!(error.contains("at least two"), "{error}");
    }

    #[test]
    fn upstreams_are_checked() {
        let options = UpstreamOptions {
            id: "u".into(),
            model: "m".into(),
            base_url: "http://example.org".into(),
            ..UpstreamOptions::default()
        };
        let error = compose(vec![], &[options], &[], &[])
            .map(|_| ())
            .unwrap_err();
        assert!(matches!(error, ServiceError::Engine { id, .. } if id == "u"));
    }
}
